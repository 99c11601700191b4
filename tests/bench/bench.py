"""bench.py --mm PROGRAM --kernels PROGRAM [OPTIONS]: speed of kernels and models, against the machine's limits and against peers.

Everything is measured in one run: each kernel between two looks at the roofline probe that limits it, each model in turn with
the peers that are named (A B A B), so that what disturbs one disturbs the other. Prints a table, writes JSON (--json FILE).

  --only PART[,PART]     kernels models scaling context; default: all
  --match TEXT           only the workloads whose name holds TEXT
  --reps N               repetitions (default 5; a warm-up precedes each)
  --threads N            default: all processors
  --llama FOLDER         of llama-bench and llama-mtmd-cli, or the path of llama-bench alone
  --whisper FOLDER       of whisper-bench and whisper-cli
  --python PROGRAM       a Python with onnxruntime, openvino, onnx, faster-whisper
  --made FOLDER          where files of random weights are kept (about 5 GB); without it those models are left out
  --baseline FILE        default: baseline.json beside this program
  --check                compare with the baseline and end with status 1 where a ratio lost more than 10 %
  --update               write the ratios of this run into the baseline

Ratios of models: how many times as fast as the peer, by medians. The baseline holds fractions of probes and ratios to
peers, never times, so it serves other machines of the same kind."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import machine
import peers

HERE = os.path.dirname(os.path.abspath(__file__))
LOSS = 0.10
SHOWN = ("_tps", "_ms", "peak_mb")
QUIET = 0.05        # of the processors' time that others may take for figures of all threads to count
SMOLLM = "models/smollm2-135m-instruct-q4_1.gguf"
GEMMA = "models/gemma-3-270m-q4_k_m.gguf"
WHISPER = "models/whisper-base-hf"
WHISPER_BIN = "models/ggml-base.bin"
WHISPER_CT2 = "models/whisper-base-ct2"
DEMO = "examples/demo/demo-vlm.mm.json"
PICTURE = "examples/demo/sailboat.jpg"
LONG_TEXT = "/usr/share/common-licenses/GPL-3"
LONG_WORDS = 1500


def on(o):
    return ["--device", o.device] if o.device else []


class Ours:
    """One repetition of mm bench, after its own warm-up."""

    def __init__(self, o, model, *options, precision="fast"):
        self.name = "mm" if precision == "fast" else "mm exact"
        self.command = [o.mm, "bench", *model, "--json", "--reps", "1", "--threads", str(o.threads), "--precision", precision, *on(o), *options]

    def run(self):
        return {k: v for k, v in json.loads(peers.answer(self.command)[0]).items() if k.endswith(("_tps", "_ms", "_mb"))}

    def close(self):
        pass


class OursTranscribe:
    """mm transcribe of a recording, less the time it takes to load."""

    def __init__(self, o, model, recording, load_ms):
        self.name, self.load_ms = "mm", load_ms
        self.command = [o.mm, "transcribe", model, recording, "--threads", str(o.threads), "--language", "en", *on(o)]

    def run(self):
        start = os.times().elapsed
        peers.answer(self.command)
        return {"transcribe_ms": 1e3 * (os.times().elapsed - start) - self.load_ms}

    def close(self):
        pass


# ---- workloads: name -> contestants, ours first; left out where a file is missing ----

def program(folder, name):
    """The program `name` of a peer's folder, or None."""
    if not folder:
        return None
    path = folder if os.path.basename(folder) == name else os.path.join(folder, name)
    return path if shutil.which(path) else None


def made(o, name):
    """The arguments of mm bench for a made-up model that is kept, and its folder."""
    folder = os.path.join(o.made, name)
    return ["--synthetic", name, "--keep", folder], folder


def text_workload(o, model, prompt, gen, path):
    sides = [Ours(o, model, "--prompt", str(prompt), "--gen", str(gen))]
    llama = program(o.llama, "llama-bench")
    if llama:
        sides.append(peers.LlamaBench(llama, path, o.threads, prompt, gen))
    return sides


def encoder_workload(o, model, shape):
    """Ours in both precisions, each beside the peers that compute alike."""
    sides = {"fast": [Ours(o, model)], "exact": [Ours(o, model, precision="exact")]}
    if o.python:
        for precision, others in peers.encoders(o.python, shape, o.threads, o.scratch).items():
            sides[precision] += others
    return sides


