# Helpers of the command-line tests; sourced. Each check prints "ok NAME" or "FAIL NAME" with what was seen.
BUILD=${BUILD:-build}
MM=$BUILD/mm
G=tests/golden
bad=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

verdict() { # NAME, problem (empty: none)
    if [ -z "$2" ]; then echo "ok $1"; else echo "FAIL $1: $2"; bad=1; fi
}

# run_mm ARGUMENTS...: runs mm without input; sets status, and the files $tmp/out and $tmp/err.
run_mm() {
    "$MM" "$@" </dev/null >"$tmp/out" 2>"$tmp/err"
    status=$?
}

# refuses NAME STATUS REGEX ARGUMENTS...: mm ends with STATUS, prints nothing on stdout and one line matching REGEX on stderr.
refuses() {
    local name=$1 want=$2 regex=$3 problem=
    shift 3
    run_mm "$@"
    [ $status -eq "$want" ] || problem="status $status, not $want; "
    [ -s "$tmp/out" ] && problem+="stdout is not empty; "
    [ "$(wc -l <"$tmp/err")" -eq 1 ] || problem+="$(wc -l <"$tmp/err") lines on stderr, not 1; "
    grep -q -E -- "$regex" "$tmp/err" || problem+="no /$regex/; "
    [ -n "$problem" ] && problem+="stderr: $(head -c 300 "$tmp/err")"
    verdict "$name" "$problem"
}

# prints NAME ARGUMENTS... <<< TEXT: mm ends with 0 and prints exactly the text.
prints() {
    local name=$1 problem=
    shift
    cat >"$tmp/want"
    run_mm "$@"
    [ $status -eq 0 ] || problem="status $status: $(head -c 300 "$tmp/err"); "
    cmp -s "$tmp/want" "$tmp/out" || problem+="printed: $(head -c 300 "$tmp/out")"
    verdict "$name" "$problem"
}

# matches NAME REGEX ARGUMENTS...: mm ends with 0 and some line it prints matches.
matches() {
    local name=$1 regex=$2 problem=
    shift 2
    run_mm "$@"
    [ $status -eq 0 ] || problem="status $status: $(head -c 300 "$tmp/err"); "
    grep -q -E -- "$regex" "$tmp/out" || problem+="no /$regex/ in: $(head -c 300 "$tmp/out")"
    verdict "$name" "$problem"
}

# every stdout line of the last run is a JSON document with this key
json_lines() { # NAME KEY
    verdict "$1" "$("${PYTHON:-python3}" -c '
import json, sys
lines = open(sys.argv[1]).read().splitlines()
if not lines: print("nothing printed")
for line in lines:
    try: document = json.loads(line)
    except ValueError as e: print(e, line[:100])
    else:
        if sys.argv[2] not in document: print("no key", sys.argv[2], line[:100])' "$tmp/out" "$2")"
}
