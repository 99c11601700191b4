"""Reads what the address sanitizer of a Python process reports, and prints what is the library's: `leaks.py FOLDER`.

A Python that ends leaves much memory of its own behind, which LeakSanitizer reports too. A leak is the library's when on the
way from malloc outwards its code comes before any of Python's: what a Python callback leaves behind is not. What only leaked
memory of Python's points at - a model of a thread that the end of Python stopped - is Python's leak: every chain of
leaks begins with a direct one, so without one of the library's its indirect leaks do not count.
"""
import pathlib
import re
import sys

OURS = re.compile(r" src/[a-z]+/[^ ]*\.c\b|/libmm[^/]*\.so")
PYTHON = re.compile(r"python|ffi")


def is_ours(record):
    for frame in re.findall(r"^ *#\d+ .*", record, re.M):
        if OURS.search(frame):
            return True
        if PYTHON.search(frame):
            return False
    return False


def found(report):
    """The library's leaks in a report, and whatever in it is about something else than leaks."""
    kept, leaks = [], []
    for part in re.split(r"\n\s*\n", report):
        if re.match(r"\s*(Direct|Indirect) leak of", part):
            if is_ours(part):
                leaks.append(part)
        elif "detected memory leaks" not in part and not part.lstrip("-\n ").startswith(("Suppressions used", "SUMMARY")) and part.strip():
            kept.append(part)
    return kept + (leaks if any("Direct leak of" in part for part in leaks) else [])


def main():
    kept = [part for path in sorted(pathlib.Path(sys.argv[1]).iterdir()) for part in found(path.read_text("utf-8", "replace"))]
    print(*kept, sep="\n\n", end="\n" if kept else "")
    sys.exit(bool(kept))


if __name__ == "__main__":
    main()
