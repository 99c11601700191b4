"""pip install ./bindings/python, with no network: the wheel carries all it needs, and works where there is nothing else."""
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile

import harness

USE = """
import sys, libmm
assert sys.argv[1] in libmm.__file__ and sys.argv[1] in libmm.abi.lib._name, (libmm.__file__, libmm.abi.lib._name)
maps = open("/proc/self/maps").read()
for line in maps.splitlines():
    path = line.split()[-1]
    if ".so" in path and any(n in path for n in ("sndfile", "jpeg", "zstd", "utf8proc", "pcre2", "jansson", "libmm")):
        assert path.startswith(sys.argv[1]), path
import importlib.metadata
assert importlib.metadata.version("libmm") == libmm.version() == libmm.__version__
model = libmm.load(sys.argv[2] + "/llava", precision="exact")
print(*model.chat("What is shown in the picture?", images=sys.argv[2] + "/_inputs/photo.jpg", max_tokens=4, ignore_eos=True).ids)
print(len(libmm.load(sys.argv[2] + "/whisper").transcribe(sys.argv[2] + "/_inputs/speech_16k.wav", max_tokens=24).segments))
"""


@unittest.skipIf(harness.SAN, "the wheel is built of the plain library")
class Wheel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = cls.folder.name
        cls.environment = {k: v for k, v in os.environ.items() if k not in ("LIBMM_LIBRARY", "PYTHONPATH", "LD_LIBRARY_PATH")}
        cls.environment.update(PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore")
        subprocess.run([sys.executable, "-m", "venv", cls.path + "/venv"], check=True)
        cls.python = cls.path + "/venv/bin/python"
        cls.pip("wheel", "--no-deps", "-w", cls.path + "/dist", "./bindings/python")
        cls.wheel, = (cls.path + "/dist/" + n for n in os.listdir(cls.path + "/dist"))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    @classmethod
    def pip(cls, *arguments, **more):
        done = subprocess.run([cls.python, "-m", "pip", *arguments], env=dict(cls.environment, **more), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise AssertionError(done.stdout)

    def test_tag_names_the_glibc_it_needs(self):
        glibc = re.search(r"-py3-none-manylinux_2_(\d+)_x86_64\.whl$", self.wheel).group(1)
        needed = [17]
        with zipfile.ZipFile(self.wheel) as z:
            z.extractall(self.path + "/open")
            self.assertIsNone(z.testzip())
        libs = self.path + "/open/libmm/_libs/"
        for name in os.listdir(libs):
            if ".so" in name:
                out = subprocess.run(["objdump", "-T", libs + name], stdout=subprocess.PIPE, text=True, check=True).stdout
                needed += [int(v) for v in re.findall(r"GLIBC_2\.(\d+)", out)]
        self.assertEqual(max(needed), int(glibc))

    def test_holds_every_library_once_and_the_notices(self):
        with zipfile.ZipFile(self.wheel) as z:
            names = z.namelist()
            order = z.read("libmm/_libs/order.txt").decode().split()
        self.assertEqual(sorted(order), sorted(n.split("/")[-1] for n in names if "/_libs/" in n and ".so" in n))
        self.assertEqual("libmm.so.0", order[-1])
        self.assertIn("libmm/py.typed", names)
        self.assertFalse([n for n in names if "__pycache__" in n or n.startswith("backend")])
        if shutil.which("dpkg"):
            self.assertTrue([n for n in names if "/licenses/libsndfile1" in n])

    def test_used_outside_the_tree(self):
        self.pip("install", "--no-deps", self.wheel)
        out = harness.child(USE, self.path + "/venv", harness.ROOT + "/tests/golden", env=self.environment, python=self.python, cwd=self.path)
        self.assertEqual("159 73 238 29\n2\n", out)
        self.pip("uninstall", "-y", "libmm")
        left = [d for d, _, files in os.walk(self.path + "/venv") if "libmm" in d and files and "site-packages" in d]
        self.assertEqual([], left)

    def test_same_bytes_twice(self):
        self.pip("wheel", "--no-deps", "-w", self.path + "/again", "./bindings/python")
        with open(self.wheel, "rb") as a, open(self.path + "/again/" + os.path.basename(self.wheel), "rb") as b:
            self.assertEqual(a.read(), b.read())

    def test_source_archive(self):
        """It has what a build needs: the same wheel comes out, here of the library that is built already."""
        code = "import sys; sys.path.insert(0, 'backend'); import libmm_build as b; print(getattr(b, sys.argv[1])(sys.argv[2], eval(sys.argv[3])))"
        name = harness.child(code, "build_sdist", self.path, "None", env=self.environment, cwd=harness.PACKAGE).strip()
        with tarfile.open(self.path + "/" + name) as archive:
            archive.extractall(self.path + "/source")
        source = self.path + "/source/" + name[:-len(".tar.gz")]
        self.assertTrue(os.path.exists(source + "/PKG-INFO"))
        plan = subprocess.run(["make", "-n", "-C", source + "/native", "lib/libmm.so." + name.split("-")[1][:-len(".tar.gz")]],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertIn("src/api/engine.c", plan)
        settings = repr({"library": os.path.realpath(harness.LIB + "/libmm.so")})
        os.mkdir(self.path + "/third")
        wheel = harness.child(code, "build_wheel", self.path + "/third", settings, env=self.environment, cwd=source).strip()
        with zipfile.ZipFile(self.wheel) as a, zipfile.ZipFile(self.path + "/third/" + wheel) as b:
            self.assertEqual([(i.filename, i.CRC) for i in a.infolist()], [(i.filename, i.CRC) for i in b.infolist()])

    def test_editable(self):
        self.pip("install", "--no-deps", "-e", "./bindings/python")
        out = harness.child("import libmm; print(libmm.__file__, libmm.abi.lib._name)", env=self.environment, python=self.python, cwd=self.path)
        self.assertEqual("%s/libmm/__init__.py %s/lib/libmm.so\n" % (harness.PACKAGE, harness.ROOT), out)
        self.pip("uninstall", "-y", "libmm")

    def test_library_that_is_not_there(self):
        done = subprocess.run([sys.executable, "-c", "import libmm"], env=dict(harness.environment(), LIBMM_LIBRARY="/nowhere/libmm.so"),
                              stderr=subprocess.PIPE, text=True)
        self.assertIn("ImportError: libmm.so cannot be loaded (/nowhere/libmm.so", done.stderr)


if __name__ == "__main__":
    harness.main()
