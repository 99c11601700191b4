#!/usr/bin/env python3
"""Writes a C file that defines every function of a public header, emptily: python3 tests/abi/stub.py libmm.h stub.c

Compiled with -g it carries exactly the types of that header, so abidiff can compare a header that was frozen with the library
of today. (abidiff 2.2 cannot read back its own XML description of a library with opaque structs.)
"""
import re
import sys
from pathlib import Path


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def functions(text):
    """Every declared function, as the text before its semicolon."""
    return re.findall(r"MM_API ([^;]*\([^;]*\));", without_comments(text))


if __name__ == "__main__":
    header, out = Path(sys.argv[1]), Path(sys.argv[2])
    lines = [f'#include "{header.resolve()}"']
    for declaration in functions(header.read_text()):
        lines.append(declaration + (" {}" if declaration.startswith("void ") else " { return 0; }"))
    out.write_text("\n".join(lines) + "\n")