def ten_minutes(o):
    """About ten minutes of speech that doesn't repeat itself, which every recogniser would take for a loop of its own: a licence
    that every Debian has, read by espeak-ng; None without both."""
    path = os.path.join(o.scratch, "ten-minutes.wav")
    if not os.path.exists(path):
        if not shutil.which("espeak-ng") or not os.path.exists(LONG_TEXT):
            return None
        with open(LONG_TEXT) as text:
            words = text.read().split()[:LONG_WORDS]
        subprocess.run(["espeak-ng", "-s", "160", "-w", path, "--stdin"], input=" ".join(words), text=True, check=True)
    return path


def transcribe_workload(o):
    recording = ten_minutes(o)
    if not recording:
        return []
    load = json.loads(peers.answer([o.mm, "bench", WHISPER, "--json", "--reps", "1", *on(o)])[0])["load_ms"]
    sides = [OursTranscribe(o, WHISPER, recording, load)]
    cli = program(o.whisper, "whisper-cli")
    if cli:
        sides.append(peers.WhisperCli(cli, WHISPER_BIN, recording, o.threads))
    if o.python and os.path.exists(WHISPER_CT2):
        sides.append(peers.faster_whisper(o.python, WHISPER_CT2, recording, o.threads))
    return sides


def speech_workload(o):
    sides = encoder_workload(o, [WHISPER], ("whisper", 512, 6, 8, 2048, 1500, 0))
    bench = program(o.whisper, "whisper-bench")
    if bench:
        sides["fast"].append(peers.WhisperBench(bench, WHISPER_BIN, o.threads))
    return sides


def picture_workload(o):
    model, folder = made(o, "llava-1.5-7b-q4_k")
    sides = [Ours(o, model, "--encode", "--prompt", "64", "--gen", "16")]
    llama = program(o.llama, "llama-mtmd-cli")
    if llama:
        sides.append(peers.LlamaPicture(llama, folder + "/model.gguf", folder + "/mmproj-model.gguf", PICTURE, o.threads, 64))
    return sides


def workloads(o):
    """(name, function that makes the contestants); a dictionary of contestants is several workloads. Made from (name, a file that
    must be there, function)."""
    found = [("SmolLM2-135M Q4_1", SMOLLM, lambda: text_workload(o, [SMOLLM], 512, 128, SMOLLM)),
             ("Gemma-3-270m Q4_K_M", GEMMA, lambda: text_workload(o, [GEMMA], 512, 128, GEMMA)),
             ("Whisper base encoder", WHISPER, lambda: speech_workload(o)),
             ("Whisper base, 10 minutes", WHISPER, lambda: transcribe_workload(o)),
             ("demo VLM", DEMO, lambda: [Ours(o, [DEMO], "--encode", "--prompt", "64", "--gen", "32")]),
             ("ViT-B/32", ".", lambda: encoder_workload(o, ["--synthetic", "vit-b-32"], ("vit", 768, 12, 12, 3072, 224, 32))),
             ("ViT-L/14@336", ".", lambda: encoder_workload(o, ["--synthetic", "vit-l-14-336"], ("vit", 1024, 24, 16, 4096, 336, 14)))]
    if o.made:
        llama, folder = made(o, "llama-7b-q4_k")
        found += [("LLaMA-7B Q4_K", ".", lambda: text_workload(o, llama, 640, 64, folder + "/model.gguf")),
                  ("LLaVA-1.5-7B Q4_K", ".", lambda: picture_workload(o)),
                  ("BLIP-2 OPT-2.7B", ".", lambda: [Ours(o, made(o, "blip-2-opt-2.7b")[0], "--encode", "--prompt", "32", "--gen", "16")])]
    if o.match == "tiny":  # a test of this program
        found.append(("tiny", ".", lambda: [Ours(o, ["--synthetic", "tiny"], "--prompt", "16", "--gen", "4"),
                                            Ours(o, ["--synthetic", "tiny"], "--prompt", "16", "--gen", "4", precision="exact")]))
    return [(name, make) for name, needs, make in found if os.path.exists(needs) and o.match in name]


