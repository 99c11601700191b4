"""Using the package as its documentation says. Run once with NumPy (where it is there) and once as if there were none
(LIBMM_TEST_NO_NUMPY=1)."""
import array
import asyncio
import base64
import io
import json
import logging
import os
import pathlib
import pickle
import struct
import sys
import tempfile
import unittest

import harness
from harness import GOLDEN, INPUTS, PHOTO, QUESTION, SPEECH

if os.environ.get("LIBMM_TEST_NO_NUMPY"):
    sys.modules["numpy"] = None
import libmm  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None
try:
    import PIL.Image
except ImportError:
    PIL = None


def golden(family, case):
    cases = json.load(open(GOLDEN + family + "/expected.json", encoding="utf-8"))["cases"]
    return next(c for c in cases if c["name"] == case)


def greedy(family, case):
    return tuple(golden(family, case)["result"]["greedy"])


def photo_pixels():
    """A gradient of 40 x 30 pixels, packed RGB."""
    return bytes(v for y in range(30) for x in range(40) for v in (6 * x, 8 * y, x * y % 256))


class WithModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = libmm.Engine(precision="exact", threads=2)
        cls.open = {}

    def model(self, family):
        if family not in self.open:
            self.open[family] = libmm.load(GOLDEN + family, engine=self.engine)
        return self.open[family]

    def listed(self, values):
        """Floats as plain lists, after a look at what kind of thing they are."""
        self.assertIsInstance(values, list if numpy is None else numpy.ndarray)
        if numpy is not None:
            self.assertEqual(values.dtype, numpy.float32)
            return values.tolist()
        return values


