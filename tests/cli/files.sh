# Files that are missing, damaged, foreign or of an unknown kind: one line that names the file, and the right status.
. tests/cli/lib.sh
model=$G/llama/model-f32.gguf

refuses "missing model" 1 "nowhere.gguf" info "$tmp/nowhere.gguf"
refuses "missing directory" 1 "$tmp/none" run "$tmp/none" hello
mkdir "$tmp/bare"
refuses "directory without a model" 4 "config.json" info "$tmp/bare"

: >"$tmp/empty.gguf"
refuses "empty file" 4 "empty.gguf" info "$tmp/empty.gguf"
for size in 4 20 100 1000 5000 90000 170000; do
    head -c $size $model >"$tmp/cut.gguf"
    refuses "gguf cut at $size bytes" 4 "cut.gguf" run "$tmp/cut.gguf" hello
done
for size in 4 200 100000 200000; do
    head -c $size $G/whisper/ggml-f16.bin >"$tmp/cut.bin"
    refuses "ggml .bin cut at $size bytes" 4 "cut.bin" transcribe "$tmp/cut.bin" $G/_inputs/speech_16k.wav
done
cp -r $G/llama "$tmp/hf" && rm -f "$tmp"/hf/*.gguf
for size in 5 500 100000; do
    head -c $size $G/llama/model.safetensors >"$tmp/hf/model.safetensors"
    refuses "safetensors cut at $size bytes" 4 "model.safetensors" run "$tmp/hf" hello
done
cp $G/llama/model.safetensors "$tmp/hf/"
head -c 300 $G/llama/config.json >"$tmp/hf/config.json"
refuses "config.json cut" 4 "config.json" run "$tmp/hf" hello

sed 's/"model_type": *"llama"/"model_type": "marmot"/; s/LlamaForCausalLM/MarmotForCausalLM/' $G/llama/config.json >"$tmp/hf/config.json"
refuses "unknown architecture is named" 3 "marmot" run "$tmp/hf" hello
"${PYTHON:-python3}" - "$model" "$tmp/arch.gguf" <<'PY'
import sys
data = open(sys.argv[1], "rb").read()
at = data.index(b"general.architecture") + len("general.architecture") + 4 + 8
open(sys.argv[2], "wb").write(data[:at] + b"zebra" + data[at + 5:])
PY
refuses "unknown architecture of a gguf is named" 3 "zebra" run "$tmp/arch.gguf" hello
"${PYTHON:-python3}" - $G/llama/config.json "$tmp/hf/config.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
del config["model_type"], config["architectures"]
json.dump(config, open(sys.argv[2], "w"))
PY
refuses "a configuration without a type" 4 "hf: .*model_type.*; " info "$tmp/hf"
"${PYTHON:-python3}" - $G/llama/config.json "$tmp/hf/config.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["hidden_size"] = 2 * config["hidden_size"]
json.dump(config, open(sys.argv[2], "w"))
PY
refuses "tensor of another shape is named" 4 "(layers|embed|norm)" run "$tmp/hf" hello

head -c 5000 /dev/zero >"$tmp/zero.gguf"
refuses "zeros" 4 "zero.gguf" info "$tmp/zero.gguf"
refuses "a picture is no model" 4 "photo.jpg" info $G/_inputs/photo.jpg
refuses "a program is no model" 4 "Makefile" info Makefile
echo '{"libmm": 1, "assembly": "blip2", "parts": {"text": {"path": "/etc/passwd"}}}' >"$tmp/a.mm.json"
refuses "a manifest with an absolute path" 4 "relative" info "$tmp/a.mm.json"
echo '{"libmm": 1, "assembly": "gargoyle", "parts": {}}' >"$tmp/b.mm.json"
refuses "a manifest of an unknown assembly" 3 "gargoyle" info "$tmp/b.mm.json"

echo '[{"role"' >"$tmp/broken.json"
refuses "missing picture" 1 "none.png" run $G/llava hello --image "$tmp/none.png"
head -c 1000 $G/_inputs/rgba.png >"$tmp/cut.png"
refuses "picture cut short" 1 "cut.png" run $G/llava hello --image "$tmp/cut.png"
refuses "text as a picture" 1 "Makefile" run $G/llava hello --image Makefile
refuses "picture for a text model" 3 "small.png: .*llama takes no pictures, only text; .*mm info" run $G/llama hello --image $G/_inputs/small.png
refuses "an empty path of a picture" 1 "empty text is no path" run $G/llava hello --image ""
refuses "missing recording" 1 "none.wav" transcribe $G/whisper "$tmp/none.wav"
refuses "text as a recording" 1 "Makefile" transcribe $G/whisper Makefile
"${PYTHON:-python3}" - "$tmp/flac.ogg" <<'PY'
import struct, sys
def page(flags, body):
    head, crc = b"OggS\0" + bytes([flags]) + bytes(16), 0
    for byte in head + bytes(4) + bytes([1, len(body)]) + body:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return head + struct.pack("<I", crc) + bytes([1, len(body)]) + body
open(sys.argv[1], "wb").write(page(2, b"\x7fFLAC\1\0\0\1fLaC" + bytes(38)) + page(4, bytes(40)))
PY
refuses "a codec in OGG that is not read" 1 "flac.ogg: .*not Vorbis or Opus; convert" transcribe $G/whisper "$tmp/flac.ogg"
refuses "sound for a picture model" 3 "speech_16k.wav: .*llava takes no sound" run $G/llava hello --audio $G/_inputs/speech_16k.wav
refuses "transcribe with a text model" 3 "$G/llama: .*transcribe" transcribe $G/llama $G/_inputs/speech_16k.wav
refuses "a conversation that is no JSON" 4 "broken.json: .*JSON" run $G/llama --messages "$tmp/broken.json"
refuses "a directory as a text" 1 "$tmp/hf: .*directory" tokenize $G/llama --file "$tmp/hf"
refuses "a text with a NUL byte" 1 "zero.gguf: .*NUL" tokenize $G/llama --file "$tmp/zero.gguf"
# A text that never ends is not read into all of the memory. (A sanitizer needs more than that for itself.)
(
    [ -n "${SAN:-}" ] || ulimit -v 3000000
    refuses "a device as a text" 1 "/dev/zero: .*NUL" tokenize $G/llama --file /dev/zero
    refuses "... as a conversation" 1 "/dev/zero: .*NUL" run $G/llama --messages /dev/zero
    refuses "a text without an end" 1 "is longer than 256 MiB" tokenize $G/llama --file <(yes)
    exit $bad
) || bad=1
refuses "run with a model of vectors" 3 "$G/bert: .*cannot generate; use mm embed" run $G/bert hello
refuses "embed with a text model" 3 "$G/llama: .*cannot embed; use mm run" embed $G/llama --text hello
refuses "... score" 3 "$G/whisper: .*cannot score; use mm transcribe" score $G/whisper --image x --text y

# Half a recording: what there is, and a line that says so.
half() { # NAME FILE
    size=$(stat -c %s "$2")
    head -c $((size / 2)) "$2" >"$tmp/half.${2##*.}"
    run_mm transcribe $G/whisper "$tmp/half.${2##*.}"
    verdict "$1" "$([ $status -eq 0 ] && [ "$(wc -l <"$tmp/err")" -eq 1 ] && grep -q "half.*ends early" "$tmp/err" || echo "status $status: $(head -c 300 "$tmp/err")")"
}
half "half a WAV file" $G/_inputs/speech_16k.wav
exit $bad
