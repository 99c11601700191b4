# mm run: prompts, limits, JSON events.
. tests/cli/lib.sh
model=$G/llama

"${PYTHON:-python3}" -c 'print("long text " * 20000)' >"$tmp/long.txt"
run_long() { "$MM" run $model - "$@" <"$tmp/long.txt" >"$tmp/out" 2>"$tmp/err"; status=$?; }
run_long --raw
verdict "a text longer than the context" "$([ $status -eq 1 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q -i "context.*--ctx N, or --truncate" "$tmp/err" && [ ! -s "$tmp/out" ] || echo "status $status: $(head -c 300 "$tmp/err")")"
run_long --raw --truncate --max-tokens 4
verdict "... runs with --truncate" "$([ $status -eq 0 ] || echo "status $status: $(head -c 300 "$tmp/err")")"

matches "json events" '"kind":"end"' run $model hello --raw --json --max-tokens 5 --ignore-eos
json_lines "... are JSON, one a line" kind
verdict "... five text tokens at most" "$(n=$(grep -c '"kind":"text"' "$tmp/out"); [ "$n" -ge 1 ] && [ "$n" -le 5 ] || echo "$n")"
cp "$tmp/out" "$tmp/first"
run_mm run $model hello --raw --json --max-tokens 5 --ignore-eos
verdict "greedy answers repeat" "$(diff <(grep -v '"end"' "$tmp/first") <(grep -v '"end"' "$tmp/out") | head -3)"
run_mm run $model hello --raw --json --max-tokens 5 --ignore-eos --threads 1
verdict "the number of threads does not change them" "$(diff <(grep -v '"end"' "$tmp/first") <(grep -v '"end"' "$tmp/out") | head -3)"
run_mm run $model hello --raw --json --max-tokens 6 --ignore-eos --temp 1 --seed 7
cp "$tmp/out" "$tmp/first"
run_mm run $model hello --raw --json --max-tokens 6 --ignore-eos --temp 1 --seed 7
verdict "sampled answers repeat with the seed" "$(diff <(grep -v '"end"' "$tmp/first") <(grep -v '"end"' "$tmp/out") | head -3)"
matches "alternatives with their log-probabilities" '"top":\[\{"id":[0-9]+,"logprob":-?[0-9.e-]+\},' run $model hello --raw --json --max-tokens 2 --top-logprobs 3

printf '\xff\xfe hello \xc3' >"$tmp/bad.txt"
"$MM" run $model - --raw --max-tokens 2 --ignore-eos <"$tmp/bad.txt" >"$tmp/out" 2>"$tmp/err"; status=$?
verdict "a prompt that is no UTF-8 does not crash" "$([ $status -le 1 ] || echo "status $status")"
echo '[{"role":"user","content":[{"type":"text","text":"hello"}]}]' >"$tmp/m.json"
matches "a conversation from a file" . run $model --messages "$tmp/m.json" --json --max-tokens 3 --ignore-eos
echo '[{"role":"user"' >"$tmp/broken.json"
run_mm run $model --messages "$tmp/broken.json"
verdict "a broken conversation" "$([ $status -ne 0 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] || echo "status $status: $(head -c 300 "$tmp/err")")"
matches "a picture in the prompt" '"kind":"end"' run $G/llava "<image> what?" --image $G/_inputs/photo.jpg --raw --json --max-tokens 3 --ignore-eos

# The layer the pictures' rows are taken from, from either end, 0 in front of the first block: the reference's most probable
# token behind the same prompt, and its log-probability.
mkdir "$tmp/layer"
cp $G/llava/*.json $G/llava/model.safetensors "$tmp/layer"
while read -r layer id logprob; do
    sed "s/\(\"vision_feature_layer\": \)-2/\1$layer/" $G/llava/config.json >"$tmp/layer/config.json"
    matches "the rows of layer $layer" "\"id\":$id,.*\"logprob\":$logprob" run "$tmp/layer" "<image> what is it" \
        --image $G/_inputs/photo.jpg --raw --json --max-tokens 1 --ignore-eos --temp 0 --precision exact
done <<'EOF'
-2 337 -2.937
-4 22 -3.502
0 22 -3.502
1 75 -2.82
-1 8 -3.617
3 8 -3.617
EOF
exit $bad