class Text(WithModels):
    def test_generate_streams_and_gives_the_whole(self):
        text = golden("llama", "text0")["text"]
        answer = self.model("llama").generate(text, max_tokens=24, ignore_eos=True)
        pieces = list(answer)
        self.assertGreater(len(pieces), 5)
        self.assertTrue(all(isinstance(p, str) for p in pieces))
        self.assertEqual("".join(pieces), answer.text)
        self.assertEqual(str(answer), answer.text)
        self.assertEqual(greedy("llama", "text0"), answer.ids)
        self.assertEqual(("length", 42), (answer.reason, answer.prompt_tokens))
        self.assertTrue(answer.session.closed)

    def test_text_alone_is_enough(self):
        answer = self.model("llama").generate(golden("llama", "text0")["result"]["input_ids"][0], max_tokens=24, ignore_eos=True)
        self.assertEqual(greedy("llama", "text0"), answer.ids)
        self.assertEqual([], list(answer))
        self.assertEqual(answer.text, "".join(answer.pieces))

    def test_chat(self):
        model = self.model("qwen2")
        want = greedy("qwen2", "chat")
        for messages in (QUESTION, {"role": "user", "content": QUESTION}, [{"role": "user", "content": QUESTION}],
                         [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}], ({"role": "user", "content": QUESTION},)):
            self.assertEqual(want, model.chat(messages, max_tokens=16, ignore_eos=True).ids)

    def test_logprobs(self):
        model = self.model("llama")
        pieces = list(model.generate("The licensor", max_tokens=8, ignore_eos=True, logprobs=True, top_logprobs=3))
        for p in pieces:
            self.assertLessEqual(p.logprob, 0)
            self.assertEqual(3, len(p.top))
            self.assertGreaterEqual(p.top[0].logprob, p.top[1].logprob)
        self.assertEqual(pieces[0].top[0].id, pieces[0].id)
        self.assertIsNone(list(model.generate("The licensor", max_tokens=1, ignore_eos=True))[0].logprob)
        again = pickle.loads(pickle.dumps(pieces[0]))
        self.assertEqual((pieces[0], pieces[0].id, pieces[0].top), (again, again.id, again.top))

    def test_sampling_is_seeded(self):
        model = self.model("llama")
        def ids(seed):
            return model.generate("The", max_tokens=12, ignore_eos=True, temperature=1.5, seed=seed).ids
        self.assertEqual(ids(7), ids(7))
        self.assertNotEqual(ids(7), ids((1 << 64) - 1))

    def test_tokens_and_templates(self):
        model, case = self.model("llama"), golden("llama", "text0")
        ids = model.tokenize(case["text"], around=True)
        self.assertEqual(case["result"]["input_ids"][0], ids)
        self.assertEqual(case["text"], model.detokenize(ids))
        self.assertTrue(model.detokenize(ids, special=True).startswith("<|begin_of_text|>"))
        self.assertEqual([], model.tokenize(""))
        self.assertEqual("", model.detokenize([]))
        self.assertEqual(1, len(model.tokenize("<|eot_id|>", special=True)))
        self.assertLess(1, len(model.tokenize("<|eot_id|>")))
        self.assertEqual("\ufffd", model.detokenize([255]))
        self.assertEqual(b"\xad", model.detokenize([255], errors="surrogateescape").encode("utf-8", "surrogateescape"))
        chat = golden("llama", "chat")
        self.assertEqual(chat["result"]["rendered"], model.apply_template(chat["messages"]))
        self.assertTrue(chat["result"]["rendered"].startswith(model.apply_template(QUESTION, add_generation_prompt=False)))
        long = "word " * 20000
        self.assertEqual(long, model.detokenize(model.tokenize(long)))

    def test_limits(self):
        with libmm.Engine(threads=1) as engine:
            self.assertEqual(["tensors", "1048576", "1048576", "4194304", "tensors of a model"],
                             next(line.split("\t") for line in engine.info("limits").splitlines() if line.startswith("tensors")))
            self.assertIs(engine, engine.set("tensors", 5))
            with self.assertRaisesRegex(libmm.LimitError, '"tensors" is 5'):
                libmm.load(GOLDEN + "llama", engine=engine)
            engine.set("tensors", 1 << 20)
            libmm.load(GOLDEN + "llama", engine=engine).close()
            for value in (0, -1, 1 << 40):
                with self.assertRaises(libmm.ArgumentError):
                    engine.set("tensors", value)
            with self.assertRaises(libmm.UnknownKey):
                engine.set("colour", 1)

    def test_facts(self):
        model = self.model("llama")
        self.assertEqual("lm", model.info("assembly"))
        self.assertEqual(256, model.info()["context"])
        self.assertEqual((("generate",), 256), (model.tasks, model.context))
        plan = model.plan(64)
        self.assertEqual(plan["total"], sum(bytes_ for part, bytes_ in plan.items() if part != "total"))
        self.assertGreater(plan["total"], plan["weights"])
        self.assertEqual("exact", self.engine.info("precision"))
        self.assertGreater(int(self.engine.info("memory_bytes")), plan["weights"])
        self.assertIn("generate", repr(model) + model.info("tasks"))
        self.assertEqual(libmm.version(), libmm.build_info("version"))
        self.assertIn("cpu", libmm.devices()[0])
        self.assertEqual("cpu", libmm.device_info(0, "id"))
        self.assertIsNone(libmm.device_info(99, "id"))
        self.assertEqual("MM_E_IO", next(s.name for s in libmm.statuses() if s.status == libmm.abi.MM_E_IO))


