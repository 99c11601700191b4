"""What the tests of the Python package share: where things are, a runner that prints the lines tests/run.sh counts, and a
child process for what must happen outside this one. Tests run from the repository root."""
import os
import subprocess
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PACKAGE = os.path.join(ROOT, "bindings", "python")
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
LIB = os.path.join(ROOT, os.environ.get("LIB", "lib"))
SAN = os.environ.get("SAN", "")
SLOW = int(os.environ.get("MM_TEST_SLOW") or 1)  # limits of time are multiplied by this
os.environ.setdefault("LIBMM_LIBRARY", os.path.join(LIB, "libmm.so"))
sys.path.insert(0, PACKAGE)
os.chdir(ROOT)

GOLDEN = "tests/golden/"
INPUTS = GOLDEN + "_inputs/"
PHOTO = INPUTS + "photo.jpg"
SPEECH = INPUTS + "speech_16k.wav"
QUESTION = "What is shown in the picture?"


def environment():
    """For child processes that import the package from the tree."""
    return dict(os.environ, PYTHONPATH=PACKAGE)


def child(code, *arguments, env=None, timeout=60, python=sys.executable, cwd=ROOT):
    """Runs a program in a Python of its own; its output, after checking that it ended well."""
    done = subprocess.run([python, "-c", code, *arguments], env=environment() if env is None else env, cwd=cwd, timeout=timeout * SLOW,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise AssertionError("status %d\n%s%s" % (done.returncode, done.stdout, done.stderr))
    if done.stderr and not SAN:
        raise AssertionError("it wrote to stderr:\n" + done.stderr)
    return done.stdout


class _Lines(unittest.TestResult):
    def _line(self, ok, test, detail=""):
        print("%s python: %s%s" % ("ok" if ok else "FAIL", test.id().replace("__main__.", ""), "\n" + detail if detail else ""), flush=True)

    def addSuccess(self, test):
        self._line(True, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line(False, test, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self._line(False, test, self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._line(False, subtest, (self.failures + self.errors)[-1][1])

    def addSkip(self, test, reason):
        print("     python: %s: %s" % (test.id().replace("__main__.", ""), reason), flush=True)


def main():
    """Runs the tests of the calling file; a name or several on the command line choose."""
    names = sys.argv[1:] or None
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    result = _Lines()
    suite.run(result)
    sys.exit(not result.wasSuccessful())
