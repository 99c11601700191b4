#!/usr/bin/env python3
"""Prints tests/fuzz/REPORT.md from the logs that `make fuzz` left: python3 tests/fuzz/report.py FOLDER. A run is one call of
run.sh; nothing is estimated. FOLDER/log/before.txt is the report as it was when the folder began, and its sums are where these
begin: it never changes, so a report that is written twice counts nothing twice. Of `make corpus`, `make faults` and `make coverage`
the last result of each kind is kept."""
import pathlib
import re
import sys

OUT = pathlib.Path("tests/fuzz/REPORT.md")
HEAD = """# What the fuzz targets have run

libmm {version}. Written by `make fuzz-report` from the logs of `make fuzz` (clang {clang}, libFuzzer, address and undefined-behaviour sanitizers); last
run on {day}, commit {commit}. A finding is an input that ended a target badly: a crash, a hang, a leak, an undocumented status. Each
was fixed in the library or, where it was the target's own mistake, there, and its input lies in `tests/fuzz/corpus`; an input that was
met again before its fix counts once. Edges are those of the last run; executions and processor time are sums over all runs, "since" counts from the last finding of that target.

| target | executions | edges | inputs | findings | CPU minutes | since |
|---|---:|---:|---:|---:|---:|---:|
"""


SECTIONS = (("Damaged files, `make corpus`: date, commit, compiler and sanitizers, result:", "corpus.txt", r"(\S+(?: \S+)?): \w+ corpus:"),
            ("Failing memory, reads and devices, `make faults`: date, commit, program, result:", "faults.txt", r"(\w+): \d+ passed"),
            ("Coverage of the rooms that read what strangers wrote, `make coverage`: date, commit, room, result:", "coverage.txt",
             r"(\w+): lines"))


def runs(text):
    for part in text.split("=== run of ")[1:]:
        head = re.match(r"(\S+) seconds (\d+) cpu ([\d.]+) status (\d+) commit (\S+)", part)
        stat = re.search(r"stat::number_of_executed_units:\s*(\d+)", part)
        cover = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)", part)
        found = re.search(r"Test unit written to \S*/((?!\S*slow-unit)\S+)", part)
        yield {"found": found[1] if found else None, "day": head[1], "cpu": float(head[3]), "commit": head[5],
               "executions": int(stat[1]) if stat else int(cover[-1][0]) if cover else 0,
               "edges": int(cover[-1][1]) if cover else 0, "inputs": int(cover[-1][2]) if cover else 0}


def earlier(text):
    """The rows of a report, its last run and clang, and its lines about everything else."""
    rows = {}
    for name, executions, *rest in re.findall(r"^\| (\w+) \| ([\d,]+) \| (\d+) \| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.M):
        edges, inputs, findings, cpu, since = map(float, rest)
        rows[name] = {"executions": int(executions.replace(",", "")), "edges": edges, "inputs": inputs, "findings": findings,
                      "cpu": 60 * cpu, "since": 60 * since}
    last = re.search(r"last\s+run on (\S+), commit ([^\s.]+)", text)
    clang = re.search(r"\(clang ([^\s,]+),", text)
    return rows, last.groups() if last else ("", ""), clang[1] if clang else "?", re.findall(r"^- (.*)$", text, re.M)


def main():
    folder = pathlib.Path(sys.argv[1])
    lines = lambda name: (folder / name).read_text(errors="replace").splitlines() if (folder / name).exists() else []
    before, last, clang, results = earlier("\n".join(lines("log/before.txt")))
    rows, total = [], [0, 0, 0.0]
    none = dict.fromkeys(("executions", "edges", "inputs", "findings", "cpu", "since"), 0)
    logs = {p.name: p for p in (folder / "log").glob("*") if not p.suffix}
    for name in sorted(before.keys() | logs.keys()):
        row = dict(before.get(name, none))
        each = list(runs(logs[name].read_text(errors="replace"))) if name in logs else []
        for r in each:
            row["since"] = 0 if r["found"] else row["since"] + r["cpu"]
            row["executions"] += r["executions"]
            row["cpu"] += r["cpu"]
            if r["edges"]:
                row["edges"], row["inputs"] = r["edges"], r["inputs"]
            if r["day"] >= last[0]:
                last = r["day"], r["commit"]
        row["findings"] += len({r["found"] for r in each if r["found"]})
        total = [a + row[k] for a, k in zip(total, ("executions", "findings", "cpu"))]
        rows.append("| %s | %s | %d | %d | %d | %.1f | %.1f |" % (name, format(row["executions"], ","), row["edges"], row["inputs"], row["findings"],
                                                                row["cpu"] / 60, row["since"] / 60))
    rows.append("| all | %s | | | %d | %.1f | |" % (format(total[0], ","), total[1], total[2] / 60))
    for title, file, pattern in SECTIONS:
        latest = {}
        for line in results + lines("log/" + file):
            kind = re.match(r"\S+ \S+ " + pattern, line)
            if kind:
                latest.pop(kind[1], None)
                latest[kind[1]] = line
        if latest:
            rows += ["", title, ""] + ["- " + re.sub(r"\s+", " ", line) for line in latest.values()]
    clang = (lines("clang") or [clang])[0]
    header = pathlib.Path("include/libmm.h").read_text()
    version = ".".join(re.search("#define MM_VERSION_%s ([0-9]+)" % part, header)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    OUT.write_text(HEAD.format(version=version, day=last[0], commit=last[1], clang=clang) + "\n".join(rows) + "\n")
    print(OUT.read_text())


main()
