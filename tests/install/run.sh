#!/bin/bash
# Installed below a prefix: the README's program compiles with pkg-config against the shared and the static library and
# runs; uninstall leaves no file behind.
set -u
BUILD=${BUILD:-build} SAN=${SAN:-} CC=${CC:-gcc} bad=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export PKG_CONFIG_PATH=$tmp/lib/pkgconfig
verdict() { if [ "$2" -eq 0 ]; then echo "ok install: $1"; else echo "FAIL install: $1"; cat "$tmp/log"; bad=1; fi; }
sanitize=${SAN:+-fsanitize=$SAN}

make --no-print-directory install PREFIX="$tmp" SAN="$SAN" >"$tmp/log" 2>&1
verdict "make install" $?
[ "$(pkg-config --modversion libmm 2>"$tmp/log")" = "$(sed -n 's/^Version: //p' "$PKG_CONFIG_PATH/libmm.pc")" ]
verdict "pkg-config knows the version" $?
$CC -std=c11 $sanitize -o "$tmp/shared" examples/caption.c $(pkg-config --cflags --libs libmm) >"$tmp/log" 2>&1
verdict "compiles against the shared library" $?
LD_LIBRARY_PATH=$tmp/lib "$tmp/shared" tests/golden/llava tests/golden/_inputs/photo.jpg >"$tmp/log" 2>&1
verdict "runs with the shared library" $?
$CC -std=c11 $sanitize -o "$tmp/static" examples/caption.c -I"$tmp/include" "$tmp/lib/libmm.a" \
    $(sed -n 's/^Libs.private: //p' "$PKG_CONFIG_PATH/libmm.pc") >"$tmp/log" 2>&1
verdict "compiles against the static library" $?
"$tmp/static" tests/golden/llava tests/golden/_inputs/photo.jpg >"$tmp/log" 2>&1
verdict "runs with the static library" $?
"$tmp/bin/mm" devices >"$tmp/log" 2>&1
verdict "mm runs from there" $?
make --no-print-directory uninstall PREFIX="$tmp" SAN="$SAN" >"$tmp/log" 2>&1
[ -z "$(find "$tmp/bin" "$tmp/lib" "$tmp/include" "$tmp/share" -not -type d)" ]
verdict "make uninstall removes it" $?
exit $bad
