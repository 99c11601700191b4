#!/bin/bash
# Rules of the Makefile, on a tree of two files: a source that is gone takes its object out of the libraries, a change of
# flags builds anew, nothing is built without a reason, and a missing header is answered with how to get it.
set -u
CC=${CC:-gcc} bad=0
makefile=$PWD/Makefile
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
verdict() { if [ "$2" -eq 0 ]; then echo "ok make: $1"; else echo "FAIL make: $1"; cat "$tmp/log"; bad=1; fi; }
# What the check itself was called with is not for this tree, which has no shaders either.
mk() { env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES make -C "$tmp" -f "$makefile" --no-print-directory SAN= VULKAN= CFLAGS=-O1 "$@" >"$tmp/log" 2>&1; }
has() { nm "$tmp/$1" 2>>"$tmp/log" | grep -q " T $2\$"; }

mkdir -p "$tmp/include" "$tmp/src/room" "$tmp/src/backend/vulkan"
touch "$tmp/src/backend/vulkan/absent.c"
cp include/libmm.h "$tmp/include"
for name in stays goes; do
    echo "__attribute__((visibility(\"default\"))) int mm_$name(void); int mm_$name(void) { return 1; }" >"$tmp/src/room/$name.c"
done
both() { mk lib/libmm.a build/libmm_all.a CC="$CC" "$@"; }

both && has lib/libmm.a mm_goes && has build/libmm_all.a mm_goes
verdict "builds the libraries" $?
both && [ ! -s "$tmp/log" -o "$(grep -c -v 'is up to date' "$tmp/log")" = 0 ]
verdict "builds nothing twice" $?
both CFLAGS=-O2 && grep -q 'CC .*stays' "$tmp/log" && grep -q 'AR .*libmm.a' "$tmp/log"
verdict "other flags build anew" $?
rm "$tmp/src/room/goes.c"
both CFLAGS=-O2 && has lib/libmm.a mm_stays && ! has lib/libmm.a mm_goes && has build/libmm_all.a mm_stays && ! has build/libmm_all.a mm_goes
verdict "a source that is gone leaves the libraries" $?

# A compiler that finds no header.
printf '#!/bin/sh\nexit 1\n' >"$tmp/blind"
chmod +x "$tmp/blind"
rm -r "$tmp/build"
! mk lib/libmm.a CC="$tmp/blind" && grep -q 'make deps' "$tmp/log" && ! grep -q 'CC  ' "$tmp/log" && [ ! -e "$tmp/build/headers" ]
verdict "missing headers are answered with make deps" $?
exit $bad