class Pictures(WithModels):
    want = None

    def ids(self, image, **more):
        return self.model("llava").chat(QUESTION, images=image, max_tokens=24, ignore_eos=True, **more).ids

    def test_files_paths_bytes_and_messages(self):
        want = greedy("llava", "photo")
        data = open(PHOTO, "rb").read()
        for image in (PHOTO, pathlib.Path(PHOTO), data, bytearray(data), memoryview(data), [PHOTO], libmm.Image(PHOTO)):
            self.assertEqual(want, self.ids(image))
        url = "data:image/jpeg;base64," + base64.b64encode(data).decode()
        text = {"type": "text", "text": QUESTION}
        spelled = pathlib.Path(PHOTO).resolve().as_uri().replace("photo", "%70hoto")
        for part in ({"type": "image_url", "image_url": {"url": PHOTO}}, {"type": "image_url", "image_url": {"url": url}},
                     {"type": "image_url", "image_url": {"url": spelled}},
                     {"type": "image", "image": pathlib.Path(PHOTO)}, {"type": "image", "image": data},
                     {"type": "image", "image": libmm.Image(PHOTO)}):
            answer = self.model("llava").chat([{"role": "user", "content": [part, text]}], max_tokens=24, ignore_eos=True)
            self.assertEqual(want, answer.ids)
        parts = [{"type": "image_url", "image_url": {"url": "photo.jpg"}}, text]
        self.assertEqual(want, self.model("llava").chat([{"role": "user", "content": parts}], base_dir=INPUTS, max_tokens=24,
                                                        ignore_eos=True).ids)

    def test_several(self):
        answer = self.model("llava").chat("Describe this image briefly.", images=[INPUTS + "rgba.png", INPUTS + "wide.png"],
                                          max_tokens=12, ignore_eos=True)
        self.assertEqual(greedy("llava", "two_images"), answer.ids)
        mixed = [{"role": "user", "content": [{"type": "image", "image": open(INPUTS + "rgba.png", "rb").read()},
                                              {"type": "image_url", "image_url": {"url": "wide.png"}},
                                              {"type": "text", "text": "Describe this image briefly."}]}]
        self.assertEqual(answer.ids, self.model("llava").chat(mixed, base_dir=INPUTS, max_tokens=12, ignore_eos=True).ids)

    def test_generate_raw(self):
        text = golden("llava", "grey")["text"]
        self.assertEqual(greedy("llava", "grey"), self.model("llava").generate(text, images=INPUTS + "grey.png", max_tokens=12,
                                                                               ignore_eos=True).ids)

    def test_buffers(self):
        raw = photo_pixels()
        view = memoryview(raw).cast("B", (30, 40, 3))
        want = self.ids(view)
        self.assertEqual(want, self.ids(memoryview(bytearray(raw)).cast("B", (30, 40, 3))))
        swapped = b"".join(bytes((raw[i + 2], raw[i + 1], raw[i])) for i in range(0, len(raw), 3))
        self.assertEqual(want, self.ids(libmm.Image(memoryview(swapped).cast("B", (30, 40, 3)), "bgr")))
        rgba = b"".join(raw[i:i + 3] + b"\xff" for i in range(0, len(raw), 3))
        self.assertEqual(want, self.ids(memoryview(rgba).cast("B", (30, 40, 4))))
        grey = memoryview(bytes(range(200))).cast("B", (10, 20))
        self.assertEqual(self.ids(grey), self.ids(memoryview(bytes(range(200))).cast("B", (10, 20, 1))))
        self.assertEqual(want, self.ids(view[:]))
        self.assertEqual(self.ids(memoryview(raw[:20 * 120]).cast("B", (20, 40, 3))), self.ids(view[:20]))

        class Interface:
            def __init__(self):
                self.hold = array.array("B", raw)
                self.__array_interface__ = {"shape": (30, 40, 3), "typestr": "|u1", "version": 3,
                                            "data": (self.hold.buffer_info()[0], True), "strides": None}
        self.assertEqual(want, self.ids(Interface()))

    @unittest.skipIf(numpy is None, "NumPy is not there")
    def test_arrays(self):
        raw = photo_pixels()
        a = numpy.frombuffer(raw, numpy.uint8).reshape(30, 40, 3)
        want = self.ids(a)
        self.assertEqual(want, self.ids(memoryview(raw).cast("B", (30, 40, 3))))
        wide = numpy.zeros((30, 64, 3), numpy.uint8)
        wide[:, 10:50] = a
        self.assertEqual(want, self.ids(wide[:, 10:50]))
        self.assertEqual(want, self.ids(numpy.asfortranarray(a)))
        self.assertEqual(want, self.ids(a[:, :, ::-1][:, :, ::-1]))
        self.assertEqual(want, self.ids(libmm.Image(numpy.ascontiguousarray(a[:, :, ::-1]), "bgr")))
        self.assertEqual(self.ids(a[::-1, ::2]), self.ids(a[::-1, ::2].copy()))
        # In place: what C is told points into the array itself.
        from libmm.media import pixels
        self.assertEqual(pixels(libmm.Image(wide[:, 10:50]))[0].pixels, wide.ctypes.data + 30)
        self.assertEqual(pixels(libmm.Image(wide[:, 10:50]))[0].stride, 64 * 3)

        class Tensorish:
            def __array__(self, dtype=None, copy=None):
                return a
        self.assertEqual(want, self.ids(Tensorish()))

    @unittest.skipIf(PIL is None or numpy is None, "Pillow is not there")
    def test_pillow(self):
        png = PIL.Image.frombytes("RGB", (40, 30), photo_pixels())
        want = self.ids(memoryview(photo_pixels()).cast("B", (30, 40, 3)))
        self.assertEqual(want, self.ids(png))
        self.assertEqual(want, self.ids(png.convert("RGBA")))
        grey = png.convert("L")
        self.assertEqual(self.ids(grey), self.ids(memoryview(grey.tobytes()).cast("B", (30, 40))))
        self.assertEqual(self.ids(png.quantize(16).convert("RGB")), self.ids(png.quantize(16)))
        self.assertEqual(self.ids(grey), self.ids([grey]))
        self.assertEqual(want, self.model("llava").session(max_tokens=24, ignore_eos=True).ask(png, QUESTION).ids)


