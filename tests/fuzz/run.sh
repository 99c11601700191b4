#!/bin/bash
# run.sh FOLDER TARGET SECONDS: one run of a fuzz target that FOLDER holds. New inputs go to FOLDER/inputs/TARGET, where the next
# run begins; an input that ends the target badly is named and kept in FOLDER/found. The log is added to FOLDER/log/TARGET, which
# report.py reads.
folder=$1 target=$2 seconds=$3
inputs=$folder/inputs/$target found=$folder/found log=$folder/log/$target
mkdir -p "$inputs" "$found" "$(dirname "$log")"
clang -dumpversion >"$folder/clang"
# libvorbis loses memory on damaged files; the rest must not.
echo 'leak:vorbis_info_init' >"$folder/lsan.supp"
export LSAN_OPTIONS=suppressions=$folder/lsan.supp:print_suppressions=0
case $target in
api_calls) longest=512 ;;
snapshot) longest=8192 ;;
*) longest=65536 ;;
esac
"$folder/fuzz_$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=$longest -print_final_stats=1 \
    -artifact_prefix="$found/$target-" "$inputs" "tests/fuzz/corpus/$target" >"$log.now" 2>&1
rc=$?
times >"$log.times" # its second line: user and system time of what this script has run
cpu=$(tr ms '  ' <"$log.times" | awk 'NR == 2 { print 60 * $1 + $2 + 60 * $3 + $4 }')
# libFuzzer's clock goes on while the process or the machine stands still: an input that needs less than these seconds of the
# processor when it runs again alone is no finding.
unit=$(sed -n 's/.*Test unit written to \(.*-timeout-[0-9a-f]*\)$/\1/p' "$log.now")
if [ $rc -eq 70 ] && [ -e "$unit" ] && (ulimit -t 20; exec "$folder/fuzz_$target" "$unit") >/dev/null 2>&1; then
    sed -i 's/Test unit written to \(.*-timeout-\)/In time when repeated: \1/' "$log.now"
    rm "$unit"
    rc=0
fi
{
    echo "=== run of $(date -u +%Y-%m-%d) seconds $seconds cpu $cpu status $rc commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- src || echo +)"
    grep -a -E '^#[0-9]+.*cov:|^stat::|SUMMARY|ERROR|^FAIL|Test unit written' "$log.now" | tail -n 20
} >>"$log"
grep -a -E 'SUMMARY|ERROR|^FAIL|Test unit written' "$log.now"
grep -a -E '^#[0-9]+.*cov:' "$log.now" | tail -n 1
exit $rc
