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
refuses "option without its value" 2 "value is missing: --seed" run model --seed
refuses "number that is none" 2 "whole number.*--max-tokens" run model x --max-tokens many
refuses "negative number" 2 "whole number.*--ctx" run model x --ctx -1
refuses "number with a tail" 2 "number.*--temp" run model x --temp 0.5x
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
refuses "a device there is not" 2 "gpu9.*mm devices" run $G/llama x --device gpu9
refuses "ids that are none" 2 "token ids" run $G/llama x --force-ids one
refuses "an empty stop string" 2 "empty string" run $G/llama x --stop ""
refuses "a language there is not" 2 "language.*ISO code" transcribe $G/whisper $G/_inputs/speech_16k.wav --language kl
refuses "precision of another name" 2 "exact or fast" run model x --precision double
refuses "dump without a file" 2 "STAGE=FILE" run model x --dump logits
refuses "one argument too many" 2 "too many" run model prompt again
refuses "transcribe without a recording" 2 "AUDIO" transcribe $G/whisper
matches "devices lists the processor" "^(0 +)?cpu" devices
exit $bad