class Vectors(WithModels):
    def test_embed(self):
        clip = self.model("clip")
        one = self.listed(clip.embed("a photo of a red circle"))
        self.assertAlmostEqual(1, sum(v * v for v in one), 5)
        rows = self.listed(clip.embed(["a photo of a red circle", libmm.Image(PHOTO), pathlib.Path(PHOTO), open(PHOTO, "rb").read()]))
        self.assertEqual([24] * 4, [len(r) for r in rows])
        self.assertEqual(one, rows[0])
        self.assertEqual(rows[1], rows[2])
        self.assertEqual(rows[1], rows[3])
        self.assertEqual(rows[1], self.listed(clip.embed(libmm.Image(PHOTO))))
        self.assertEqual(1, len(self.listed(clip.embed(["a"]))))
        grey = memoryview(bytes(range(200))).cast("B", (10, 20))
        self.assertEqual(24, len(self.listed(clip.embed(grey))))
        self.assertEqual(32, len(self.listed(self.model("bert").embed(""))))

    def test_score(self):
        clip, texts = self.model("clip"), golden("clip", "sim")["batch"]
        one = self.listed(clip.score(PHOTO, texts))
        self.assertAlmostEqual(1, sum(one), 5)
        rows = self.listed(clip.score([PHOTO, INPUTS + "wide.png"], texts))
        self.assertEqual((2, 2, one), (len(rows), len(rows[0]), rows[0]))
        self.assertEqual([1.0], self.listed(clip.score(PHOTO, "a photo")))

    def test_tensors(self):
        session = self.model("bert").session(task="embed", watch="*")
        tensors = [e for e in session.feed("The license is 30 years old.") if isinstance(e, libmm.Tensor)]
        last = next(t for t in tensors if t.name.endswith("last_hidden_state"))
        self.assertEqual(((15, 32), 15 * 32), (last.shape, sum(1 for _ in (last.values if numpy is None else last.values.flat))))


