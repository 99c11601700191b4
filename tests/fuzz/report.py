#!/usr/bin/env python3
"""Prints tests/fuzz/REPORT.md from the logs that `make fuzz` left: python3 tests/fuzz/report.py FOLDER. A run is one call of
run.sh; nothing is estimated."""
import pathlib
import re
import sys

OUT = pathlib.Path("tests/fuzz/REPORT.md")
HEAD = """# What the fuzz targets have run

Written by `make fuzz-report` from the logs of `make fuzz` (clang {clang}, libFuzzer, address and undefined-behaviour sanitizers); last
run on {day}, commit {commit}. A finding is an input that ended a target badly: a crash, a hang, a leak, an undocumented status. Each
was fixed in the library or, where it was the target's own mistake, there, and its input lies in `tests/fuzz/corpus`; an input that was
met again before its fix counts once. Edges are those of the last run; executions and processor time are sums over all runs, "since" counts from the last finding of that target.

| target | executions | edges | inputs | findings | CPU minutes | since |
|---|---:|---:|---:|---:|---:|---:|
"""


def runs(text):
    for part in text.split("=== run of ")[1:]:
        head = re.match(r"(\S+) seconds (\d+) cpu ([\d.]+) status (\d+) commit (\S+)", part)
        stat = re.search(r"stat::number_of_executed_units:\s*(\d+)", part)
        cover = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: \d+ corp: (\d+)", part)
        found = re.search(r"Test unit written to \S*/((?!\S*slow-unit)\S+)", part)
        yield {"found": found[1] if found else None, "day": head[1], "cpu": float(head[3]), "commit": head[5],
               "executions": int(stat[1]) if stat else int(cover[-1][0]) if cover else 0,
               "edges": int(cover[-1][1]) if cover else 0, "inputs": int(cover[-1][2]) if cover else 0}


def main():
    folder = pathlib.Path(sys.argv[1])
    rows, total, last = [], [0, 0, 0.0], ("", "")
    for log in sorted(p for p in (folder / "log").glob("*") if not p.suffix):
        each = list(runs(log.read_text(errors="replace")))
        since = 0.0
        for r in each:
            since = 0.0 if r["found"] else since + r["cpu"]
        sums = [sum(r["executions"] for r in each), len({r["found"] for r in each if r["found"]}), sum(r["cpu"] for r in each)]
        total = [a + b for a, b in zip(total, sums)]
        shown = next((r for r in reversed(each) if r["edges"]), each[-1])
        rows.append("| %s | %s | %d | %d | %d | %.1f | %.1f |" % (log.name, format(sums[0], ","), shown["edges"], shown["inputs"], sums[1], sums[2] / 60, since / 60))
        last = max(last, (each[-1]["day"], each[-1]["commit"]))
    rows.append("| all | %s | | | %d | %.1f | |" % (format(total[0], ","), total[1], total[2] / 60))
    corpus = folder / "log/corpus.txt"
    if corpus.exists():
        rows += ["", "Damaged files, `make corpus`: date, commit, compiler and sanitizers, result:", ""]
        rows += ["- " + line for line in corpus.read_text().splitlines()[-4:]]
    clang = next((l for l in (folder / "clang").read_text().splitlines()), "?") if (folder / "clang").exists() else "?"
    OUT.write_text(HEAD.format(day=last[0], commit=last[1], clang=clang) + "\n".join(rows) + "\n")
    print(OUT.read_text())


main()
