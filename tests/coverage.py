#!/usr/bin/env python3
"""What tests ran of some rooms: reads the counts that programs built with --coverage left in BUILD/obj/src/ROOM, by gcov, and
prints a row for each room: lines that ran and branches that were taken, of those there are.

A line of a header counts once for the room that the header lies in, whoever included it; a branch is one way out of a
condition, so each condition has two. Compiled without optimisation, as `make coverage` does, they are those of the source."""
import argparse
import collections
import datetime
import json
import pathlib
import subprocess
import sys

BATCH = 16


def counts(build, rooms):
    """{file: {line: [runs, {branch: runs}]}}"""
    files = collections.defaultdict(dict)
    notes = sorted(p for room in rooms for p in (build / "obj/src" / room).rglob("*.gcno"))
    if not notes:
        sys.exit("coverage: %s holds nothing that was built with --coverage" % build)
    for first in range(0, len(notes), BATCH):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *map(str, notes[first:first + BATCH])],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if done.returncode:
            sys.exit("coverage: gcov failed with status %d" % done.returncode)
        for unit in done.stdout.splitlines():
            for file in json.loads(unit)["files"]:
                for line in file["lines"]:
                    seen = files[file["file"]].setdefault(line["line_number"], [0, collections.Counter()])
                    seen[0] += line["count"]
                    for i, branch in enumerate(line["branches"]):
                        seen[1][line.get("function_name"), i] += branch["count"]
    return files


def share(reached, all_of):
    return "%5.1f %% (%5d of %5d)" % (100 * reached / all_of if all_of else 100, reached, all_of)


def ranges(numbers):
    """3 4 5 9 -> 3-5 9"""
    parts = []
    for n in numbers:
        if parts and parts[-1][1] == n - 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return " ".join(str(a) if a == b else "%d-%d" % (a, b) for a, b in parts)


def print_missed(files, rooms):
    for name, lines in sorted(files.items()):
        if not name.startswith(tuple("src/%s/" % room for room in rooms)):
            continue
        never = [n for n, (runs, _) in sorted(lines.items()) if not runs]
        ways = ["%d:%d" % (n, left) for n, (runs, branches) in sorted(lines.items())
                if runs and (left := sum(not b for b in branches.values()))]
        if never or ways:
            print(name)
            print("    lines that never ran:", ranges(never) or "none")
            print("    branches never taken, line:number:", " ".join(ways) or "none")
    print()


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--missed", action="store_true", help="lists what none reached, by file")
    options.add_argument("--log", type=pathlib.Path, help="adds the table to this file, for tests/fuzz/report.py")
    options.add_argument("build", type=pathlib.Path, metavar="BUILD")
    options.add_argument("rooms", nargs="+", metavar="ROOM")
    asked = options.parse_args()
    files = counts(asked.build, asked.rooms)
    if asked.missed:
        print_missed(files, asked.rooms)
    print("%-6s  %-24s  %-24s" % ("room", "lines", "branches"))
    rows = []
    for room in asked.rooms:
        lines = [line for name, of in files.items() if name.startswith("src/%s/" % room) for line in of.values()]
        branches = [b for _, each in lines for b in each.values()]
        ran, taken = share(sum(runs > 0 for runs, _ in lines), len(lines)), share(sum(b > 0 for b in branches), len(branches))
        print("%-6s  %s  %s" % (room, ran, taken))
        rows.append("%s: lines %s, branches %s\n" % (room, ran, taken))
    if asked.log:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
        with open(asked.log, "a") as out:
            out.writelines("%s %s %s" % (datetime.date.today(), commit, row) for row in rows)


main()