class Speech(WithModels):
    def transcribe(self, audio, **more):
        return self.model("whisper").transcribe(audio, max_tokens=24, language="en", **more)

    def samples(self):
        with open(SPEECH, "rb") as f:
            f.seek(44)
            return array.array("h", f.read())

    def test_segments(self):
        heard = self.transcribe(SPEECH)
        segments = list(heard)
        self.assertEqual(segments, heard.segments)
        self.assertEqual([0, 1], [s.number for s in segments])
        self.assertTrue(all(0 <= s.start < s.end for s in segments))
        start, end, text, ids, number = segments[0]
        self.assertEqual("".join(s.text for s in segments), heard.text)
        self.assertEqual((335, 215, 409, 409, 335, 77, 409, 409), heard.ids)
        detected = self.model("whisper").transcribe(SPEECH, max_tokens=4)
        detected.segments
        self.assertEqual(2, len(detected.detected.code))
        self.assertLessEqual(detected.detected.probability, 1)

    def test_every_form_of_sound(self):
        want, i16 = self.transcribe(SPEECH).segments, self.samples()
        floats = array.array("f", (v / 32768 for v in i16))
        stereo = array.array("h", (v for s in i16 for v in (s, s)))
        data = open(SPEECH, "rb").read()
        for audio, rate in ((data, None), (bytearray(data), None), (memoryview(data), None), (pathlib.Path(SPEECH), None), (i16, 16000), (floats, 16000),
                            (floats.tolist(), 16000), (array.array("d", floats), 16000), (libmm.Audio(i16, 16000), None),
                            (memoryview(stereo).cast("B").cast("h", (len(i16), 2)), 16000)):
            self.assertEqual(want, self.transcribe(audio, rate=rate).segments)
        session = self.model("whisper").session(max_tokens=24, language="en")
        self.assertEqual(want, [e for e in session.feed(pathlib.Path(SPEECH)) if isinstance(e, libmm.Segment)])
        part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}
        session.feed([{"role": "user", "content": [part]}])
        self.assertEqual(want, [e for e in session if isinstance(e, libmm.Segment)])
        session.feed({"role": "user", "content": [{"type": "audio", "audio": libmm.Audio(i16, 16000)}]})
        self.assertEqual(want, [e for e in session if isinstance(e, libmm.Segment)])

    @unittest.skipIf(numpy is None, "NumPy is not there")
    def test_arrays(self):
        want, i16 = self.transcribe(SPEECH).segments, numpy.array(self.samples())
        both = numpy.stack([i16, i16], axis=1)
        for a in (i16, i16.astype(numpy.float32) / 32768, i16.astype(numpy.float64) / 32768, both, numpy.asfortranarray(both), both[:, 0],
                  numpy.repeat(i16, 2)[::2]):
            self.assertEqual(want, self.transcribe(a, rate=16000).segments)
        from libmm.media import samples
        self.assertEqual(samples(libmm.Audio(i16, 16000))[0].samples, i16.ctypes.data)


