"""Wrong calls: each ends in an exception that says what was wrong, never in a crash or a hang. What the package keeps from
the library (wrong sizes, two threads at once inside it) test_raw.py hands over."""
import array
import contextlib
import gc
import io
import pathlib
import pickle
import sys
import tempfile
import threading
import unittest
import weakref

import harness
from harness import GOLDEN, PHOTO, QUESTION, SPEECH
import libmm
from libmm import abi


class BadUse(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = libmm.Engine(threads=1)
        cls.llama = libmm.load(GOLDEN + "llama", engine=cls.engine)
        cls.bert = libmm.load(GOLDEN + "bert", engine=cls.engine)

    @contextlib.contextmanager
    def fails(self, cls, text="", status=None):
        with self.assertRaises(cls) as caught:
            yield caught
        if isinstance(caught.exception, libmm.Error):
            e = caught.exception
            self.assertIn(text, str(e))
            self.assertTrue(e.text and e.name.startswith("MM_E_") and e.name in str(e))
            again = pickle.loads(pickle.dumps(e))
            self.assertEqual((type(e), str(e), e.status, e.os_code), (type(again), str(again), again.status, again.os_code))

    def test_closed_handles(self):
        engine = libmm.Engine(threads=1)
        model = libmm.load(GOLDEN + "llama", engine=engine)
        session, built = model.session(), model.input()
        for handle in (built, session, model, engine):
            self.assertFalse(handle.closed)
            handle.close()
            handle.close()
            self.assertTrue(handle.closed)
        for call in (lambda: engine.info("device"), lambda: engine.set("tensors", 1000),
                     lambda: libmm.load(GOLDEN + "llama", engine=engine), lambda: libmm.Input(engine),
                     lambda: model.info(), lambda: model.session(), lambda: model.tokenize("a"), lambda: model.detokenize([1]),
                     lambda: model.apply_template("a"), lambda: model.chat("a"), lambda: model.embed("a"), lambda: model.input(),
                     lambda: model.load_session(b"abc"), lambda: session.feed("a"), lambda: session.feed(built), lambda: next(session),
                     lambda: session.set("stop", "a"), lambda: session.reset(), lambda: session.stat("n_past"), lambda: session.fork(),
                     lambda: session.save(), lambda: session.count(), lambda: session.truncate(0), lambda: built.text("a"),
                     lambda: built.clear(), lambda: built.image(PHOTO)):
            with self.fails(libmm.StateError, "closed"):
                call()
        session.cancel()
        with engine, model, session, built:
            pass
        self.assertIn("closed", repr(engine) + repr(model) + repr(session))

    def test_released_when_collected(self):
        engine = libmm.Engine(threads=1)
        before = int(engine.info("memory_bytes"))
        model = libmm.load(GOLDEN + "llama", engine=engine)
        session = model.session()
        gone = weakref.ref(session)
        del session, model
        gc.collect()
        self.assertIsNone(gone())
        self.assertEqual(before, int(engine.info("memory_bytes")))

    def test_two_threads_in_one_session(self):
        session = self.bert.session(task="embed")
        built = self.bert.input()
        for _ in range(20000):
            built.text("The license is 30 years old.")
        session.feed(built)
        started, ended = threading.Event(), []

        def work():
            started.set()
            while not ended:
                try:
                    ended.append(list(session))
                except libmm.StateError:
                    pass  # the one below was quicker
                except libmm.Error as e:
                    ended.append(e)
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        refused = 0
        while not refused:
            for call in (lambda: next(session), lambda: session.feed("a"), lambda: session.stat("n_past"), session.reset,
                         lambda: session.set("stop", "x"), session.save, session.fork):
                with self.assertRaises(libmm.StateError):
                    call()
                    raise libmm.StateError(0)  # it was quicker than the other thread
                refused += not ended
            if ended:
                break
        session.cancel()
        thread.join()
        self.assertTrue(refused)
        self.assertIsInstance(ended[0], libmm.Cancelled)
        self.assertEqual(2, len(list(session.reset().feed("a"))))

    def test_close_during_a_call(self):
        for _ in range(5):
            session = self.bert.session(task="embed")
            built = self.bert.input()
            for _ in range(5000):
                built.text("The license is 30 years old.")
            session.feed(built)
            ended = []

            def work():
                try:
                    list(session)
                except libmm.Error as e:
                    ended.append(e)
            thread = threading.Thread(target=work)
            thread.start()
            session.close()
            built.close()
            thread.join()
            self.assertIsInstance(ended[0], (libmm.Cancelled, libmm.StateError))
            with self.fails(libmm.StateError, "closed"):
                session.reset()

    def test_one_model_for_many_threads(self):
        want = self.llama.generate("The licensor", max_tokens=30, ignore_eos=True).ids
        got = []

        def work():
            for _ in range(5):
                got.append(self.llama.generate("The licensor", max_tokens=30, ignore_eos=True).ids)
                got.append(want if self.llama.tokenize("abc") else None)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([want] * 80, got)

    def test_handle_of_another_engine(self):
        other = libmm.Engine(threads=1)
        session = self.llama.session()
        with self.fails(libmm.ArgumentError, "engine"):
            session.feed(libmm.Input(other).text("a"))

    def test_wrong_order(self):
        session = self.llama.session(max_tokens=8, ignore_eos=True, raw=True)
        self.assertIsNone(session.next())
        session.feed("The licensor")
        with self.fails(libmm.StateError):
            session.set("stop", "a")
        next(session)
        for call in (lambda: session.feed("a"), lambda: session.set("stop", "a")):
            with self.fails(libmm.StateError):
                call()
        self.assertEqual(8, len(list(session)[-1].ids))
        with self.fails(libmm.ArgumentError):
            session.feed()
        with self.fails(libmm.ArgumentError):
            session.feed(self.llama.input())

    def test_options(self):
        for bad in (dict(n_ctx=-1), dict(n_ctx=1 << 32), dict(seed=-1), dict(seed=1 << 64), dict(temperature=-1.0), dict(top_p=0),
                    dict(top_logprobs=21), dict(temperature=float("nan")), dict(max_tokens=1 << 40), dict(task="sing"),
                    dict(force_ids=[1 << 30]), dict(stop="")):
            with self.fails((libmm.ArgumentError, libmm.LimitError)):
                self.llama.session(**bad)
        with self.fails(libmm.ContextError):
            self.llama.session(n_ctx=100000)
        with self.fails(libmm.LimitError):
            self.llama.session(n_ctx=1 << 30)
        with self.fails(libmm.UnsupportedError, "embed"):
            self.llama.embed("a")
        for bad in (dict(nctx=1), dict(n_ctx=1.5), dict(n_ctx="many"), dict(temperature=[])):
            with self.fails(TypeError):
                self.llama.session(**bad)
        with self.fails(ValueError):
            self.llama.session(temperature="warm")
        with self.fails(libmm.UnknownKey, "colour"):
            self.llama.session().set("colour", "red")
        with self.fails(LookupError):
            self.llama.session().stat("colour")
        with self.fails(libmm.UnknownKey):
            self.llama.info("colour")
        with self.fails(libmm.UnknownKey):
            libmm.build_info("colour")

    def test_engines(self):
        for bad in (dict(threads=-1), dict(threads=1025), dict(precision="some"), dict(log_level="loud"), dict(memory_limit=-1),
                    dict(device="a\0b")):
            with self.fails(libmm.ArgumentError):
                libmm.Engine(**bad)
        with self.fails(libmm.DeviceError, "abacus"):
            libmm.Engine(device="abacus")
        with self.fails(TypeError):
            libmm.Engine(log="stderr")
        with self.fails(TypeError):
            libmm.load(GOLDEN + "llama", engine=self.engine, threads=2)
        with self.fails(TypeError):
            libmm.load(GOLDEN + "llama", speed=2)

    def test_files(self):
        with self.fails(FileNotFoundError, "nowhere"):
            libmm.load("nowhere.gguf")
        with self.fails(libmm.NotFound) as caught:
            self.llama.input().image("nowhere.png")
        self.assertEqual(2, caught.exception.errno)
        with self.fails(OSError):
            libmm.load(tempfile.gettempdir() + "/nowhere")
        with self.fails(libmm.ModelFileError):
            libmm.load("Makefile")
        with self.fails(libmm.ModelFileError):
            libmm.load(b"GGUF no more")
        for empty in (b"", bytearray()):
            with self.fails(libmm.ArgumentError):
                libmm.load(empty)
        for bad in (None, 7, object()):
            with self.fails(TypeError):
                libmm.load(bad)
        with self.fails(libmm.ArgumentError):
            libmm.load("a\0b")
        for call in (lambda i: i.image("Makefile"), lambda i: i.audio("Makefile"), lambda i: i.image(b"no picture"), lambda i: i.image(b""),
                     lambda i: i.audio(b"no sound"), lambda i: i.audio(bytearray(b"no sound"))):
            with self.fails(libmm.MediaError):
                call(self.llama.input())

    def test_wrong_types(self):
        built, session = self.llama.input(), self.llama.session()
        for call in (lambda: built.text(b"bytes"), lambda: built.text(None), lambda: built.role(5), lambda: built.image(None),
                     lambda: built.image(7), lambda: built.image({}), lambda: built.audio(None, 16000), lambda: built.audio(object(), 16000),
                     lambda: built.messages("text"), lambda: built.messages([1]), lambda: built.messages([{"role": "user", "content": object()}]),
                     lambda: built.tokens(["a"]), lambda: session.feed(b"bytes"), lambda: session.feed([1, 2]), lambda: session.feed(None),
                     lambda: session.truncate("a"), lambda: self.llama.tokenize(None), lambda: self.llama.detokenize("abc"),
                     lambda: self.llama.info(5)):
            with self.fails(TypeError):
                call()
        for call in (lambda: built.text("half \ud800"), lambda: built.text("a\0b"), lambda: built.role(""), lambda: built.role("a\0"),
                     lambda: built.image("a\0b"), lambda: libmm.Image(PHOTO, "cmyk"), lambda: built.audio([0.0] * 100), lambda: built.audio([0.0], 0),
                     lambda: built.audio([0.0], -5), lambda: built.audio([0.0], 1 << 40), lambda: built.audio(array.array("i", [1, 2]), 16000),
                     lambda: built.audio(["a"], 16000), lambda: built.audio(memoryview(bytes(90)).cast("B").cast("h", (5, 9)), 16000),
                     lambda: built.image(array.array("f", [1, 2])), lambda: built.image(memoryview(bytes(8)).cast("B", (2, 2, 2))),
                     lambda: built.image(memoryview(bytes(12)).cast("B", (2, 2, 3)), "rgba"),
                     lambda: session.feed(pathlib.Path("Makefile")), lambda: session.truncate(-1), lambda: self.llama.embed([]),
                     lambda: libmm.device_info(-1, "id"), lambda: self.llama.chat([], images=PHOTO)):
            with self.fails(libmm.ArgumentError):
                call()
        with self.fails(libmm.LimitError):
            built.image(memoryview(bytearray(16385 * 3)).cast("B", (1, 16385, 3)))
        with self.fails(libmm.ArgumentError):
            built.tokens([1 << 40])

    def test_messages(self):
        def said(*parts, **more):
            return [{"role": "user", "content": list(parts), **more}]
        for bad, cls in ((said({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}), libmm.UnsupportedError),
                         (said({"type": "smell"}), libmm.UnsupportedError), ([{"content": "a"}], libmm.ModelFileError),
                         (said({"type": "image_url", "image_url": {"url": "nowhere.png"}}), libmm.NotFound),
                         (said({"type": "image_url", "image_url": {"url": "data:image/png;base64,****"}}), libmm.ModelFileError),
                         (said({"type": "image", "image": open(PHOTO, "rb").read()}, name="x"), libmm.ArgumentError),
                         (said({"type": "image", "image": open(PHOTO, "rb").read()}, {"type": "smell"}), libmm.UnsupportedError)):
            with self.fails(cls):
                self.llama.input().messages(bad)
        with self.fails(libmm.UnsupportedError, "picture"):
            self.llama.chat(QUESTION, images=PHOTO)
        with self.fails(libmm.ContextError):
            self.llama.generate("word " * 1000).text
        with self.fails(libmm.UnsupportedError):
            self.bert.chat("Hello")

    def test_failed_answer_leaves_the_session_usable(self):
        session = self.llama.session(max_tokens=4, ignore_eos=True, raw=True)
        session.feed("word " * 1000)
        with self.fails(libmm.ContextError):
            next(session)
        session.feed("The licensor").cancel()
        with self.fails(libmm.Cancelled):
            session.next()
        self.assertEqual(4, len(session.ask("The licensor").ids))

    def test_progress_that_raises(self):
        class Mine(Exception):
            pass

        def progress(*_):
            raise Mine("no more")
        with self.assertRaises(Mine):
            libmm.load(GOLDEN + "llama", progress=progress)
        with self.fails(libmm.Cancelled):
            libmm.load(GOLDEN + "llama", progress=lambda *_: True)

    def test_callbacks_that_raise_or_call_back(self):
        caught, calls, refused = [], [], []
        hook, sys.unraisablehook = sys.unraisablehook, lambda u: caught.append(u.exc_value)
        try:
            def log(level, area, line):
                calls.append(line)
                try:
                    libmm.version()
                    model.info()
                except Exception as e:
                    refused.append(e)
                raise RuntimeError("log")

            class Broken(libmm.MappingFiles):
                def open(self, path):
                    raise RuntimeError("open")
            with self.fails(libmm.FileError):
                libmm.load("a", files=Broken({"a": b"x"}))
            model = self.llama
            with libmm.load(GOLDEN + "llama", log=log, log_level="debug") as model:
                model.generate("The", max_tokens=2).text
        finally:
            sys.unraisablehook = hook
        self.assertEqual(len(calls), sum("log" == str(e) for e in caught))
        self.assertIn("open", [str(e) for e in caught])
        self.assertTrue(all(isinstance(e, libmm.StateError) for e in refused))

    def test_progress_that_calls_back(self):
        refused = []

        def progress(*_):
            try:
                self.llama.tokenize("a")
            except libmm.StateError as e:
                refused.append(e)
            self.assertEqual(libmm.version(), "%d.%d.%d" % (abi.MM_VERSION_MAJOR, abi.MM_VERSION_MINOR, abi.MM_VERSION_PATCH))
        libmm.load(GOLDEN + "qwen2", engine=self.engine, progress=progress).close()
        self.assertTrue(refused)

    def test_writer_that_raises(self):
        class Full(io.BytesIO):
            def write(self, data):
                raise OSError(28, "disk full")
        session = self.llama.session(max_tokens=4, ignore_eos=True)
        session.ask("The licensor").text
        with self.assertRaises(OSError) as caught:
            session.save(Full())
        self.assertEqual(28, caught.exception.errno)
        with self.fails(libmm.FileError):
            session.save("/nowhere/at/all")
        for damaged in (b"", b"no snapshot"):
            with self.fails(libmm.ModelFileError):
                self.llama.load_session(damaged)
        with self.fails(libmm.NotFound):
            self.llama.load_session("nowhere")
        with self.fails(libmm.UnsupportedError):
            libmm.load(GOLDEN + "qwen2").load_session(session.save())


class Fork(unittest.TestCase):
    @unittest.skipIf(harness.SAN, "sanitizers do not follow forks with threads")
    def test_the_child_may_only_release(self):
        out = harness.child("""
import os, sys, warnings, libmm
warnings.simplefilter("ignore")  # since 3.12 every fork with threads draws one
model = libmm.load(sys.argv[1])
session = model.session(raw=True, max_tokens=4, ignore_eos=True)
assert len(session.ask("The").ids) == 4
child = os.fork()
if not child:
    refused = 0
    for call in (model.info, lambda: model.tokenize("a"), lambda: session.feed("a"), session.next, model.session):
        try:
            call()
        except libmm.StateError:
            refused += 1
    session.close()
    model.close()
    os._exit(refused)
print(os.waitpid(child, 0)[1] >> 8, len(session.reset().ask("The").ids))
""", GOLDEN + "llama")
        self.assertEqual("5 4\n", out)


if __name__ == "__main__":
    harness.main()
