"""That leaks.py finds what the library leaks in a Python process, and nothing else."""
import os
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import GOLDEN
import leaks

REPORT = """
=================================================================
==1==ERROR: LeakSanitizer: detected memory leaks

Direct leak of 40 byte(s) in 1 object(s) allocated from:
    #0 0x7f in __interceptor_malloc ../../../../src/libsanitizer/asan/asan_malloc_linux.cpp:69
    #1 0x50 in PyType_GenericAlloc (/usr/bin/python3+0x5083f2)
    #2 0x60 in mm_model_load src/api/model.c:50

Direct leak of 80 byte(s) in 1 object(s) allocated from:
    #0 0x7f in __interceptor_malloc ../../../../src/libsanitizer/asan/asan_malloc_linux.cpp:69
    #1 0x60 in libc_alloc src/base/alloc.c:36
    #2 0x50 in PyType_GenericAlloc (/usr/bin/python3+0x5083f2)

-----------------------------------------------------
Suppressions used:
  count      bytes template

SUMMARY: AddressSanitizer: 120 byte(s) leaked in 2 allocation(s).
"""
LOSE = """
import ctypes, sys
import libmm
from libmm import abi
model, lost = libmm.load(sys.argv[1]), ctypes.c_void_p()
with model._ref as pointer:
    assert abi.lib.mm_session_create(pointer, None, ctypes.byref(lost), None) == 0
if sys.argv[2] == "release":
    abi.lib.mm_session_release(lost)
del lost
"""


class Leaks(unittest.TestCase):
    def test_whose_a_leak_is(self):
        record, = leaks.found(REPORT)
        self.assertTrue(record.startswith("Direct leak of 80"))
        self.assertEqual([], leaks.found(REPORT.replace("Direct leak of 80", "Indirect leak of 80")), "Python holds it")

    def test_other_reports_stay(self):
        self.assertEqual(1, len(leaks.found("==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1")))

    @unittest.skipUnless("address" in harness.SAN, "there is no leak detection without the address sanitizer")
    def test_a_session_never_released(self):
        for end, want in (("lose", True), ("release", False)):
            with tempfile.TemporaryDirectory() as folder:
                env = dict(harness.environment(), ASAN_OPTIONS="log_path=%s/report" % folder, LSAN_OPTIONS="exitcode=0:use_tls=0")
                harness.child(LOSE, GOLDEN + "llama", end, env=env)
                done = subprocess.run([sys.executable, leaks.__file__, folder], stdout=subprocess.PIPE, text=True,
                                      env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
                self.assertEqual(want, done.returncode != 0, done.stdout)
                self.assertEqual(want, "mm_session_create" in done.stdout, done.stdout)


if __name__ == "__main__":
    harness.main()