class Sessions(WithModels):
    def test_events(self):
        session = self.model("qwen2").session(max_tokens=16, ignore_eos=True)
        events = list(session.feed(QUESTION))
        self.assertIsInstance(events[-1], libmm.End)
        self.assertEqual(greedy("qwen2", "chat"), events[-1].ids)
        self.assertIsNone(session.next())
        past = session.stat("n_past")
        self.assertGreater(past, 34)
        first = session.reset().ask(QUESTION)
        self.assertEqual(greedy("qwen2", "chat"), first.ids)
        self.assertFalse(session.closed)
        self.assertGreater(session.ask("And now?").prompt_tokens, first.prompt_tokens)

    def test_input_is_reusable(self):
        built = self.model("llava").input().role("user").image(PHOTO).text(QUESTION)
        session = self.model("llava").session(max_tokens=24, ignore_eos=True)
        self.assertEqual(greedy("llava", "photo"), session.ask(built).ids)
        self.assertEqual(greedy("llava", "photo"), session.reset().ask(built).ids)
        self.assertEqual(greedy("qwen2", "chat"), self.model("qwen2").session(max_tokens=16, ignore_eos=True).ask(built.clear().text(QUESTION)).ids)

    def test_logits(self):
        from libmm import experimental
        session = self.model("llama").session(raw=True, ignore_eos=True, max_tokens=4)
        session.feed("The licensor")
        with self.assertRaises(libmm.StateError):
            experimental.logits(session)
        piece = session.next()
        scores = self.listed(experimental.logits(session))
        self.assertEqual((340, piece.id), (len(scores), max(range(len(scores)), key=scores.__getitem__)))
        with self.assertRaises(libmm.UnsupportedError):
            experimental.logits(self.model("bert").session())

    def test_tools_and_variables(self):
        template = ("{% if tools %}<T>{{ tools[0].function.name }}{% endif %}{% if mood %}<M>{{ mood }}{% endif %}{% for m in messages %}"
                    "<{{ m.role }}>{{ m.content }}{% if m.tool_calls %}<C>{{ m.tool_calls[0].function.name }}{% endif %}{% endfor %}")
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
        calls = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "", "tool_calls": tools}]
        with tempfile.TemporaryDirectory() as folder:
            for name in os.listdir(GOLDEN + "qwen3"):
                if not name.startswith(("expected", "chat_template")):
                    os.symlink(os.path.abspath(GOLDEN + "qwen3/" + name), folder + "/" + name)
            config = json.load(open(folder + "/tokenizer_config.json", encoding="utf-8"))
            os.remove(folder + "/tokenizer_config.json")
            with open(folder + "/tokenizer_config.json", "w", encoding="utf-8") as f:
                json.dump({**config, "chat_template": template}, f)
            model = libmm.load(folder, engine=self.engine)
        self.assertEqual("<user>Hi", model.apply_template("Hi"))
        self.assertEqual("<T>weather<M>gay<user>Hi", model.apply_template("Hi", tools=tools, mood="gay"))
        self.assertEqual("<user>Hi<assistant><C>weather", model.apply_template(calls))
        def positions(text):
            return len(model.tokenize(text, around=True))
        session = model.session(tools=tools, variables={"mood": "gay"})
        self.assertEqual(positions("<T>weather<M>gay<user>Hi"), session.count("Hi"))
        self.assertEqual(positions("<user>Hi"), session.set("tools", None).set("variables", None).count("Hi"))
        self.assertEqual(positions("<user>Hi<assistant><C>weather"), session.count(calls))

    def test_stop(self):
        model = self.model("llama")
        text = golden("llama", "text0")["text"]
        answer = model.generate(text, max_tokens=24, ignore_eos=True, stop=["icen", "never"])
        self.assertNotIn("icen", answer.text)
        self.assertEqual("stop", answer.reason)

    def test_async(self):
        async def main():
            session = self.model("qwen2").session(max_tokens=16, ignore_eos=True)
            events = [e async for e in session.feed(QUESTION)]
            answers = await asyncio.gather(*(collect(self.model("llama").generate("The licensor", max_tokens=20, ignore_eos=True)) for _ in range(3)))
            return events[-1].ids, answers

        async def collect(answer):
            return [piece async for piece in answer], answer.ids
        ids, answers = asyncio.run(main())
        self.assertEqual(greedy("qwen2", "chat"), ids)
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0], answers[2])
        self.assertEqual(20, len(answers[0][1]))

    def test_pickled_model(self):
        model = libmm.load(pathlib.Path(GOLDEN + "llama"), precision="exact", threads=1)
        again = pickle.loads(pickle.dumps(model))
        self.assertEqual(model.info(), again.info())
        self.assertEqual("exact", again.engine.info("precision"))
        with self.assertRaises(TypeError):
            pickle.dumps(libmm.load(open(GOLDEN + "llama/model-f32.gguf", "rb").read()))

    def test_count(self):
        session = self.model("qwen2").session(max_tokens=4, ignore_eos=True)
        self.assertEqual(0, session.count())
        positions = session.count(QUESTION)
        answer = session.ask(QUESTION)
        self.assertEqual(positions, answer.prompt_tokens)
        self.assertEqual(greedy("llava", "photo")[:4], self.model("llava").chat(QUESTION, images=PHOTO, max_tokens=4, ignore_eos=True).ids)
        self.assertEqual(56, self.model("llava").session().count(libmm.Image(PHOTO), QUESTION))

    def test_fork_and_truncate(self):
        session = self.model("qwen2").session(max_tokens=8, ignore_eos=True)
        first = session.ask(QUESTION).ids
        self.assertEqual(2, session.stat("entries"))
        fork = session.fork()
        with fork:
            second = fork.ask("And now?").ids
        self.assertEqual(second, session.ask("And now?").ids)
        self.assertEqual(first, session.truncate(0).ask(QUESTION).ids)
        with self.assertRaises(libmm.ArgumentError):
            session.truncate(9)

    def test_save_and_load(self):
        model = self.model("llava")
        session = model.session(max_tokens=8, ignore_eos=True)
        session.ask(libmm.Image(PHOTO), QUESTION).text
        saved = session.save()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "talk.mms"
            self.assertIsNone(session.save(path))
            stream = io.BytesIO()
            session.save(stream)
            self.assertEqual(saved, stream.getvalue())
            want = session.ask("And now?").ids
            for source in (saved, bytearray(saved), path, str(path)):
                with model.load_session(source) as again:
                    self.assertEqual(want, again.ask("And now?").ids)
        with self.assertRaises(libmm.ModelFileError):
            model.load_session(saved[:-9])
        self.assertEqual(want, pickle.loads(pickle.dumps(model.load_session(saved))).ask("And now?").ids)
        asked = model.session(max_tokens=2, ignore_eos=True, logprobs=True)
        for session, told in ((asked, True), (asked.fork(), True), (model.load_session(asked.save()), True), (model.load_session(saved), False)):
            self.assertEqual(told, session.ask("And now?").__next__().logprob is not None)


