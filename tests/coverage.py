#!/usr/bin/env python3
"""What tests ran of some rooms: coverage.py [--missed] [--log FILE] BUILD ROOM... reads the counts that programs built with --coverage left
in BUILD/obj/src/ROOM, by gcov, and prints a row for each room: lines that ran and branches that were taken, of those there are.
--missed lists the rest by file. --log adds the table to a file, for tests/fuzz/report.py.

A line of a header counts once for the room that the header lies in, whoever included it; a branch is one way out of a
condition, so each condition has two. Compiled without optimisation, as `make coverage` does, they are those of the source."""
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


def main():
    missed = "--missed" in sys.argv
    arguments = [a for a in sys.argv[1:] if a != "--missed"]
    log = arguments[1] if arguments[0] == "--log" else None
    build, *rooms = arguments[2:] if log else arguments
    files = counts(pathlib.Path(build), rooms)
    if missed:
        for name, lines in sorted(files.items()):
            if name.startswith(tuple("src/%s/" % room for room in rooms)):
                never = [n for n, (runs, _) in sorted(lines.items()) if not runs]
                ways = ["%d:%d" % (n, left) for n, (runs, branches) in sorted(lines.items()) if runs and (left := sum(not b for b in branches.values()))]
                if never or ways:
                    print("%s\n    lines that never ran: %s\n    branches never taken, line:number: %s" % (name, ranges(never) or "none", " ".join(ways) or "none"))
        print()
    print("%-6s  %-24s  %-24s" % ("room", "lines", "branches"))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    for room in rooms:
        lines = [line for name, of in files.items() if name.startswith("src/%s/" % room) for line in of.values()]
        branches = [b for _, each in lines for b in each.values()]
        ran, taken = share(sum(runs > 0 for runs, _ in lines), len(lines)), share(sum(b > 0 for b in branches), len(branches))
        print("%-6s  %s  %s" % (room, ran, taken))
        if log:
            with open(log, "a") as out:
                out.write("%s %s %s: lines %s, branches %s\n" % (datetime.date.today(), commit, room, ran, taken))


main()
