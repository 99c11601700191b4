#!/bin/bash
# The Go binding: formatted, vetted, tested with the race detector and every pointer that goes to C checked; the C functions
# called from Go without it (goraw); the programs of examples/go built and run. Uses the library in $LIB through a pkg-config
# file of its own, and no network. Under SAN=address or SAN=thread all runs with that sanitizer in place of the race detector.
set -u
BUILD=${BUILD:-build} LIB=${LIB:-lib} SAN=${SAN:-} CC=${CC:-gcc} bad=0
root=$PWD
PATH=$PATH:/usr/local/go/bin
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
export GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=1 CC
[ -n "${HOME:-}${GOCACHE:-}" ] || export GOCACHE=$root/$BUILD/go/cache
verdict() { if [ "$2" -eq 0 ]; then echo "ok go: $1"; else echo "FAIL go: $1"; cat "$tmp/log"; bad=1; fi; }

# ends NAME STATUS REGEX COMMAND...: the status, and a line of the output that matches.
ends() {
    local name=$1 want=$2 regex=$3
    shift 3
    "$@" >"$tmp/log" 2>&1
    [ $? -eq "$want" ] && grep -q -a -E -- "$regex" "$tmp/log"
    verdict "$name" $?
}

go version >"$tmp/log" 2>&1
verdict "there is a Go" $?
[ $bad -eq 0 ] || exit 1
release=$(go env GOVERSION | sed 's/^go1\.\([0-9]*\).*/\1/')

mkdir -p "$BUILD/go"
printf 'Name: libmm\nDescription: in the source tree\nVersion: 0\nCflags: -I%s/include\nLibs: -L%s/%s -lmm -Wl,-rpath,%s/%s\n' \
    "$root" "$root" "$LIB" "$root" "$LIB" >"$BUILD/go/libmm.pc"
export PKG_CONFIG_PATH=$root/$BUILD/go
$CC -Iinclude -o "$BUILD/go/probe" tests/bindings/probe.c >"$tmp/log" 2>&1 && "$BUILD/go/probe" >"$BUILD/go/probe.json" 2>"$tmp/log"
verdict "what C makes of the header" $?
$CC -D_GNU_SOURCE ${SAN:+-fsanitize=$SAN} -Iinclude -o "$BUILD/go/table" tests/bindings/table.c -L"$LIB" -lmm -ljansson -Wl,-rpath,"$root/$LIB" \
    >"$tmp/log" 2>&1 && "$BUILD/go/table" tests/bindings/table.json >"$BUILD/go/table.jsonl" 2>"$tmp/log"
verdict "what C computes for the table" $?
export LIBMM_PROBE=$root/$BUILD/go/probe.json LIBMM_TABLE=$root/$BUILD/go/table.jsonl

# Every pointer given to C is checked, also those stored: an experiment of the compiler since 1.21, a setting before.
how=(-race)
case $SAN in
'') if [ "$release" -ge 21 ]; then experiment=cgocheck2; else export GODEBUG=cgocheck=2; fi ;;
thread) export CGO_CFLAGS="-g -O1 -fsanitize=thread" CGO_LDFLAGS=-fsanitize=thread how=() ;;
*) how=(-asan) ;;
esac
checked() { GOEXPERIMENT=${experiment:-} go "$1" "${how[@]}" "${@:2}"; }
(cd bindings/go && checked test -tags libmm_experimental -count 1 -v .) >"$tmp/tests" 2>&1
status=$?
sed -n 's/^ *--- PASS: \(.*\) (.*/ok go: \1/p; s/^ *--- FAIL: \(.*\) (.*/FAIL go: \1/p' "$tmp/tests"
grep -v -E '^ *(=== |--- PASS|PASS|ok )' "$tmp/tests" | head -n 200
grep -q '^--- PASS' "$tmp/tests" && [ $status -eq 0 ]
verdict "the tests end well" $?
: >"$tmp/raw"
checked build -o "$BUILD/go/goraw" tests/bindings/goraw/main.go >"$tmp/log" 2>&1 && "$BUILD/go/goraw" >"$tmp/raw" 2>"$tmp/log"
status=$?
cat "$tmp/raw"
verdict "wrong calls of the C functions end well" $status

if [ -z "$SAN" ]; then
    [ -z "$(gofmt -l bindings/go examples/go tests/bindings/goraw 2>&1 | tee "$tmp/log")" ]
    verdict "formatted" $?
    (cd bindings/go && go vet -tags libmm_experimental . && cd ../../examples/go && go vet ./... && go vet ../../tests/bindings/goraw/main.go) \
        >"$tmp/log" 2>&1
    verdict "vetted" $?
    (cd bindings/go && go list -deps . | grep '\.' | grep -v '^internal/\|^vendor/golang.org/') >"$tmp/log" 2>&1
    [ ! -s "$tmp/log" ]
    verdict "nothing but the standard library" $?
fi

for source in examples/go/*/main.go; do
    [ "$(wc -l <"$source")" -le 80 ]
    verdict "$source is short" $?
done
tree=(-tags libmm_tree)
[ "$LIB" = lib ] || tree=()
(cd examples/go && go build ${SAN:+"${how[@]}"} "${tree[@]}" -o "$root/$BUILD/go/" ./...) >"$tmp/log" 2>&1
verdict "the examples build" $?
G=tests/golden E=$BUILD/go
for name in caption transcribe search; do ends "$name without arguments says how it is used" 2 "usage: $name MODEL" "$E/$name"; done
ends "caption" 0 . "$E/caption" $G/llava $G/_inputs/photo.jpg
ends "caption without a model" 1 '^caption: .*no such file' "$E/caption" $G/none $G/_inputs/photo.jpg
ends "transcribe" 0 '^ +0\.[0-9]+ - +1\.[0-9]+ ' "$E/transcribe" $G/whisper $G/_inputs/speech_16k.wav
ends "search finds every picture" 0 '^ *-?0\.[0-9]+  .*photo\.jpg$' "$E/search" $G/clip $G/_inputs a photo
if [ -d models ]; then
    ends "a real picture described" 0 '^A sailboat\.$' "$E/caption" examples/demo/demo-vlm.mm.json examples/demo/sailboat.jpg
    ends "a real recording" 0 'fellow Americans' "$E/transcribe" models/whisper-base-hf examples/demo/jfk.wav
fi
exit $bad
