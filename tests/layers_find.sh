# What tests/layers.py must find, and what it must let pass: a small tree for each, checked against the real rules.
cd "$(dirname "$0")/.." || exit 1
tree=$(mktemp -d) bad=0
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/src/encoder" "$tree/src/image" "$tree/src/text" "$tree/src/assembly" "$tree/src/base"
cp src/encoder/registry.def "$tree/src/encoder/"
cp src/assembly/registry.def "$tree/src/assembly/"

# finds FILE CODE [REGEX]: without a regex the check must be content, with one its first line must match.
finds() {
    local problem=
    printf '%s\n' "$2" >"$tree/src/$1"
    "${PYTHON:-python3}" tests/layers.py "$tree" tests/layers.txt >"$tree/out"
    local status=$?
    if [ -n "${3:-}" ]; then
        if [ $status -ne 1 ] || ! head -n 1 "$tree/out" | grep -q -E "$3"; then problem="no /$3/: $(head -n 1 "$tree/out")"; fi
    elif [ $status -ne 0 ]; then
        problem=$(head -n 1 "$tree/out")
    fi
    rm "$tree/src/$1"
    if [ -z "$problem" ]; then echo "ok $1: $2"; else echo "FAIL $1: $2: $problem"; bad=1; fi
}

finds image/a.c 'int x;'
finds image/a.c '#include "../assembly/registry.def"' 'image/a.c:1: room image may not include assembly/registry.def'
finds image/a.c 'int f(void) { return llava(); }' 'names the model "llava"$'
finds image/a.c 'const char *s = "CLIPImageProcessor";' 'names the model "CLIP" in a string'
finds image/a.c 'const char *s = "ChineseCLIP";' 'names the model "CLIP" in a string'
finds image/a.c 'const char *s = "Blip", *t;' 'names the model "Blip" in a string'
finds image/a.c 'const char *s = "a dinov3 tower";' 'names the model "dinov" in a string'
finds image/a.c 'const char *s = "ViT";' 'names the model "ViT" in a string'
finds image/a.c '/* as CLIP does */ // or "llava"'
finds image/a.c 'const char *s = "an eclipse, clamped, previtem; the linear layer, an option";'
finds assembly/a.c 'const char *s = "llava";'
finds text/load_json_ops.c 'const char *s = "BertNormalizer";'
finds text/load_json.c 'const char *s = "BertNormalizer";' 'names the model "Bert" in a string'
finds base/a.c 'void *p(void) { return malloc(1); }' 'calls malloc\(\)'
exit $bad
