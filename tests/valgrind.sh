#!/bin/bash
# valgrind.sh BUILD [PATTERN]: the unit tests whose name (room/name) matches PATTERN under memcheck, which knows instructions up
# to AVX2, so that the library picks its kernels for that. An error of memory, or memory that is lost for good, fails. Prints
# "ok" or "FAIL" with what was found, one line a program. Those of the Vulkan backend are left out: most of what they run is a driver,
# which compiles code as it goes.
cd "$(dirname "$0")/.." || exit 1
command -v valgrind >/dev/null || { echo 'FAIL valgrind is not there: make deps-test'; exit 1; }
export build=$1 MM_TEST_MODELS=/nonexistent MM_TEST_SLOW=50 VK_ICD_FILENAMES=/nonexistent
read_program() {
    local log clean=true
    log=$(mktemp)
    if valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite --log-file="$log" "$build/t/${1//\//_}" >"$log.out" 2>&1
    then echo "ok $1"
    else
        echo "FAIL $1 (status $?)"
        clean=false
        head -n 60 "$log"
        grep -v '^ok' "$log.out" | tail -n 20
    fi
    rm -f "$log" "$log.out"
    $clean
}
export -f read_program
export CMOCKA_MESSAGE_OUTPUT=TAP
find tests/unit -name '*.c' | sed 's|^tests/unit/||; s|\.c$||' | LC_ALL=C sort | grep -v /vulkan | grep -E "${2:-}" | xargs -n 1 -P "$(nproc)" bash -c 'read_program "$1"' -
