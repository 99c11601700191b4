#!/usr/bin/env python3
"""Freezes what a release promises: python3 tests/abi/freeze.py 0.1

Reads include/libmm.h and writes, once for each minor release,
  tests/abi/layout_0_1.c       sizes, offsets and constants as compile-time assertions
  tests/abi/old/0.1/libmm.h    the header as it was released
  tests/abi/old/0.1/program.txt  what program.c beside it prints
program.c is written by hand. A frozen file is never edited again; tests/abi/run.sh uses them all.
"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stub import without_comments

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "include" / "libmm.h"


def structs(text):
    """{name: [field, ...]} of every struct that is defined, in order."""
    found = {}
    for body, name in re.findall(r"typedef struct \w+ \{(.*?)\} (\w+);", text, flags=re.S):
        fields = []
        for line in body.split(";"):
            pointer = re.search(r"\(\*(\w+)\)", line)
            if pointer:
                fields.append(pointer.group(1))
            elif line.strip():
                fields += [re.search(r"(\w+)(\[\d+\])?$", part.strip()).group(1) for part in line.split(",")]
        found[name] = fields
    return found


def constants(text):
    names = re.findall(r"^#define (MM_[A-Z0-9_]+) (?!_)\S", text, flags=re.M)
    return [n for n in names if n != "MM_API" and not n.startswith("MM_VERSION") and not n.endswith("_INIT")]


def measure(expressions):
    """Values of C expressions, by the compiler."""
    source = '#include <libmm.h>\n#include <stdio.h>\nint main(void){\n'
    source += "".join(f'printf("%ld\\n", (long)({e}));\n' for e in expressions) + "return 0;}\n"
    with tempfile.TemporaryDirectory() as tmp:
        c, program = Path(tmp) / "m.c", Path(tmp) / "m"
        c.write_text(source)
        subprocess.run(["gcc", "-I", ROOT / "include", "-o", program, c], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()


def layout(version, text):
    lines = [f"/* What libmm {version} promises, as its compiler measured it on x86-64. Compiled, not run; frozen. */",
             "#include <libmm.h>", "", "#define HOLDS(name, condition) typedef char name[(condition) ? 1 : -1]", ""]
    tests = [(n, n) for n in constants(text)]
    for struct, fields in structs(text).items():
        tests.append((f"size_of_{struct}", f"sizeof({struct})"))
        for f in fields:
            tests.append((f"{struct}_{f}", f"offsetof({struct}, {f})"))
            tests.append((f"{struct}_{f}_size", f"sizeof((({struct} *)0)->{f})"))
    for (name, e), value in zip(tests, measure([e for _, e in tests])):
        lines.append(f"HOLDS(holds_{name}, (long)({e}) == {value});")
    return "\n".join(lines) + "\n"


def record_program(old):
    """Runs the host of the release on the library as it is now, and keeps what it says."""
    with tempfile.TemporaryDirectory() as tmp:
        program = Path(tmp) / "program"
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-I", old, "-o", program, old / "program.c", "-L", ROOT / "lib", "-lmm",
                        f"-Wl,-rpath,{ROOT / 'lib'}"], check=True)
        said = subprocess.run([program, "tests/golden/llama"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    (old / "program.txt").write_text(said)


def main():
    version = sys.argv[1]
    text = without_comments(HEADER.read_text())
    old = ROOT / "tests" / "abi" / "old" / version
    old.mkdir(parents=True, exist_ok=True)
    (ROOT / "tests" / "abi" / f"layout_{version.replace('.', '_')}.c").write_text(layout(version, text))
    shutil.copyfile(HEADER, old / "libmm.h")
    if (old / "program.c").exists():
        record_program(old)


main()
