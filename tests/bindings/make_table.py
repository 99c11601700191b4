"""Writes table.json beside it: the cases that C (table.c), Python and Go run and must agree on, with what the reference
implementations computed for them (tests/golden). Run it from the repository root after a change of the golden data."""
import json
import math
import struct

GOLDEN = "tests/golden/"
QUESTION = "What is shown in the picture?"


def expected(family):
    with open(GOLDEN + family + "/expected.json", encoding="utf-8") as f:
        return {case["name"]: case for case in json.load(f)["cases"]}


def tensor(family, name):
    with open(GOLDEN + family + "/expected.safetensors", "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        at = f.tell() + head[name]["data_offsets"][0]
        rows, columns = head[name]["shape"]
        letter, size = {"F32": ("f", 4), "I64": ("q", 8)}[head[name]["dtype"]]
        f.seek(at)
        flat = struct.unpack("<%d%s" % (rows * columns, letter), f.read(rows * columns * size))
    return [list(flat[i * columns:(i + 1) * columns]) for i in range(rows)]


def unit(row):
    norm = math.sqrt(sum(v * v for v in row))
    return [round(v / norm, 6) for v in row]


def softmax(row):
    e = [math.exp(v - max(row)) for v in row]
    return [round(v / sum(e), 6) for v in e]


def tokens(family, case, flags=3):
    c = expected(family)[case]
    return {"name": "%s/%s tokens" % (family, case), "model": GOLDEN + family, "call": "tokenize", "text": c["text"], "flags": flags,
            "want": {"ids": c["result"]["input_ids"][0]}}


def rendered(family, case):
    c = expected(family)[case]
    return {"name": "%s/%s template" % (family, case), "model": GOLDEN + family, "call": "template", "messages": c["messages"],
            "want": {"text": c["result"]["rendered"]}}


def generated(family, case, items, raw, model=None, note=""):
    c = expected(family)[case]
    return {"name": "%s/%s%s" % (model or family, case, note), "model": GOLDEN + (model or family), "call": "run",
            "options": {"max_tokens": c["greedy"], "ignore_eos": True, "raw": raw}, "set": {}, "input": items,
            "want": {"ids": c["result"]["greedy"]}}


def encoded(family, name, task, items, want):
    return {"name": "%s/%s" % (family, name), "model": GOLDEN + family, "call": "run", "options": {}, "set": {"task": task},
            "input": items, "want": want, "tolerance": 2e-5}


def picture(name):
    return {"image": GOLDEN + "_inputs/" + name}


llama, clip = expected("llama"), expected("clip")["sim"]
chat = [{"messages": [{"role": "user", "content": QUESTION}]}]
seen = [{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": GOLDEN + "_inputs/photo.jpg"}},
                                                   {"type": "text", "text": QUESTION}]}]}]
cases = [
    tokens("llama", "text0"), tokens("llama", "text1"), tokens("qwen2", "text1"), tokens("bert", "unicode"),
    {"name": "llama/detokenize", "model": GOLDEN + "llama", "call": "detokenize", "flags": 0,
     "ids": llama["text0"]["result"]["input_ids"][0], "want": {"text": llama["text0"]["text"]}},
    rendered("llama", "chat"), rendered("qwen2", "chat"), rendered("llava", "photo"), rendered("llava", "two_images"),
    generated("llama", "text0", [{"text": llama["text0"]["text"]}], True),
    generated("llama", "text1", [{"text": llama["text1"]["text"]}], True),
    generated("llama", "text0", [{"tokens": llama["text0"]["result"]["input_ids"][0]}], True, "llama/model-f32.gguf"),
    generated("llama", "chat", chat, False),
    generated("qwen2", "chat", chat, False),
    generated("llava", "photo", [picture("photo.jpg"), {"text": QUESTION}], False),
    generated("llava", "photo", seen, False, note=" as messages"),
    generated("llava", "grey", [picture("grey.png"), {"text": expected("llava")["grey"]["text"]}], True),
    generated("llava", "two_images", [{"role": "user"}, picture("rgba.png"), picture("wide.png"),
                                      {"text": "Describe this image briefly."}], False),
    {"name": "whisper/greedy_timestamps", "model": GOLDEN + "whisper", "call": "run", "options": {"max_tokens": 24},
     "set": {"language": "en"}, "input": [{"audio": GOLDEN + "_inputs/speech_16k.wav"}],
     "want": {"ids": [int(i) for i in tensor("whisper", "greedy_timestamps/out.sequence")[0]]}},
    {"name": "whisper/all windows", "model": GOLDEN + "whisper", "call": "run", "options": {"max_tokens": 12}, "set": {},
     "input": [{"audio": GOLDEN + "_inputs/stereo_44k.wav"}], "want": {}},
    encoded("clip", "vectors", "embed", [picture(i) for i in clip["images"]] + [{"text": t} for t in clip["batch"]],
            {"vectors": [unit(r) for r in tensor("clip", "sim/out.image_embeds") + tensor("clip", "sim/out.text_embeds")]}),
    encoded("clip", "scores", "score", [picture(i) for i in clip["images"]] + [{"text": t} for t in clip["batch"]],
            {"scores": [softmax(r) for r in tensor("clip", "sim/out.logits_per_image")]}),
    encoded("bert", "mean_pool_l2", "embed", [{"text": expected("bert")["mean_pool_l2"]["text"]}],
            {"vectors": [unit(r) for r in tensor("bert", "mean_pool_l2/out.sentence_embedding")]}),
]
about = ("What C, Python and Go compute alike: made by make_table.py from tests/golden. Precision is exact. call: tokenize, "
         "detokenize, template or run (session options, keys to set, items to feed). want: ids, text, vectors, scores of the "
         "reference; floats within tolerance of it, and equal to the last bit between the languages.")
with open("tests/bindings/table.json", "w", encoding="utf-8") as out:
    out.write('{"about": %s,\n "cases": [\n' % json.dumps(about))
    out.write(",\n".join("  " + json.dumps(c, ensure_ascii=False) for c in cases))
    out.write("\n]}\n")