class Loading(unittest.TestCase):
    def test_from_bytes(self):
        data = open(GOLDEN + "llama/model-f32.gguf", "rb").read()
        for form in (data, bytearray(data), memoryview(data)):
            with libmm.load(form, precision="exact", name="llama.gguf") as model:
                self.assertEqual(greedy("llama", "text0")[:8],
                                 model.generate(golden("llama", "text0")["text"], max_tokens=8, ignore_eos=True).ids)

    def test_progress(self):
        seen = []
        libmm.load(GOLDEN + "llama", progress=lambda *a: seen.append(a)).close()
        self.assertTrue(seen)
        self.assertTrue(all(isinstance(stage, str) and done <= total for stage, done, total in seen if total))

    def test_files(self):
        names = [n for n in os.listdir(GOLDEN + "llama") if n != "expected.safetensors"]
        files = libmm.MappingFiles({"box/" + n: open(GOLDEN + "llama/" + n, "rb").read() for n in names})
        with libmm.load("box", files=files, precision="exact") as model:
            self.assertEqual(greedy("llama", "text0")[:8],
                             model.generate(golden("llama", "text0")["text"], max_tokens=8, ignore_eos=True).ids)
        with self.assertRaises(libmm.FileError):
            libmm.load("elsewhere", files=files)
        flat = libmm.MappingFiles({n: open(GOLDEN + "llava/" + n, "rb").read() for n in ("model-f16.gguf", "mmproj-f16.gguf")})
        with libmm.load("model-f16.gguf", files=flat, precision="exact") as model:
            self.assertIn("image", model.info("modalities_in"))
        self.assertEqual(["directory", "file", None], [files.kind(p) for p in ("./box/", "box/../box/config.json", "bo")])

    def test_log(self):
        lines = []
        with libmm.load(GOLDEN + "llama", log=lambda *a: lines.append(a), log_level="debug") as model:
            model.generate("The", max_tokens=2).text
        for level, area, line in lines:
            self.assertTrue(1 <= level <= 4 and isinstance(area, str) and isinstance(line, str))
        logger = logging.getLogger("libmm.test")
        libmm.load(GOLDEN + "llama", log=logger).close()

    def test_engine_is_shared_and_closed_in_any_order(self):
        engine = libmm.Engine(threads=1)
        a, b = libmm.load(GOLDEN + "llama", engine=engine), libmm.load(GOLDEN + "qwen2", engine=engine)
        session = a.session(max_tokens=4, ignore_eos=True, raw=True)
        engine.close()
        a.close()
        self.assertEqual(4, len(session.ask("The licensor").ids))
        b.close()
        session.close()
        own = libmm.load(GOLDEN + "llama")
        self.assertFalse(own.engine.closed)
        session = own.session(max_tokens=4, ignore_eos=True, raw=True)
        own.close()
        self.assertTrue(own.engine.closed)
        self.assertEqual(4, len(session.ask("The licensor").ids))

    def test_memory_limit(self):
        with self.assertRaises(MemoryError) as caught:
            libmm.load(GOLDEN + "llama", memory_limit=100000)
        self.assertIsInstance(caught.exception, libmm.OutOfMemory)


if __name__ == "__main__":
    harness.main()
