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
refuses "precision of another name" 2 "exact or fast" run model x --precision double
refuses "dump without a file" 2 "STAGE=FILE" run model x --dump logits
refuses "one argument too many" 2 "too many" run model prompt again
refuses "transcribe without a recording" 2 "AUDIO" transcribe $G/whisper
matches "devices lists the processor" "^(0 +)?cpu" devices
exit $bad
