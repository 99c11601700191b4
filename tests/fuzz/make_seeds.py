#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into tests/fuzz/corpus/<target>/seed-*: small valid inputs of every kind, made here or
taken from tests/golden. Run from the root of the repository after `make`, only when a seed is to change: the result is in the
tree. Sound needs ffmpeg, pictures Pillow, snapshots the Python binding and zstd. Inputs that once ended a target badly lie beside
the seeds as found-*.
"""
import io
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

OUT = pathlib.Path("tests/fuzz/corpus")
GOLDEN = pathlib.Path("tests/golden")


def seed(target, name, data):
    folder = OUT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("seed-" + name)).write_bytes(data if isinstance(data, bytes) else data.encode())


def u32(*values):
    return struct.pack("<%dI" % len(values), *values)


def u64(*values):
    return struct.pack("<%dQ" % len(values), *values)


# ---- GGUF ----

def gguf_string(s):
    return u64(len(s.encode())) + s.encode()


def gguf_value(v):
    if isinstance(v, str):
        return u32(8) + gguf_string(v)
    if isinstance(v, bool):
        return u32(7) + bytes([v])
    if isinstance(v, float):
        return u32(6) + struct.pack("<f", v)
    if isinstance(v, list):
        kind = gguf_value(v[0])[:4]
        return u32(9) + kind + u64(len(v)) + b"".join(gguf_value(x)[4:] for x in v)
    return u32(4, v)


def gguf(keys, tensors, align=32):
    """`tensors`: name -> (dims, type, bytes)."""
    out = b"GGUF" + u32(3) + u64(len(tensors), len(keys)) + b"".join(gguf_string(k) + gguf_value(v) for k, v in keys.items())
    data = b""
    for name, (dims, kind, content) in tensors.items():
        data += bytes(-len(data) % align)
        out += gguf_string(name) + u32(len(dims)) + u64(*dims) + u32(kind) + u64(len(data))
        data += content
    return out + bytes(-len(out) % align) + data


def make_gguf():
    keys = {"general.architecture": "llama", "general.alignment": 64, "llama.block_count": 1, "a.real": 1.5, "a.bool": True,
            "tokenizer.ggml.tokens": ["<s>", "a", "\u2581b"], "tokenizer.ggml.scores": [0.0, -1.0, -2.5], "tokenizer.ggml.token_type": [3, 1, 1]}
    tensors = {"token_embd.weight": ([4, 3], 0, bytes(48)), "blk.0.q.weight": ([32, 2], 2, bytes(36)), "norm": ([4], 1, bytes(8))}
    seed("gguf", "small", gguf(keys, tensors, 64))
    seed("gguf", "empty", gguf({}, {}))
    seed("gguf", "split", gguf({"split.no": 0, "split.count": 2}, {}))
    seed("gguf", "v2", gguf({"general.architecture": "x"}, {"t": ([32], 8, bytes(34))}).replace(u32(3), u32(2), 1))


def make_safetensors():
    def file(header, n):
        text = json.dumps(header).encode()
        return u64(len(text)) + text + bytes(n)
    two = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
           "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}}
    seed("safetensors", "two", file(two, 22))
    seed("safetensors", "none", file({}, 0))
    seed("safetensors", "other", file({"x": {"dtype": "F8_E4M3", "shape": [1, 1, 1, 1, 3], "data_offsets": [0, 3]}}, 3))


def make_speech():
    filters = struct.pack("<6f", *[0.5] * 6)
    tokens = b"".join(u32(len(t)) + t for t in (b"a", b" b", b"<|x|>"))
    tensor = u32(2, 1, 0, 3, 2) + b"w" + bytes(24)
    seed("ggml_bin", "small", u32(0x67676D6C, 3, 1, 4, 1, 1, 4, 4, 1, 1, 2, 1, 2, 3) + filters + u32(3) + tokens + tensor)

    def name(s):
        return struct.pack("<H", len(s) + 1) + s.encode() + b"\0"
    matrix = name("encoder/w") + bytes([2]) + u32(2, 3) + bytes([0]) + u32(24) + bytes(24)
    scalar = name("n") + bytes([0, 2]) + struct.pack("<Ih", 2, 7)
    seed("ctranslate2", "small", u32(6) + name("WhisperSpec") + u32(3, 2) + matrix + scalar + u32(1) + name("alias") + name("encoder/w"))


# ---- text ----

def make_tokenizers():
    for family in ("llama", "bert", "clip", "phi3", "qwen2", "flan_t5"):
        data = json.loads((GOLDEN / family / "tokenizer.json").read_text())
        model = data["model"]
        vocab = model["vocab"]
        if isinstance(vocab, dict):  # the first merges and what they need: a small file is changed more often where it matters
            merges = model.get("merges", [])[:20]
            pairs = [m.split(" ") if isinstance(m, str) else m for m in merges]
            kept = set(sorted(vocab, key=vocab.get)[:300]) | {a + b for a, b in pairs} | {x for p in pairs for x in p}
            model["vocab"] = {k: v for k, v in vocab.items() if k in kept}
            if merges:
                model["merges"] = merges
        else:
            model["vocab"] = vocab[:60]
            model["unk_id"] = min(model.get("unk_id") or 0, 59)
        data["added_tokens"] = data.get("added_tokens", [])[:6]
        text = json.dumps(data, ensure_ascii=False)
        config = GOLDEN / family / "tokenizer_config.json"
        seed("tokenizer_json", family, text)
        if family in ("llama", "bert"):
            seed("tokenizer_json", family + "-config", text + "\0" + json.dumps({k: v for k, v in json.loads(config.read_text()).items()
                                                                                if k != "added_tokens_decoder"}))
    for family in ("siglip/spiece.model", "flan_t5/spiece.model"):
        seed("sentencepiece", family.split("/")[0], (GOLDEN / family).read_bytes())


def make_templates():
    for path in sorted(GOLDEN.glob("*/chat_template.jinja")):
        seed("chat_template", path.parent.name, path.read_bytes())
    known = json.loads(pathlib.Path("tests/unit/text/template_cases.json").read_text())
    for i, case in enumerate(known["cases"]):
        seed("chat_template", "case-%02d" % i, case["template"] + "\0" + json.dumps(known["context"]))


def make_messages():
    text = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi <image> <|eot_id|>"}, {"role": "assistant", "content": "Yes."}]
    parts = [{"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {"url": "small.png"}}]}]
    pixel = "data:image/bmp;base64,Qk06AAAAAAAAADYAAAAoAAAAAQAAAAEAAAABABgAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAA////AA=="
    data = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": pixel}}, {"type": "text", "text": "?"}], "name": "x"}]
    tools = {"messages": text, "tools": [{"type": "function", "function": {"name": "f"}}], "enable_thinking": False}
    for name, value in (("text", text), ("parts", parts), ("data", data), ("tools", tools)):
        for model in (2, 3):
            seed("messages", "%s-%d" % (name, model), bytes([model]) + json.dumps(value).encode())


def make_texts():
    texts = ["The little dog ran home.", "  don't 12345\n\n\t\u4f60\u597d \U0001f600 <s></s><|im_end|> [CLS]", "\u00e9e\u0301 \u1e9e \ufdfa", "a" * 50]
    for model in range(12):
        for i, text in enumerate(texts):
            if (model + i) % 2 == 0:
                seed("text", "%d-%d" % (model, i), bytes([model << 2 | (i & 3)]) + text.encode())


def make_configs():
    names = [("llama", "config.json"), ("gpt2", "config.json"), ("bert", "config.json"), ("clip", "config.json"), ("whisper", "config.json"),
             ("flan_t5", "config.json"), ("llava", "config.json"), ("blip2_opt", "config.json"), ("idefics", "config.json"), ("gemma3", "config.json"),
             ("phi3_longrope", "config.json"), ("dinov2", "config.json"), ("siglip", "config.json"), ("qwen3", "config.json"),
             ("whisper", "preprocessor_config.json"), ("llava", "preprocessor_config.json"), ("clip", "preprocessor_config.json"),
             ("whisper", "generation_config.json"), ("llama", "tokenizer_config.json"), ("llama", "generation_config.json"),
             ("llama_sharded_f16", "model.safetensors.index.json"), ("whisper/ct2", "config.json")]
    for i, (family, name) in enumerate(names):
        seed("config_json", "%02d" % i, bytes([i]) + (GOLDEN / family / name).read_bytes())
    parts = {r: {"path": "blip2_opt"} for r in ("vision", "bridge", "text")}
    seed("manifest", "blip2", json.dumps({"libmm": 1, "name": "x", "assembly": "blip2", "parts": parts, "image": "blip2_opt/preprocessor_config.json",
                                          "prompt": {"placeholder": "<image>", "media": "first"}}))
    seed("manifest", "lm", json.dumps({"libmm": 1, "assembly": "lm", "parts": {"text": {"path": "llama"}}}))
    seed("manifest", "config", json.dumps({"libmm": 1, "assembly": "lm", "parts": {"text": {"path": "llama/model.safetensors", "config": "llama/config.json"}}}))


# ---- media ----

def make_sounds():
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000:duration=0.15", "-bitexact", "-map_metadata", "-1"]
    kinds = {"u8.wav": ["-c:a", "pcm_u8"], "s16.wav": [], "s24.wav": ["-c:a", "pcm_s24le", "-ac", "2"], "f32.wav": ["-c:a", "pcm_f32le"],
             "f64.wav": ["-c:a", "pcm_f64le"], "ulaw.wav": ["-c:a", "pcm_mulaw"], "alaw.wav": ["-c:a", "pcm_alaw"], "mono.flac": [],
             "stereo.flac": ["-ac", "2"], "vorbis.ogg": ["-c:a", "libvorbis"], "opus.ogg": ["-c:a", "libopus"], "mono.mp3": ["-b:a", "16k"],
             "stereo.mp3": ["-ac", "2", "-b:a", "32k"]}
    with tempfile.TemporaryDirectory() as tmp:
        for name, options in kinds.items():
            path = os.path.join(tmp, name)
            subprocess.run(["ffmpeg", "-v", "error", "-y"] + tone + options + [path], check=True)
            seed("audio", name, pathlib.Path(path).read_bytes())


def make_pictures():
    from PIL import Image
    base = Image.open(GOLDEN / "_inputs/small.png").convert("RGB").resize((17, 11))

    def save(name, image, form, **options):
        out = io.BytesIO()
        image.save(out, form, **options)
        seed("image", name, out.getvalue())
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"):
        image = base.convert("I").convert("I;16") if mode == "I;16" else base.convert(mode)
        save("%s.png" % mode.lower().replace(";", ""), image, "PNG")
    for name, options in (("base", {}), ("progressive", {"progressive": True}), ("444", {"subsampling": 0}), ("420", {"subsampling": 2})):
        save(name + ".jpg", base, "JPEG", quality=60, **options)
    save("grey.jpg", base.convert("L"), "JPEG")
    save("cmyk.jpg", base.convert("CMYK"), "JPEG")
    exif = Image.Exif()
    exif[0x0112] = 6
    save("turned.jpg", base, "JPEG", exif=exif)
    for mode in ("RGB", "L", "1", "P"):
        save("%s.bmp" % mode.lower(), base.convert(mode), "BMP")


# ---- sessions ----

def make_snapshots():
    sys.path.insert(0, "bindings/python")
    import libmm
    engine = libmm.Engine(threads=1, precision="exact")
    model = libmm.load(str(GOLDEN / "llama"), engine=engine)

    def keep(name, session):
        data = session.save()
        seed("snapshot", name + "-file", b"\0" + data)
        record = struct.unpack("<Q", data[16:24])[0]
        body = subprocess.run(["zstd", "-d", "-c"], input=data[96:], stdout=subprocess.PIPE, check=True).stdout
        seed("snapshot", name, b"\1" + struct.pack("<H", record) + body)
    session = model.session(n_ctx=128, max_tokens=2)
    keep("empty", session)
    session.set("stop", "xyz")
    session.feed("a")
    keep("fed", session)
    for _ in session:
        pass
    keep("answered", session)


def make_calls():
    load = lambda slot, folder: bytes([0, slot, 64 + folder])
    session = lambda slot, model: bytes([1, slot, 2, 4, 64, 0, 0, 0, model])
    text = lambda slot: bytes([3, slot, 9, slot, 0, 0, 0])
    on = lambda which, s, i, *more: bytes([13 + which, s, i]) + bytes(more)
    answer = on(9, 0, 0) * 6
    seed("api_calls", "chat", load(0, 0) + session(0, 0) + text(0) + on(1, 0, 0) + answer + on(6, 0, 0) + bytes([6, 1, 0]) + on(1, 1, 0) + on(9, 1, 0) * 5)
    seed("api_calls", "fork", load(0, 1) + session(0, 0) + text(0) + on(1, 0, 0) + answer + on(5, 0, 0, 2) + on(1, 2, 0) + on(9, 2, 0) * 5 + on(4, 2, 0, 1))
    seed("api_calls", "picture", load(1, 2) + session(1, 1) + bytes([3, 1, 9, 1, 5, 5, 7]) + on(1, 1, 1) + on(9, 1, 1) * 6)
    seed("api_calls", "vectors", load(1, 3) + session(1, 1) + text(1) + on(1, 1, 1) + on(9, 1, 1) * 3 + on(3, 1, 1) + on(7, 1, 1))
    seed("api_calls", "sound", load(2, 4) + session(2, 2) + bytes([3, 2, 9, 2, 0, 0, 6]) + on(1, 2, 2) + on(9, 2, 2) * 4)
    seed("api_calls", "null", bytes(range(32)) * 2)


if __name__ == "__main__":
    for make in (make_gguf, make_safetensors, make_speech, make_tokenizers, make_templates, make_messages, make_texts, make_configs,
                 make_sounds, make_pictures, make_snapshots, make_calls):
        make()