def contest(o, name, sides):
    """Runs the contestants in turn; {"name", "sides": {name: {metric: figures}}, "ratios": {peer: {metric: ratio}}}."""
    values = {}
    for side in sides: # peers that stay are started, files that are kept are made
        if isinstance(side, peers.Served) or "--keep" in side.command:
            side.run()
    for _ in range(o.reps):
        for side in sides:
            for metric, value in side.run().items():
                values.setdefault(side.name, {}).setdefault(metric, []).append(value)
    for side in sides:
        side.close()
    table = {side: {m: machine.figures(v, m) for m, v in metrics.items()} for side, metrics in values.items()}
    own = table[sides[0].name]
    ratios = {side.name: {m: machine.speed_ratio(own[m], f, m) for m, f in table[side.name].items()
                          if m in own and m.endswith(("_tps", "_ms"))} for side in sides[1:]}
    return {"name": name, "sides": table, "ratios": ratios}


# ---- parts ----

def run_kernels(o, match=None):
    command = [o.kernels, "--json", "--threads", str(o.threads), "--reps", str(o.reps)] + ([match or o.match] if match or o.match else [])
    return json.loads(peers.answer(command)[0])


def run_models(o):
    results = []
    for name, make in workloads(o):
        sides = make()
        for suffix, contestants in (sides.items() if isinstance(sides, dict) else [("", sides)] if sides else []):
            results.append(contest(o, (name + " " + suffix).strip(), contestants))
            print_contest(results[-1])
    return results


def run_scaling(o):
    """One thread and all, in turn, on the models that have no peer in this question."""
    results = []
    models = [("SmolLM2-135M Q4_1", SMOLLM, [SMOLLM]), ("Whisper base", WHISPER, [WHISPER]), ("ViT-B/32", ".", ["--synthetic", "vit-b-32"])]
    for name, needs, model in models:
        if o.threads < 2 or not os.path.exists(needs) or o.match not in name:
            continue
        all_threads, single = Ours(o, model), Ours(argparse.Namespace(mm=o.mm, threads=1), model)
        all_threads.name, single.name = "%d threads" % o.threads, "1 thread"
        result = contest(o, name + ", threads", [all_threads, single])
        results.append(result)
        print_contest(result)
    return results


