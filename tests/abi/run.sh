#!/bin/bash
# The promise of include/ABI.md, checked on the built libraries: what they export and import; layouts, headers and programs of
# earlier releases; struct sizes; loading and unloading.
LIB=${LIB:-lib} SAN=${SAN:-} BUILD=${BUILD:-build} CC=${CC:-gcc} PYTHON=${PYTHON:-python3} LDLIBS=${LDLIBS:-}
dir=$BUILD/abi
mkdir -p "$dir"
shared=$(readlink -f "$LIB/libmm.so") static=$LIB/libmm.a bad=0
result() { # NAME, text of what is wrong (empty: nothing)
    if [ -z "$2" ]; then echo "ok abi: $1"; else echo "FAIL abi: $1"; echo "$2"; bad=1; fi
}

result "the symbol list equals tests/abi/symbols.txt" \
    "$(nm -D --defined-only "$shared" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort | diff tests/abi/symbols.txt - 2>&1)"
declared() { # HEADER NODE: the functions of a header as symbols of a version node
    grep -o 'MM_API.*\bmm_[a-z_]*(' "$1" | sed "s/.*\b\(mm_[a-z_]*\)(\$/\1@@$2/"
}
result "the headers declare exactly these functions" \
    "$({ declared include/libmm.h LIBMM_0; declared include/libmm_experimental.h LIBMM_EXPERIMENTAL; } | LC_ALL=C sort | diff tests/abi/symbols.txt - 2>&1)"
result "libmm.a exports mm_* only" "$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | grep -v '^mm_[a-z]')"
result "libmm.a and libmm.so export the same" \
    "$(nm -g --defined-only "$static" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort | diff <(sed 's/@@.*//' tests/abi/symbols.txt) - 2>&1)"
result "the soname is libmm.so.0" "$(readelf -d "$shared" | grep SONAME | grep -v '\[libmm.so.0\]')"
result "no executable stack, no text relocation" \
    "$(readelf -lW "$shared" | grep GNU_STACK | grep RWE; readelf -d "$shared" | grep TEXTREL)"
if [ -z "$SAN" ]; then
    forbidden='exit|_exit|_Exit|quick_exit|abort|__assert_fail|atexit|getenv|secure_getenv|setenv|putenv|setlocale|signal|sigaction|raise|system|popen|execve?|fork|printf|vprintf|fprintf|vfprintf|__printf_chk|__fprintf_chk|puts|putchar|fputs|fputc|fwrite|perror|stdout|stderr|srand|rand|strtok'
    result "no forbidden import" "$(nm -D --undefined-only "$shared" | awk '{ sub(/@.*/, "", $2); print $2 }' | grep -x -E "$forbidden")"
fi

# compile OUT SOURCE...: against the header of today, linked with the shared library of today.
compile() {
    local out=$1
    shift
    $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror ${SAN:+-fsanitize=$SAN} -Iinclude -o "$dir/$out" "$@" -L"$LIB" -lmm -ldl \
        -Wl,-rpath,"$(readlink -f "$LIB")" $LDLIBS
}
for layout in tests/abi/layout_*.c; do
    result "$(basename "$layout" .c) holds" "$($CC -std=c11 -Wno-unused-local-typedefs -Iinclude -c "$layout" -o "$dir/layout.o" 2>&1)"
done

# Programs of earlier releases, each with its own header.
for release in tests/abi/old/*/; do
    name=$(basename "$release")
    $CC -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror ${SAN:+-fsanitize=$SAN} -I"$release" -o "$dir/program" "${release}program.c" -L"$LIB" -lmm \
        -Wl,-rpath,"$(readlink -f "$LIB")" 2>"$dir/log" && "$dir/program" tests/golden/llama 2>&1 | diff "${release}program.txt" - >>"$dir/log" 2>&1
    result "the program of $name runs as it did" "$(cat "$dir/log")"
done

# abidiff of a frozen header, compiled as an empty library, with the library of today; additions are no difference.
differs() { # RELEASE HEADER SHARED
    "$PYTHON" -B tests/abi/stub.py "$1/libmm.h" "$dir/stub.c" && $CC -g -w -shared -fPIC -o "$dir/libmm_old.so" "$dir/stub.c" \
        -Wl,--version-script=src/api/libmm.map -Wl,-soname,libmm.so.0 &&
        abidiff --no-added-syms --drop-private-types --headers-dir1 "$1" --headers-dir2 "$2" "$dir/libmm_old.so" "$3"
}
if command -v abidiff >/dev/null && [ -z "$SAN" ]; then
    for release in tests/abi/old/*/; do
        result "abidiff finds no break since $(basename "$release")" "$(differs "${release%/}" include "$shared" >"$dir/log" 2>&1 || cat "$dir/log")"
    done
    # and it would find one
    mkdir -p "$dir/broken"
    sed 's/uint32_t top_k; /uint64_t top_k; /' include/libmm.h >"$dir/broken/libmm.h"
    result "abidiff finds a field that was widened" "$(differs "$dir/broken" include "$shared" >/dev/null 2>&1 && echo "it does not")"
fi

run_it() { # COMMAND...: a test program of this folder, whose lines count by themselves
    "$@" || bad=1
}
if compile sizes tests/abi/sizes.c; then run_it "$dir/sizes"; else result "sizes.c compiles" failed; fi
if [ -z "$SAN" ]; then
    cp "$shared" "$dir/libmm_copy.so"
    if compile cycles tests/abi/cycles.c; then run_it "$dir/cycles" 1000 "$shared" "$dir/libmm_copy.so"; else result "cycles.c compiles" failed; fi
fi
exit $bad
