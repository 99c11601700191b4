#!/bin/bash
# What libmm does, on real models, from the command line, each with the time it took. `make demo` runs this after building
# and fetching.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
MM=${MM:-build/mm}
demo=examples/demo

# show TITLE COMMAND...: the command as one would type it, what it prints (or the lines the sed script `only` picks), the time.
show() {
    local title=$1 start
    shift
    printf '\n== %s\n$' "$title"
    for word in "$@"; do case $word in *[!A-Za-z0-9_./-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done
    echo
    start=$(date +%s%N)
    "$@" </dev/null | sed -n "${only:-p}"
    awk -v ns=$(($(date +%s%N) - start)) 'BEGIN { printf "(%.2f s with loading)\n", ns / 1e9 }'
}

echo "The demo model knows pictograms and coloured shapes, not photographs, and is often wrong: see $demo/README.md."
show "A picture described (vision tower + trained bridge + SmolLM2)" \
    "$MM" run $demo/demo-vlm.mm.json --image $demo/sailboat.jpg "What is in the picture?"
show "Another picture" \
    "$MM" run $demo/demo-vlm.mm.json --image $demo/shapes.png "Describe the picture."
show "A recording transcribed (Whisper base, from its Hugging Face directory)" \
    "$MM" transcribe models/whisper-base-hf $demo/jfk.wav
show "A chat answered (SmolLM2-135M-Instruct, from its GGUF)" \
    "$MM" run models/smollm2-135m-instruct-q4_1.gguf "What is gravity? Answer in two sentences." --max-tokens 80
only='/^cosines/,$p' show "Three sentences compared (all-MiniLM-L6-v2; the vectors themselves are not shown)" \
    "$MM" embed models/all-MiniLM-L6-v2 --text "A cat sleeps on the sofa." --text "A kitten naps on the couch." \
    --text "The stock market fell today."
