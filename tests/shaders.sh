#!/bin/bash
# Every shader of the build is valid SPIR-V for Vulkan 1.1 (spirv-val). Prints one line each.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build} PYTHON=${PYTHON:-python3}
spv=$(mktemp)
trap 'rm -f "$spv"' EXIT
command -v spirv-val >/dev/null || { echo 'FAIL spirv-val is not there: make deps-test'; exit 1; }
for inc in "$BUILD"/shaders/*.inc; do
    [ -e "$inc" ] || { echo 'ok this build has no shaders'; exit 0; }
    "$PYTHON" -c 'import re, struct, sys
words = [int(w, 16) for w in re.findall("0x[0-9a-f]+", open(sys.argv[1]).read())]
open(sys.argv[2], "wb").write(struct.pack("<%dI" % len(words), *words))' "$inc" "$spv"
    if spirv-val --target-env vulkan1.1 "$spv"; then echo "ok $(basename "$inc" .inc)"; else echo "FAIL $(basename "$inc" .inc)"; fi
done
