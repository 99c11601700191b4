"""The package says what the header says: constants, structs, functions; and its calls give what C gives, case for case."""
import ast
import ctypes
import glob
import json
import os
import re
import struct
import subprocess
import unittest

import harness
import libmm
from libmm import abi

HEADER = open("include/libmm.h", encoding="utf-8").read()
BARE = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.S)

#: Where each function is within reach, or why it is not.
REACHED = {
    "mm_status_name": "Error.name", "mm_status_at": "statuses", "mm_version": "version", "mm_build_info": "build_info",
    "mm_device_info": "devices", "mm_engine_options_init": "Engine", "mm_engine_create": "Engine",
    "mm_engine_release": "Engine.close", "mm_engine_info": "Engine.info", "mm_engine_set": "Engine.set",
    "mm_model_options_init": "Model",
    "mm_model_load": "load", "mm_model_release": "Model.close", "mm_model_info": "Model.info",
    "mm_model_tokenize": "Model.tokenize", "mm_model_detokenize": "Model.detokenize",
    "mm_model_apply_template": "Model.apply_template", "mm_input_create": "Input", "mm_input_release": "Input.close",
    "mm_input_clear": "Input.clear", "mm_input_text": "Input.text", "mm_input_image": "Input.image",
    "mm_input_image_file": "Input.image", "mm_input_image_encoded": "Input.image", "mm_input_audio": "Input.audio",
    "mm_input_audio_file": "Input.audio", "mm_input_audio_encoded": "Input.audio", "mm_input_role": "Input.role",
    "mm_input_messages": "Input.messages", "mm_input_tokens": "Input.tokens", "mm_session_options_init": "Session",
    "mm_session_create": "Session", "mm_session_release": "Session.close", "mm_session_set": "Session.set",
    "mm_session_feed": "Session.feed", "mm_session_count": "Session.count", "mm_session_next": "Session.next",
    "mm_session_cancel": "Session.cancel", "mm_session_reset": "Session.reset", "mm_session_truncate": "Session.truncate",
    "mm_session_fork": "Session.fork", "mm_session_save": "Session.save", "mm_session_save_file": "Session.save",
    "mm_session_load": "Model.load_session", "mm_session_load_file": "Model.load_session", "mm_session_stat": "Session.stat",
}
#: Members of option structs that the package leaves alone, with the reason.
LEFT = {
    "mm_engine_options.allocator": "Python code at every allocation would serialise the threads on the interpreter's lock",
    "mm_engine_options.executor": "Python threads would wait for each other on the interpreter's lock",
}


def functions():
    return set(re.findall(r"MM_API[^;(]*\b(mm_\w+)\(", BARE))


class Declarations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.probe = json.loads(subprocess.run([harness.BUILD + "/bindings_probe"], stdout=subprocess.PIPE, check=True).stdout)

    def test_probe_lacks_nothing_of_the_header(self):
        constants = set(re.findall(r"^#define (MM_\w+) \S", BARE, re.M)) - {"MM_API", "MM_ERROR_INIT"}
        self.assertEqual(constants, set(self.probe["constants"]))
        bodies = dict(re.findall(r"typedef struct (mm_\w+) \{(.*?)\n\} \w+;", BARE, re.S))
        self.assertEqual(set(bodies), set(self.probe["structs"]))
        for name, body in bodies.items():
            members = re.findall(r"\(\*(\w+)\)\(", body)
            for line in re.sub(r"[^;]*\(\*\w+\)\([^;]*;", "", body).split(";"):
                members += re.findall(r"(\w+)\s*(?:\[\d+\])?\s*(?:,|$)", line.strip()) if line.strip() else []
            self.assertEqual(set(members), set(self.probe["structs"][name]["fields"]), name)

    def test_constants(self):
        mine = {name: value for name, value in vars(abi).items() if re.fullmatch(r"MM_[A-Z0-9_]+", name)}
        self.assertEqual(self.probe["constants"], mine)

    def test_structs(self):
        for name, c in self.probe["structs"].items():
            mine = getattr(abi, name)
            self.assertEqual(c["size"], ctypes.sizeof(mine), name)
            self.assertEqual(c["fields"], {f: [getattr(mine, f).offset, getattr(mine, f).size] for f, _ in mine._fields_}, name)

    def test_functions(self):
        self.assertEqual(functions(), set(abi.PROTOTYPES))
        for name, parameters in re.findall(r"MM_API[^;(]*\b(mm_\w+)\(([^)]*)\)", BARE):
            count = 0 if parameters.strip() == "void" else len(parameters.split(","))
            self.assertEqual(count, len(abi.PROTOTYPES[name][1]), name)

    def test_experimental_functions(self):
        from libmm import experimental
        header = re.sub(r"/\*.*?\*/", "", open("include/libmm_experimental.h", encoding="utf-8").read(), flags=re.S)
        self.assertEqual(set(re.findall(r"\b(mm_x_\w+)\(", header)), set(experimental.PROTOTYPES))

    def test_every_function_is_within_reach(self):
        self.assertEqual(functions(), set(REACHED))
        sources = "".join(open(p, encoding="utf-8").read() for p in glob.glob(harness.PACKAGE + "/libmm/*.py") if not p.endswith("abi.py"))
        for function, where in REACHED.items():
            self.assertRegex(sources, r"lib\.%s\b" % function)
            thing = libmm
            for part in where.split("."):
                thing = getattr(thing, part, None) or (thing is libmm.Error and part == "name")
            self.assertTrue(thing, "%s: libmm.%s does not exist" % (function, where))

    def test_every_option_is_within_reach(self):
        sources = open(harness.PACKAGE + "/libmm/engine.py").read() + open(harness.PACKAGE + "/libmm/model.py").read()
        for struct_name in ("mm_engine_options", "mm_model_options"):
            for member in self.probe["structs"][struct_name]["fields"]:
                if member in ("size", "reserved", "log_user", "progress_user") or "%s.%s" % (struct_name, member) in LEFT:
                    continue
                self.assertIn("options.%s" % member, sources)
        session_members = set(self.probe["structs"]["mm_session_options"]["fields"]) - {"size", "flags"}
        self.assertLessEqual(session_members, set(libmm.SessionOptions.__annotations__))
        keys = re.search(r"Rare options by key.*?\*/", HEADER, re.S).group(0)
        self.assertLessEqual(set(re.findall(r'^ \*   "(\w+)"', keys, re.M)), set(libmm.SessionOptions.__annotations__))

    def test_statuses(self):
        listed = {s.name: s.status for s in libmm.statuses()}
        self.assertEqual({n: v for n, v in self.probe["constants"].items() if re.match(r"MM_(OK|END|E_\w+)$", n)}, listed)

    def test_source_is_python_3_9(self):
        for path in glob.glob(harness.PACKAGE + "/libmm/*.py") + glob.glob(harness.PACKAGE + "/backend/*.py") + glob.glob("examples/python/*.py"):
            source = open(path, encoding="utf-8").read()
            ast.parse(source, path, feature_version=(3, 9))
            if "/libmm/" in path:
                self.assertIn("from __future__ import annotations", source) if "|" in source else None


