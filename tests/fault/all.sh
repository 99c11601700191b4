#!/bin/bash
# all.sh LOG PROGRAM...: every case of each fault program. Adds a line for each to LOG/faults.txt, which tests/fuzz/report.py reads:
# date, commit, program, its last line, and the figures it printed.
set -o pipefail
log=$1
shift
mkdir -p "$log"
for program; do
    name=${program##*fault_}
    "$program" -a | tee "$log/faults.now"
    rc=$?
    figures=$(sed -n -E 's/^(     |ok +)([^ ].*(;|:|,) .*(MiB|ms|times?|saved).*)$/; \2/p' "$log/faults.now" | tr -s ' ' | tr -d '\n')
    echo "$(date -u +%Y-%m-%d) $(git rev-parse --short HEAD) $name: $(tail -n 1 "$log/faults.now")$figures" >>"$log/faults.txt"
    [ $rc -eq 0 ] || exit 1
done