def run_context(o):
    """Milliseconds a token against the positions that are held, and how many bytes of cache a second that slope is."""
    if not os.path.exists(SMOLLM) or o.match not in "SmolLM2-135M context":
        return None
    points = []
    for held in (128, 1024, 4096, 8000):
        runs = [Ours(o, [SMOLLM], "--prompt", str(held), "--gen", "64").run() for _ in range(max(1, o.reps // 2))]
        points.append((held + 32, 1e3 / max(r["decode_tps"] for r in runs), runs[0]["kv_mb"] * 2 ** 20 / (held + 64)))
    mean_x, mean_y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    slope = sum((x - mean_x) * (y - mean_y) for x, y, _ in points) / sum((x - mean_x) ** 2 for x, _, _ in points)
    result = {"name": "SmolLM2-135M context", "points": [{"positions": x, "ms_per_token": round(y, 4)} for x, y, _ in points],
              "us_per_1000_positions": round(1e6 * slope, 2), "kv_bytes_per_position": round(points[-1][2]),
              "kv_gb_per_s": round(points[-1][2] / slope / 1e6, 2) if slope > 0 else None}
    print("\n%s: %s; %.1f us a token for 1000 positions = %s GB/s of cache" % (
        result["name"], ", ".join("%d: %.2f ms" % (x, y) for x, y, _ in points), result["us_per_1000_positions"], result["kv_gb_per_s"]))
    return result


# ---- the report ----

def print_kernels(k):
    print("\n%s\n%-34s %-26s %9s %7s %9s %7s %6s %10s" % (k["cpu"], "", "", "1 thread", "probe", "all", "probe", "scale", "NMSE"))
    for r in k["kernels"]:
        print("%-34s %-26s %9.1f %6.1f%% %9.1f %6.1f%% %6.2f %10.1e %s" % (
            r["name"], r["kernel"], r["one"]["best"], 100 * r["one"]["fraction"], r["all"]["best"], 100 * r["all"]["fraction"],
            r["scaling"], r["nmse"], r["unit"]))


def print_contest(result):
    first = next(iter(result["sides"]))
    print("\n%s" % result["name"])
    for side, metrics in result["sides"].items():
        for metric, f in metrics.items():
            if not metric.endswith(SHOWN):
                continue
            ratio = result["ratios"].get(side, {}).get(metric)
            print("  %-20s %-22s best %10.2f  median %10.2f  spread %5.1f%%%s" % (
                side, metric, f["best"], f["median"], 100 * f["spread"], "  %s: %.2f x" % (first, ratio) if ratio else ""))
    sys.stdout.flush()


def ratios_of(result):
    """What a baseline holds of a run: {key: ratio}. On a busy machine kernels on all threads say nothing; those on one thread,
    measured by processor time, do."""
    flat, kernels = {}, result.get("kernels") or {"kernels": [], "others": 1}
    for r in kernels["kernels"]:
        flat[r["name"] + " / one thread"] = r["one"]["fraction"]
        if result["threads"] > 1 and kernels["others"] <= QUIET:
            flat[r["name"] + " / all threads"] = r["all"]["fraction"]
    for r in result.get("models", []) + result.get("scaling", []):
        for side, metrics in r["ratios"].items():
            flat.update({"%s / %s / %s" % (r["name"], side, metric): ratio for metric, ratio in metrics.items() if metric != "load_ms"})
    return flat


def losses(result, baseline):
    """{key: (ratio, baseline's)} of those more than LOSS below it."""
    now = ratios_of(result)
    return {key: (now[key], was) for key, was in baseline.items() if key in now and now[key] < (1 - LOSS) * was}


def check(o, result, baseline):
    """Kernels that lost are measured again, up to three times; what stays is told. The exit status."""
    for _ in range(3):
        lost = losses(result, baseline)
        again = sorted({key.split(" / ")[0] for key in lost} & {r["name"] for r in (result.get("kernels") or {}).get("kernels", [])})
        for name in again:
            for fresh in (r for r in run_kernels(o, name)["kernels"] if r["name"] == name):
                old = next(r for r in result["kernels"]["kernels"] if r["name"] == name)
                for part in ("one", "all"):
                    if fresh[part]["fraction"] > old[part]["fraction"]:
                        old[part] = fresh[part]
        if not again:
            break
    for key, (ratio, was) in sorted(losses(result, baseline).items()):
        print("bench: warning: %s: %.3f, was %.3f (%.0f %% lost)" % (key, ratio, was, 100 * (1 - ratio / was)))
    return 1 if losses(result, baseline) else 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mm", required=True)
    parser.add_argument("--kernels")
    parser.add_argument("--only")
    parser.add_argument("--device", help="which our models run on; kernels and scaling are the processor's")
    parser.add_argument("--match", default="")
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    for name in ("--llama", "--whisper", "--python", "--made", "--json"):
        parser.add_argument(name)
    parser.add_argument("--baseline", default=os.path.join(HERE, "baseline.json"))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--update", action="store_true")
    o = parser.parse_args()
    o.only = (o.only or ("models,context" if o.device else "kernels,models,scaling,context")).split(",")
    for value, name in ((o.llama, "llama-bench"), (o.whisper, "whisper-bench")):
        if value and not program(value, name):
            sys.exit("bench: %s: no such program as %s there; tests/bench/peers.sh makes it" % (value, name))
    if o.python and not shutil.which(o.python):
        sys.exit("bench: %s: no such program; tests/bench/peers.sh makes one" % o.python)
    return o


def main():
    o = parse()
    baseline = {}
    if os.path.exists(o.baseline):
        with open(o.baseline) as f:
            baseline = json.load(f)
    before, result = machine.look(), {"threads": o.threads, "reps": o.reps}
    with tempfile.TemporaryDirectory() as o.scratch:
        if "kernels" in o.only and o.kernels:
            result["kernels"] = run_kernels(o)
            print_kernels(result["kernels"])
        if "models" in o.only:
            result["models"] = run_models(o)
        if "scaling" in o.only:
            result["scaling"] = run_scaling(o)
        if "context" in o.only:
            result["context"] = run_context(o)
    result["machine"] = machine.between(before, machine.look())
    print("\nload %.2f before, %.2f after; %.2f%% of the time stolen" % (*result["machine"]["load"], 100 * result["machine"]["stolen"]))
    status = check(o, result, baseline) if o.check else 0
    if o.update:
        with open(o.baseline, "w") as f:
            json.dump(dict(sorted({**baseline, **{k: round(v, 3) for k, v in ratios_of(result).items()}}.items())), f, indent=1)
            f.write("\n")
    if o.json:
        with open(o.json, "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
    return status


try:
    sys.exit(main())
except KeyboardInterrupt:
    sys.exit(130)
except (OSError, subprocess.SubprocessError) as e:
    sys.exit("bench: %s" % e)
