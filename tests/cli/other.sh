# tokenize, info, embed, score, transcribe, bench, --dump.
. tests/cli/lib.sh

matches "tokenize prints ids" '^\{"ids":\[[0-9, ]+\]\}$' tokenize $G/llama --json "hello world"
json_lines "... as JSON" ids
echo -n "hello world" >"$tmp/t.txt"
cp "$tmp/out" "$tmp/first"
run_mm tokenize $G/llama --json --file "$tmp/t.txt"
verdict "... the same from a file" "$(diff "$tmp/first" "$tmp/out")"

matches "info names the parts" "llama" info $G/llama
run_mm info $G/llama --json
json_lines "info --json is one document" parts
matches "info --tensors lists tensors" "embed_tokens|token_embd" info $G/llama --tensors
matches "info of a picture model" "image" info $G/llava

matches "embed prints a vector" '"kind":"vector"' embed $G/bert --text hello --json
matches "two texts: the cosines" '1\.000' embed $G/bert --text hello --text hello
matches "an encoder's picture features" '"kind":"vector"' embed $G/dinov2 --image $G/_inputs/photo.jpg --json
run_mm score $G/clip --image $G/_inputs/photo.jpg --text one --text two
verdict "score: probabilities of the texts" "$([ $status -eq 0 ] && [ "$(grep -c . "$tmp/out")" -ge 2 ] || echo "status $status: $(cat "$tmp/err" "$tmp/out" | head -c 300)")"

run_mm transcribe $G/whisper $G/_inputs/speech_16k.wav --json
verdict "transcribe ends well" "$([ $status -eq 0 ] || echo "status $status: $(head -c 300 "$tmp/err")")"
json_lines "... JSON lines" kind
run_mm transcribe $G/whisper $G/_inputs/stereo_44k.wav --vtt
verdict "transcribe --vtt begins with WEBVTT" "$(head -1 "$tmp/out" | grep -qx WEBVTT || head -c 200 "$tmp/out" "$tmp/err")"

run_mm run $G/llama hello --raw --max-tokens 2 --dump "logits=$tmp/l.safetensors"
verdict "--dump writes a safetensors file" "$([ $status -eq 0 ] && head -c 400 "$tmp/l.safetensors" | grep -q -a '"dtype":"F32"' || echo "status $status: $(head -c 300 "$tmp/err")")"
matches "bench reports every figure" '"prefill_tps":[0-9.]+,"decode_tps":[0-9.]+,"encode_ms":[0-9.]+,"load_ms":[0-9.]+,"peak_mb":[0-9.]+,"threads":[0-9]+,"precision":"fast"' \
    bench $G/llama --prompt 16 --gen 8 --reps 1 --json
exit $bad
