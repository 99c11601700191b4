"""Writes the faster-whisper form of the recorded Whisper, tests/golden/whisper/ct2, from its safetensors: the same weights
as CTranslate2's model.bin (version 6; layout in src/file/ctranslate2.c). That form joins q, k, v into one matrix and
cross k, v into another, where keys have a bias of zeros. Standard library and numpy. Usage: whisper_ct2.py [FAMILY]"""
import json
import pathlib
import shutil
import struct
import sys

import numpy as np


def tensors(path):
    data = path.read_bytes()
    start = 8 + struct.unpack_from("<Q", data)[0]
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            yield name, np.frombuffer(data[start + begin:start + end], "<f2").reshape(entry["shape"])


def scalars(config):
    for side in ("decoder", "encoder"):
        yield side + "/num_heads", np.int16(config[side + "_attention_heads"])
    for name, value in (("activation", 3), ("alibi", 0), ("pre_norm", 1), ("scale_embeddings", 0), ("start_from_zero_embedding", 0)):
        yield "decoder/" + name, np.int8(value)
    yield "decoder/alignment_heads", np.int16(1)
    yield "decoder/alignment_layer", np.int16(-1)


def variables(t, config):
    yield from scalars(config)
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield "encoder/%s/%s" % (conv, kind), t["encoder.%s.%s" % (conv, kind)]
    yield "decoder/embeddings/weight", t["decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        yield side + "/position_encodings/encodings", t[side + ".embed_positions.weight"]
        yield from norm(t, side + "/layer_norm", side + ".layer_norm")
        for i in range(config[side + "_layers"]):
            yield from layer(t, "%s/layer_%d/" % (side, i), "%s.layers.%d." % (side, i), side == "decoder")


def layer(t, to, of, cross):
    yield from norm(t, to + "self_attention/layer_norm", of + "self_attn_layer_norm")
    yield from linear(t, to + "self_attention/linear_0", *(of + "self_attn.%s_proj" % x for x in "qkv"))
    yield from linear(t, to + "self_attention/linear_1", of + "self_attn.out_proj")
    if cross:
        yield from norm(t, to + "attention/layer_norm", of + "encoder_attn_layer_norm")
        yield from linear(t, to + "attention/linear_0", of + "encoder_attn.q_proj")
        yield from linear(t, to + "attention/linear_1", *(of + "encoder_attn.%s_proj" % x for x in "kv"))
        yield from linear(t, to + "attention/linear_2", of + "encoder_attn.out_proj")
    yield from norm(t, to + "ffn/layer_norm", of + "final_layer_norm")
    for i in (0, 1):
        yield from linear(t, to + "ffn/linear_%d" % i, of + "fc%d" % (i + 1))


def norm(t, to, of):
    yield to + "/gamma", t[of + ".weight"]
    yield to + "/beta", t[of + ".bias"]


def linear(t, to, *of):
    rows = [t[name + ".weight"] for name in of]
    yield to + "/weight", np.concatenate(rows)
    yield to + "/bias", np.concatenate([t.get(name + ".bias", np.zeros(len(w), w.dtype)) for name, w in zip(of, rows)])


def text(s):
    return struct.pack("<H", len(s) + 1) + s.encode() + b"\0"


def model_bin(t, config):
    kinds = {"int8": 1, "int16": 2, "float16": 4}
    items = sorted(variables(t, config))
    out = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(items))]
    for name, a in items:
        out += [text(name), struct.pack("<B%dI" % a.ndim, a.ndim, *a.shape), struct.pack("<BI", kinds[a.dtype.name], a.nbytes), a.tobytes()]
    return b"".join(out + [struct.pack("<I", 1), text("decoder/projection/weight"), text("decoder/embeddings/weight")])


def main():
    family = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "whisper")
    config, generation = (json.loads((family / name).read_text()) for name in ("config.json", "generation_config.json"))
    t = {name.removeprefix("model."): a for name, a in tensors(family / "model.safetensors")}
    out = family / "ct2"
    out.mkdir(exist_ok=True)
    (out / "model.bin").write_bytes(model_bin(t, config))
    (out / "config.json").write_text(json.dumps({
        "alignment_heads": generation["alignment_heads"], "lang_ids": sorted(generation["lang_to_id"].values()),
        "suppress_ids": generation["suppress_tokens"], "suppress_ids_begin": generation["begin_suppress_tokens"]}, indent=2) + "\n")
    for name in ("tokenizer.json", "preprocessor_config.json", "generation_config.json"):
        shutil.copyfile(family / name, out / name)
    ids = json.loads((family / "tokenizer.json").read_text())
    words = {**ids["model"]["vocab"], **{x["content"]: x["id"] for x in ids["added_tokens"]}}
    (out / "vocabulary.json").write_text(json.dumps(sorted(words, key=words.get), indent=0, ensure_ascii=False) + "\n")


main()
