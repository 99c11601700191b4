"""The programs of examples/python, run on fixtures, and on real models where these are there."""
import importlib.util
import os
import re
import subprocess
import sys
import unittest

import harness
from harness import GOLDEN, INPUTS, PHOTO, SPEECH

REAL = os.path.exists("models/SHA256SUMS")


def run(name, *arguments, status=0):
    done = subprocess.run([sys.executable, "examples/python/%s.py" % name, *arguments], env=harness.environment(), timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == status, done.stderr.decode()
    return (done.stdout if status != 1 else done.stderr).decode()


class Examples(unittest.TestCase):
    def test_caption(self):
        self.assertTrue(run("caption", GOLDEN + "llava", PHOTO).strip())
        self.assertIn("nowhere.jpg", run("caption", GOLDEN + "llava", "nowhere.jpg", status=1))

    def test_transcribe(self):
        self.assertRegex(run("transcribe", GOLDEN + "whisper", SPEECH), r"^00:00\.\d\d - 00:0\d\.\d\d  ")
        self.assertIn("language: ", run("transcribe", GOLDEN + "whisper", SPEECH))

    def test_search(self):
        lines = run("search", GOLDEN + "clip", INPUTS, "a photo of a red circle", "a diagram of the software").splitlines()
        self.assertEqual(["a photo of a red circle", "a diagram of the software"], [lines[0], lines[4]])
        scores = [float(line.split()[0]) for line in lines[1:4]]
        self.assertEqual(sorted(scores, reverse=True), scores)

    @unittest.skipUnless(REAL, "models/ is not there")
    def test_real(self):
        self.assertIn("sailboat", run("caption", "examples/demo/demo-vlm.mm.json", "examples/demo/sailboat.jpg"))
        self.assertIn("ask what you can do for your country", run("transcribe", "models/whisper-base-hf", "examples/demo/jfk.wav", "en"))

    @unittest.skipUnless(REAL and importlib.util.find_spec("numpy"), "models/ or NumPy is not there")
    def test_the_program_of_the_readme(self):
        program = re.search(r"```python\n(.*?)```", open("README.md", encoding="utf-8").read(), re.S).group(1)
        lines = harness.child(program).splitlines()
        self.assertEqual("A sailboat.", lines[0])
        self.assertIn("fellow Americans", lines[1])
        self.assertGreater(float(lines[-1]), 0.4)

    def test_short_and_say_how_they_are_used(self):
        for name in ("caption", "transcribe", "search"):
            self.assertIn("usage: %s.py MODEL" % name, run(name, status=2))
            self.assertLessEqual(len(open("examples/python/%s.py" % name).readlines()), 60)


if __name__ == "__main__":
    harness.main()
