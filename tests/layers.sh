#!/bin/sh
# `make layers`: checks src/ and examples/ against tests/layers.txt. Prints one line per violation; exits 1 if any.
exec python3 "$(dirname "$0")/layers.py" "$@"
