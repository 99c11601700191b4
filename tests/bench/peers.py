"""The programs that bench.py compares with. Each peer has a name, run() for one repetition -> {metric: value}, and close().

A metric that ends in _tps is tokens a second, one that ends in _ms milliseconds; metrics of the same name are compared."""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def answer(command):
    """Standard output of a command that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace") # random weights say random bytes
    if done.returncode:
        sys.exit("bench: %s: status %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()[-300:]))
    return done.stdout, done.stderr


class LlamaBench:
    """llama.cpp's llama-bench on a GGUF: random tokens, one repetition after a warm-up; it decodes after the prompt, as we do."""

    def __init__(self, program, model, threads, prompt, gen):
        self.name = "llama.cpp"
        self.command = [program, "-m", model, "-t", str(threads), "-r", "1", "-o", "json"]
        self.prefill = ["-p", str(prompt), "-n", "0"]
        self.decode = ["-p", "0", "-n", str(gen), "-d", str(prompt)]

    def speed(self, work):
        return json.loads(answer(self.command + work)[0])[0]["avg_ts"]

    def run(self):
        return {"prefill_tps": self.speed(self.prefill), "decode_tps": self.speed(self.decode)}

    def close(self):
        pass


class LlamaPicture:
    """llama.cpp's llama-mtmd-cli: what it says of encoding a picture and of the prompt with it."""

    def __init__(self, program, model, mmproj, picture, threads, prompt):
        self.name = "llama.cpp"
        self.command = [program, "-m", model, "--mmproj", mmproj, "--image", picture, "-t", str(threads), "-n", "1", "-c", "2048", "--temp", "0",
                        "--chat-template", "vicuna", "-lv", "4", "-p", "a" * prompt]

    def run(self):
        for _ in range(10):  # it may end before its log is written
            text = "".join(answer(self.command))
            encode = [float(x) for x in re.findall(r"(?:encoded in|encoding done in)\s+([0-9.]+) ms", text)]
            prompt = re.search(r"prompt eval time =\s+([0-9.]+) ms", text)
            if encode and prompt:
                return {"encode_ms": sum(encode), "first_token_ms": sum(encode) + float(prompt.group(1))}
        sys.exit("bench: llama-mtmd-cli said nothing of its times: %s" % text[-300:].strip())

    def close(self):
        pass


class WhisperBench:
    """whisper.cpp's whisper-bench: one encoder pass, and single-token decodes."""

    def __init__(self, program, model, threads):
        self.name = "whisper.cpp"
        self.command = [program, "-m", model, "-t", str(threads)]

    def run(self):
        out, err = answer(self.command)
        text = out + err
        encode = re.search(r"encode time =\s+([0-9.]+) ms /\s+([0-9]+) runs", text)
        decode = re.search(r"decode time =\s+([0-9.]+) ms /\s+([0-9]+) runs", text)
        if not encode or not decode:
            sys.exit("bench: whisper-bench said nothing of its times: %s" % text[-300:])
        return {"encode_ms": float(encode.group(1)) / int(encode.group(2)),
                "decode_tps": 1e3 * int(decode.group(2)) / float(decode.group(1))}

    def close(self):
        pass


class WhisperCli:
    """whisper.cpp's whisper-cli on a recording, greedy: all it takes but loading."""

    def __init__(self, program, model, recording, threads):
        self.name = "whisper.cpp"
        self.command = [program, "-m", model, "-t", str(threads), "-bs", "1", "-bo", "1", "-l", "en", "-f", recording]

    def run(self):
        text = "".join(answer(self.command))
        total, load = (float(re.search(what + r" time =\s+([0-9.]+) ms", text).group(1)) for what in ("total", "load"))
        return {"transcribe_ms": total - load}

    def close(self):
        pass


class Served:
    """A Python script that stays: it prints "ready", then answers each line with a JSON object of metrics."""

    def __init__(self, name, command, line=""):
        self.name, self.command, self.line, self.process = name, command, line, None

    def run(self):
        if not self.process:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            if self.process.stdout.readline().strip() != "ready":
                sys.exit("bench: %s did not become ready; run it by hand: %s" % (self.name, " ".join(self.command)))
        self.process.stdin.write(self.line + "\n")
        self.process.stdin.flush()
        answered = self.process.stdout.readline()
        if not answered:
            sys.exit("bench: %s ended early; run it by hand: %s" % (self.name, " ".join(self.command)))
        return {k: v for k, v in json.loads(answered).items() if k.endswith("_ms")}

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def encoders(python, shape, threads, folder):
    """{precision of ours: peers on an encoder of that shape}."""
    command = [python, os.path.join(HERE, "peer_onnx.py"), *map(str, shape), str(threads), folder]
    return {"fast": [Served("onnxruntime int8", command, "int8"), Served("openvino", command, "openvino")],
            "exact": [Served("onnxruntime f32", command, "f32")]}


def faster_whisper(python, model, recording, threads):
    return Served("faster-whisper int8", [python, os.path.join(HERE, "peer_faster_whisper.py"), model, recording, str(threads)])
