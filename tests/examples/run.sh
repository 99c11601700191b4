#!/bin/bash
# Every program of examples/: on the fixture models what must hold whatever they answer, and with models/ present what the real
# ones say. Each is built from its one file and the public header, and is at most 150 lines.
. tests/cli/lib.sh
E=$BUILD/examples
V=examples/demo/demo-vlm.mm.json

# ends NAME STATUS REGEX COMMAND...: the status, and a line of the output that matches.
ends() {
    local name=$1 want=$2 regex=$3 problem=
    shift 3
    "$@" >"$tmp/out" 2>&1
    local status=$?
    [ $status -eq "$want" ] || problem="status $status, not $want; "
    grep -q -E -- "$regex" "$tmp/out" || problem+="no /$regex/ in: $(head -c 300 "$tmp/out")"
    verdict "$name" "$problem"
}

for source in examples/*.c; do
    name=$(basename "$source" .c)
    verdict "$name is short and includes one header of ours" \
        "$([ "$(wc -l <"$source")" -le 150 ] || echo "too long"; grep -n '#include "' "$source"; grep -c '#include <libmm.h>' "$source" | grep -v '^1$')"
    ends "$name without arguments says how it is used" 2 "usage: $name MODEL" "$E/$name"
    grep -q "$name" tests/examples/run.sh || verdict "$name is tested below" "it is not"
done

ends "caption" 0 . "$E/caption" $G/llava $G/_inputs/photo.jpg
ends "transcribe" 0 '^language ' "$E/transcribe" $G/whisper $G/_inputs/speech_16k.wav
ends "embed" 0 '^1\.0000$' "$E/embed" $G/bert "the same text" "the same text"
printf 'one\ntwo\n' >"$tmp/questions"
ends "chat: the second question keeps the pictures" 0 'positions held' "$E/chat" $G/llava $G/_inputs/photo.jpg $G/_inputs/small.png <"$tmp/questions"
ends "search: every picture gets a score" 0 '^ *-?[0-9.]+ +.*rgba' "$E/search" $G/clip "a photo" $G/_inputs/rgba.png $G/_inputs/photo.jpg
printf 'alpha beta\ngamma delta\n\nepsilon\n' >"$tmp/documents"
ends "documents: a line is closest to itself" 0 '^ 1\.000  gamma delta$' "$E/documents" $G/bert "$tmp/documents" "gamma delta"
ends "hooks: every byte comes back" 0 '^at most .* MiB; 0 bytes left$' "$E/hooks" $G/llama/model-f16.gguf "hello"
ends "cancel: a long answer is stopped" 0 'MM_E_CANCELLED|MM_END' "$E/cancel" $G/llama hello 1
ends "memory: the same answer as from the file" 0 . "$E/memory" $G/llama/model-f16.gguf "hello"
"$MM" run $G/llama/model-f16.gguf hello --max-tokens 32 >"$tmp/want" 2>&1
verdict "memory: equal to mm run" "$(diff "$tmp/want" "$tmp/out" | head -5)"
ends "memory: no model" 1 'cannot be read' "$E/memory" "$tmp/none" hello
ends "snapshot: a new conversation" 0 '^\(new;' "$E/snapshot" $G/llava "$tmp/talk" "one" $G/_inputs/photo.jpg
ends "snapshot: goes on" 0 '^\(continued; ' "$E/snapshot" $G/llava "$tmp/talk" "two"
verdict "snapshot: the picture is not computed again" \
    "$(sed -n 's/^(continued; \([0-9]*\) of \([0-9]*\) .*/\1 \2/p' "$tmp/out" | awk '{ if (NF != 2 || $1 >= $2) print $0 }')"
head -c 200 "$tmp/talk" >"$tmp/cut"
ends "snapshot: a damaged file" 1 "$tmp/cut" "$E/snapshot" $G/llava "$tmp/cut" "two"
mkdir "$tmp/pictures"
cp $G/_inputs/photo.jpg $G/_inputs/rgba.png "$tmp/pictures/"
echo broken >"$tmp/pictures/broken.png"
ends "folder: a broken picture is named, the others go on" 0 'broken.png: MM_E_MEDIA' "$E/folder" $G/llava "$tmp/pictures"
verdict "folder: one line a picture" "$(grep -c "^$tmp/pictures/" "$tmp/out" | grep -v '^3$')"

if [ -d models ]; then
    ends "a real picture described" 0 '^A sailboat\.$' "$E/caption" $V examples/demo/sailboat.jpg
    ends "real pictures in a folder" 0 'shapes.png: .*square' "$E/folder" $V examples/demo
    ends "a real recording" 0 'fellow Americans' "$E/transcribe" models/whisper-base-hf examples/demo/jfk.wav
    printf 'A cat sleeps.\nThe stock market fell.\nA kitten naps on a sofa.\n' >"$tmp/documents"
    ends "real documents: the market is the last" 0 'stock market' "$E/documents" models/all-MiniLM-L6-v2 "$tmp/documents" "sleeping animals"
    verdict "real documents: in order" "$(tail -n 1 "$tmp/out" | grep -v 'stock market')"
    ends "a real conversation is saved" 0 '^A sailboat' "$E/snapshot" $V "$tmp/boat" "What is in the picture?" examples/demo/sailboat.jpg
    ends "and remembered" 0 '^\(continued' "$E/snapshot" $V "$tmp/boat" "Is it a boat?"
    verdict "with most of it in the cache" "$(sed -n 's/^(continued; \([0-9]*\) of \([0-9]*\) .*/\1 \2/p' "$tmp/out" | awk '{ if (NF != 2 || 2 * $1 > $2) print $0 }')"
fi
exit $bad
