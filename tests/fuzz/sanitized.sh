#!/bin/bash
# sanitized.sh NAME: the damaged files ("corpus"), or the stored inputs of a fuzz target, under the address and undefined-behaviour
# sanitizers: builds that one program, and the library for it, in a folder of its own, and runs it. Without Vulkan, which reads
# nothing that strangers wrote.
set -e
folder=build-sanitized name=$1
export MM_TEST_SLOW=5
case $name in
corpus) program=$folder/corpus arguments=(-n 10000) ;;
*) program=$folder/replay_$name arguments=("$name" "tests/fuzz/corpus/$name") ;;
esac
mkdir -p $folder
make -s --no-print-directory -j"$(nproc)" SAN=address,undefined BUILD=$folder LIB=$folder/lib VULKAN= CC="${CC:-gcc}" $program \
    >$folder/log 2>&1 || { tail -n 40 $folder/log; exit 1; }
exec $program "${arguments[@]}"
