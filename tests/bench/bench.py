"""bench.py --mm PROGRAM [--peer LLAMA_BENCH] [--threads N] [--reps N]

Speed of the real models in models/ as one JSON document: medians over repetitions of separate runs. With a peer (llama.cpp's
llama-bench) its runs alternate with ours on the same file, and ratios (ours / its) are added."""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

TEXT = "models/smollm2-135m-instruct-q4_1.gguf"
OTHERS = {"whisper-base": "models/whisper-base-hf", "demo-vlm": "examples/demo/demo-vlm.mm.json",
          "dinov2-small": "models/dinov2-small"}


def ours(o, model, *options):
    command = [o.mm, "bench", model, "--json", "--reps", "1", "--threads", str(o.threads), *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer(o, model):
    command = [o.peer, "-m", model, "-t", str(o.threads), "-p", "512", "-n", "64", "-r", "1", "-o", "json"]
    rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"prefill_tps": max(r["avg_ts"] for r in rows if r["n_gen"] == 0),
            "decode_tps": max(r["avg_ts"] for r in rows if r["n_gen"])}


def median(runs):
    return {key: round(statistics.median(run[key] for run in runs), 2) for key in runs[0]
            if isinstance(runs[0][key], (int, float))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mm", required=True)
    parser.add_argument("--peer")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--reps", type=int, default=5)
    o = parser.parse_args()
    if o.peer and not shutil.which(o.peer):
        sys.exit("bench: %s: no such program; give PEER the path of llama-bench" % o.peer)
    if not os.path.exists(TEXT):
        sys.exit("bench: models/ is not there; make models fetches it")
    own, other = [], []
    for _ in range(o.reps):
        own.append(ours(o, TEXT, "--prompt", "512", "--gen", "64"))
        if o.peer:
            other.append(peer(o, TEXT))
    result = {"threads": o.threads, "smollm2": median(own)}
    if other:
        result["peer"] = median(other)
        result["ratio"] = {key: round(result["smollm2"][key] / value, 3) for key, value in result["peer"].items()}
    for name, model in OTHERS.items():
        if os.path.exists(model):
            result[name] = median([ours(o, model, "--encode", "--prompt", "64", "--gen", "16") for _ in range(o.reps)])
    print(json.dumps(result, indent=2))


main()
