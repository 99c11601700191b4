# Folders without tokenizer.json, but with the files it was made from: the same ids as with it.
. tests/cli/lib.sh
texts=("Hello there, world! It's 42.5% more

  than   ASCII; don't we'll I'M." "Ünïcode 漢字 🙂 CAFÉ naïve	tab" " lead <|endoftext|> [SEP] </s> tail ")

# plain FAMILY NAME FILE...: a copy of the family's folder without tokenizer.json and these files.
plain() {
    local family=$1 name=$2 file
    shift 2
    rm -rf "${tmp:?}/$name" && mkdir "$tmp/$name"
    for file in "$G/$family"/*.{json,txt,safetensors}; do
        case " tokenizer.json expected.json expected.safetensors $* " in *" ${file##*/} "*) ;; *) [ -e "$file" ] && ln -s "$PWD/$file" "$tmp/$name/" ;; esac
    done
}

same_ids() { # NAME, FOLDER, FAMILY
    local text problem=
    for text in "${texts[@]}"; do
        "$MM" tokenize "$G/$3" --json --special "$text" >"$tmp/want" 2>&1
        run_mm tokenize "$2" --json --special "$text"
        cmp -s "$tmp/want" "$tmp/out" || problem+="status $status, $(head -c 200 "$tmp/err" "$tmp/out"), not $(head -c 200 "$tmp/want"); "
    done
    verdict "$1" "$problem"
}

for family in gpt2 qwen2 clip bert whisper; do
    plain $family whole
    same_ids "$family without tokenizer.json" "$tmp/whole" $family
    plain $family bare tokenizer_config.json special_tokens_map.json
    texts[2]=" lead tail "
    same_ids "... nor files that name its class and special tokens" "$tmp/bare" $family
    texts[2]=" lead <|endoftext|> [SEP] </s> tail "
done

# What the class names is special, so a text that only spells it stays text; what nothing names is a token wherever it stands.
plain gpt2 bare tokenizer_config.json special_tokens_map.json
prints "a special token spelled in a text" tokenize "$tmp/bare" --json "a <|endoftext|>" <<<"$("$MM" tokenize $G/gpt2 --json "a <|endoftext|>")"
rm "$tmp/bare/added_tokens.json"
sed 's/}/, "<mark>": 330}/' $G/gpt2/added_tokens.json >"$tmp/bare/added_tokens.json"
matches "an added token that is not special" ' 330\]|,330\]' tokenize "$tmp/bare" --json "a <mark>"

# This tokenizer.json puts a token in front that nothing else states but add_bos_token.
plain opt opt tokenizer_config.json
sed 's/^{/{"add_bos_token": true,/' $G/opt/tokenizer_config.json >"$tmp/opt/tokenizer_config.json"
same_ids "opt, add_bos_token" "$tmp/opt" opt
plain bert cased tokenizer_config.json
sed 's/"do_lower_case": true/"do_lower_case": false/' $G/bert/tokenizer_config.json >"$tmp/cased/tokenizer_config.json"
run_mm tokenize "$tmp/cased" --json "THE the"
verdict "do_lower_case false keeps the case" "$([ "$(cat "$tmp/out")" != "$("$MM" tokenize $G/bert --json "the the")" ] || cat "$tmp/out")"

plain gpt2 run
"$MM" run $G/gpt2 hello --raw --max-tokens 8 --ignore-eos --temp 0 --precision exact >"$tmp/said" 2>&1 </dev/null
prints "and the model runs" run "$tmp/run" hello --raw --max-tokens 8 --ignore-eos --temp 0 --precision exact <"$tmp/said"

plain gpt2 x merges.txt
refuses "vocab.json without merges.txt" 4 "x/merges.txt: no such file.*tokenizer.json" tokenize "$tmp/x" hello
plain gpt2 x vocab.json
refuses "neither vocabulary" 4 "x: no tokenizer is there; add tokenizer.json, .*vocab.json with merges.txt.*vocab.txt" tokenize "$tmp/x" hello
plain gpt2 x tokenizer_config.json
sed 's/"GPT2Tokenizer"/"MarmotTokenizerFast"/' $G/gpt2/tokenizer_config.json >"$tmp/x/tokenizer_config.json"
refuses "a class nobody knows" 3 "tokenizer_class .MarmotTokenizerFast.*save_pretrained" tokenize "$tmp/x" hello
for content in '[1, 2]' '7' '{"a": "b"}' '{"a": -1}' '{}'; do
    plain gpt2 x vocab.json added_tokens.json
    echo "$content" >"$tmp/x/vocab.json"
    refuses "vocab.json $content" 4 "x/(vocab.json|merges.txt): " tokenize "$tmp/x" hello
done
plain gpt2 x tokenizer_config.json merges.txt
echo '{"added_tokens_decoder": [1], "bos_token": 7, "additional_special_tokens": {"a": 1}}' >"$tmp/x/tokenizer_config.json"
printf 'no-pair\n' >"$tmp/x/merges.txt"
refuses "a merge that is no pair" 4 "merges.txt: .*pair" tokenize "$tmp/x" hello
exit $bad
