#!/bin/bash
# analyze.sh gcc|tidy [source...]: the rooms that read what strangers wrote, or the sources named, before the analyser of gcc or
# clang-tidy (.clang-tidy says with which checks). Prints "ok" or "FAIL" and the findings, one line a source.
cd "$(dirname "$0")/.." || exit 1
tool=$1
shift
case $tool in
gcc) command -v gcc >/dev/null || { echo 'FAIL gcc is not there: make deps'; exit 1; } ;;
tidy) command -v clang-tidy >/dev/null || { echo 'FAIL clang-tidy is not there: make deps-test'; exit 1; } ;;
*) sed -n 2,3p "$0"; exit 2 ;;
esac
read_source() {
    # error.c and its promises are what analyze.h speaks of.
    local model='-include tests/analyze.h'
    [ "$2" = src/base/error.c ] && model=
    local clean=FAIL said
    # shellcheck disable=SC2086
    case $1 in
    gcc) gcc -std=c11 -D_GNU_SOURCE -O1 -fanalyzer -Werror $model -c "$2" -o /dev/null && clean=ok ;;
    tidy)
        said=$(clang-tidy --quiet --config-file=.clang-tidy "$2" -- -std=c11 -D_GNU_SOURCE -Wno-unused-value $model 2>&1) && clean=ok
        [ $clean = ok ] || grep -v -E '^[0-9]+ warnings? generated' <<<"$said"
        ;;
    esac
    echo "$clean $1 $2"
    [ $clean = ok ]
}
export -f read_source
[ $# -gt 0 ] || mapfile -t all < <(find src/base src/file src/text src/image src/audio src/api -name '*.c' | LC_ALL=C sort)
printf '%s\n' "${@:-${all[@]}}" | xargs -n 1 -P "$(nproc)" bash -c 'read_source "$1" "$2"' - "$tool"
