#!/bin/bash
# Every source read by clang with the warnings of the build as errors; nothing is built. Prints one line a source that has any.
cd "$(dirname "$0")/.." || exit 1
command -v clang >/dev/null || { echo 'FAIL clang is not there: make deps-test'; exit 1; }
avx2='-mavx2 -mfma -mf16c' avx512="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx2 -mfma -mf16c"
export avx2 avx512
read_source() {
    case $1 in
    *_avx2.c) flags=$avx2 ;;
    *_avxvnni.c) flags="-mavxvnni $avx2" ;;
    *_avx512.c) flags=$avx512 ;;
    *_avx512bf16.c) flags="-mavx512bf16 $avx512" ;;
    *) flags= ;;
    esac
    case $1 in src/base/* | src/file/* | src/text/* | src/image/* | src/audio/* | src/api/*) flags="$flags -Wconversion" ;; esac
    # shellcheck disable=SC2086
    if clang -fsyntax-only -D_GNU_SOURCE -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
        -Wno-unused-parameter -Werror -pthread -ffp-contract=off $flags "$1"; then echo "ok $1"; else echo "FAIL $1"; fi
}
export -f read_source
find src examples/mm -name '*.c' | LC_ALL=C sort | xargs -n 1 -P "$(nproc)" bash -c 'read_source "$1"' -