def single(value):
    return struct.unpack("f", struct.pack("f", value))[0]


class Table(unittest.TestCase):
    """tests/bindings/table.json, run here and in C."""

    def run_case(self, case):
        model = libmm.load(case["model"], engine=self.engine)
        flags = case.get("flags", 0)
        if case["call"] == "tokenize":
            return {"ids": model.tokenize(case["text"], around=bool(flags & 1), special=bool(flags & 2))}
        if case["call"] == "detokenize":
            return {"text": model.detokenize(case["ids"], special=bool(flags & 2))}
        if case["call"] == "template":
            return {"text": model.apply_template(case["messages"])}
        got = {}
        with model.session(**case["options"], **case["set"]) as session, model.input() as built:
            for item in case["input"]:
                (kind, value), = item.items()
                getattr(built, kind)(value)
            session.feed(built)
            for event in session:
                if isinstance(event, (libmm.Vector, libmm.Scores)):
                    got.setdefault(type(event).__name__.lower().replace("vector", "vectors"), []).append([float(v) for v in event.values])
                elif isinstance(event, libmm.Segment):
                    got.setdefault("segments", []).append([event.start, event.end, event.text])
                elif isinstance(event, libmm.Language):
                    got["language"] = event.code
                elif isinstance(event, libmm.End):
                    got.update(ids=list(event.ids), reason=event.reason, prompt_tokens=event.prompt_tokens)
                elif isinstance(event, libmm.Text):
                    got["text"] = got.get("text", "") + event
        return got

    def test_table(self):
        done = subprocess.run([harness.BUILD + "/bindings_table", "tests/bindings/table.json"], stdout=subprocess.PIPE, check=True)
        in_c = [json.loads(line) for line in done.stdout.splitlines()]
        cases = json.load(open("tests/bindings/table.json", encoding="utf-8"))["cases"]
        self.engine = libmm.Engine(precision="exact")
        self.assertEqual([c["name"] for c in cases], [c["name"] for c in in_c])
        for case, c in zip(cases, in_c):
            with self.subTest(case["name"]):
                got = self.run_case(case)
                self.compare(got, c)
                self.expect(got, case)

    def compare(self, got, c):
        """Equal to the last bit."""
        self.assertEqual(set(c) - {"name"}, set(got))
        for key, value in got.items():
            want = c[key]
            if key in ("text", "language"):
                # Pieces of a broken character are replaced one by one, so only whole texts compare.
                want = bytes.fromhex(want).decode("utf-8", "replace")
                value, want = value.replace("\ufffd", ""), want.replace("\ufffd", "")
            elif key == "segments":
                want = [[t0, t1, bytes.fromhex(text).decode("utf-8", "replace")] for t0, t1, text in want]
            elif key in ("vectors", "scores"):
                want = [[single(v) for v in row] for row in want]
            self.assertEqual(want, value, key)

    def expect(self, got, case):
        for key, want in case["want"].items():
            if key in ("ids", "text"):
                self.assertEqual(want, got[key], key)
                continue
            self.assertEqual([len(row) for row in want], [len(row) for row in got[key]])
            worst = max(abs(a - b) for x, y in zip(want, got[key]) for a, b in zip(x, y))
            self.assertLessEqual(worst, case["tolerance"], key)


if __name__ == "__main__":
    harness.main()
