# Bad command lines: status 2 and one line that says what is missing.
. tests/cli/lib.sh

run_mm
verdict "no command: usage" "$([ $status -eq 2 ] && grep -q '^  run MODEL' "$tmp/err" && [ ! -s "$tmp/out" ] || echo "status $status")"
run_mm --help
verdict "--help goes to stdout with status 0" "$([ $status -eq 0 ] && grep -q '^  run MODEL' "$tmp/out" && [ ! -s "$tmp/err" ] || echo "status $status")"
for command in run transcribe embed score tokenize info bench; do
    refuses "$command without a model" 2 "MODEL is needed" $command
done
refuses "unknown command" 2 "unknown command fly" fly model
refuses "unknown option" 2 "option" run model --fly 3
refuses "option without its value" 2 "value is missing after --seed" run model --seed
refuses "number that is none" 2 "whole number.*--max-tokens" run model x --max-tokens many
refuses "negative number" 2 "whole number.*--ctx" run model x --ctx -1
refuses "number with a tail" 2 "number.*--temp" run model x --temp 0.5x
refuses "a number that is too small, after =" 2 "from 0 up.*--temp.*-1" run model x --temp=-1
refuses "infinite temperature" 2 "number.*--temp" run model x --temp inf
refuses "negative temperature" 2 "number from 0 up.*--temp.*-1" run model x --temp -1
refuses "top-p of nothing" 2 "above 0 and up to 1.*--top-p" run model x --top-p 0
refuses "top-p above 1" 2 "above 0 and up to 1.*--top-p" run model x --top-p 1.5
refuses "min-p above 1" 2 "from 0 to 1.*--min-p" run model x --min-p 2
refuses "repeat penalty of 0" 2 "above 0.*--repeat-penalty" run model x --repeat-penalty 0
refuses "too many alternatives" 2 "0 to 20.*--top-logprobs.*21" run model x --top-logprobs 21
refuses "more threads than there can be" 2 "0 to 1024.*--threads" run model x --threads 5000
refuses "a seed beyond 64 bits" 2 "whole number.*--seed" run model x --seed 18446744073709551616
refuses "a context larger than the model's" 2 "$G/llama: .*context of 1000000" run $G/llama x --ctx 1000000
refuses "a device there is not" 2 "--device gpu9: .*mm devices" run $G/llama x --device gpu9
refuses "a type of cache that is none" 2 "--kv-type q4: .*f32, f16 or q8_0" run $G/llama x --kv-type q4
refuses "heads that are no blocks" 3 "--kv-type q8_0: .*blocks of 32.* have 8" run $G/llama x --kv-type q8_0
refuses "ids that are none" 2 "--force-ids one: .*token ids" run $G/llama x --force-ids one
refuses "a draft that is too long" 2 "--lookup 17: .*up to 16" run $G/llama x --lookup 17
refuses "drafts of a model that writes nothing" 3 "bert: .*no text" bench $G/bert --lookup 3
refuses "a text and a length to time" 2 "--prompt or --file" bench $G/llama --prompt 8 --file Makefile
refuses "an empty stop string" 2 "empty string" run $G/llama x --stop ""
refuses "a language there is not" 2 "--language kl: .*ISO code" transcribe $G/whisper $G/_inputs/speech_16k.wav --language kl
refuses "precision of another name" 2 "exact or fast" run model x --precision double
refuses "dump without a file" 2 "STAGE=FILE" run model x --dump logits
refuses "one argument too many" 2 "too many: again" run model prompt again
refuses "info takes no second argument" 2 "too many: extra" info $G/llama extra
refuses "devices takes none" 2 "too many: foo" devices foo
refuses "an option of another command" 2 "info has no use for --temp" info $G/llama --temp 1
refuses "... run and --translate" 2 "run has no use for --translate" run $G/llama x --translate
refuses "a flag with a value" 2 "--json takes no value" info $G/llama --json=yes
refuses "no repetitions" 2 "from 1 to 10000.*--reps.*\"0\"" bench $G/llama --reps 0
refuses "a model and one that is made up" 2 "MODEL or --synthetic" bench $G/llama --synthetic tiny
refuses "a folder for what is not made up" 2 "--keep needs --synthetic" bench $G/llama --keep x
refuses "a shape there is not" 2 "--synthetic huge: .*lists" bench --synthetic huge
refuses "a text and a file" 2 "TEXT or --file" tokenize $G/llama hi --file Makefile
refuses "two forms of output" 2 "only one of --json, --srt and --vtt" transcribe $G/whisper x --srt --vtt
refuses "... of JSON as well" 2 "only one of --json, --srt and --vtt" transcribe $G/whisper x --vtt --json
refuses "two recordings" 2 "one AUDIO" transcribe $G/whisper x --audio y
refuses "alternatives without JSON" 2 "--top-logprobs needs --json" run $G/llama x --top-logprobs 3
refuses "an empty model path" 2 "MODEL.*empty" info ""
refuses "an empty prompt" 2 "prompt is empty" run $G/llama ""
refuses "nothing on standard input" 2 "standard input is empty" run $G/llama
refuses "an encoder a text model lacks" 3 "llama: .*no pictures" bench $G/llama --encode
refuses "transcribe without a recording" 2 "AUDIO" transcribe $G/whisper
for word in --version version; do matches "$word" '^mm [0-9]+\.[0-9]+\.[0-9]+$' $word; done
matches "help is a command" '^  run MODEL' help
matches "--option=value" '^\{"ids":' tokenize $G/llama --json --precision=exact "a=b"
run_mm --help
for option in $(grep -o -E -- '(^|[ (|[])--?[a-z][a-z-]*' "$tmp/out" | tr -d ' (|[' | sort -u); do
    verdict "the manual page names $option" "$(sed 's/\\-/-/g' examples/mm/mm.1 | grep -q -E -- "Fl (${option#-})( |\$)" || echo missing)"
done
verdict "every option of the source is in the help or known to be short for one" "$(for option in $(sed -n 's/^    {"\(--[a-z-]*\)", .*/\1/p' examples/mm/args.c); do
    grep -q -e "$option" "$tmp/out" || [ "$option" = --verbose ] || echo "$option"; done)"
matches "devices lists the processor" "^(0 +)?cpu" devices
exit $bad
