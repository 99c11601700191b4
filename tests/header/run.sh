#!/bin/bash
# The public header in every dialect a host may use, with every warning an error, included twice.
BUILD=${BUILD:-build} bad=0
dir=$BUILD/header
mkdir -p "$dir"
try() { # LABEL COMPILER ARGUMENTS...
    local label=$1
    shift
    if "$@" -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude -c tests/header/use.c -o "$dir/use.o" 2>"$dir/log"; then
        echo "ok header: $label"
    else
        echo "FAIL header: $label"; cat "$dir/log"; bad=1
    fi
}
for c in gcc clang; do
    for std in c90 c99 c11 c17; do try "$c $std" $c -std=$std -Wstrict-prototypes; done
done
for c in g++ clang++; do
    for std in c++11 c++17 c++20; do try "$c $std" $c -x c++ -std=$std; done
done
exit $bad
