"""peer_faster_whisper.py MODEL RECORDING THREADS: faster-whisper, INT8, windows in batches of 8, greedy.

Prints "ready" once the model is there, and for each line on standard input transcribes the recording and prints one JSON object: milliseconds.
Needs faster-whisper; MODEL is a folder of its own format."""
import json
import sys
import time

from faster_whisper import BatchedInferencePipeline, WhisperModel


def main():
    model = BatchedInferencePipeline(model=WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[3])))
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        segments, _info = model.transcribe(sys.argv[2], language="en", beam_size=1, batch_size=8)
        words = sum(len(segment.text.split()) for segment in segments)
        print(json.dumps({"transcribe_ms": 1e3 * (time.perf_counter() - start), "words": words}), flush=True)


main()
