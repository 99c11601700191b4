"""The C functions as they are in libmm.abi, without the package's care for them: what a wrong call returns."""
import ctypes
import threading
import unittest
from ctypes import byref, c_int32, c_size_t, c_uint32, c_uint64, c_void_p

import harness
from harness import GOLDEN
from libmm import abi
from libmm.abi import lib

TAIL = 64
TEXT = b"The license is 30 years old."


class Raw(unittest.TestCase):
    def setUp(self):
        self.error = abi.mm_error(size=ctypes.sizeof(abi.mm_error))
        self.engine = self.made(lib.mm_engine_release, lib.mm_engine_create, None)

    def made(self, release, create, *arguments):
        """A handle that goes when the test ends."""
        handle = c_void_p()
        self.assertEqual(abi.MM_OK, create(*arguments, byref(handle), byref(self.error)), self.error.text)
        self.addCleanup(release, handle)
        return handle

    def model(self, family="llama"):
        return self.made(lib.mm_model_release, lib.mm_model_load, self.engine, (GOLDEN + family).encode(), None)

    def session(self, model):
        return self.made(lib.mm_session_release, lib.mm_session_create, model, None)

    def input(self, engine=None, times=1):
        built = self.made(lib.mm_input_release, lib.mm_input_create, engine or self.engine)
        for _ in range(times):
            lib.mm_input_text(built, TEXT, len(TEXT), None)
        return built

    def refused(self, status, got):
        self.assertEqual(status, got)
        self.assertEqual(status, self.error.code)
        self.assertTrue(self.error.text)

    def test_null(self):
        numbers = (c_uint32, c_int32, c_size_t, c_uint64)
        for name, (result, arguments) in abi.PROTOTYPES.items():
            given = [0 if a in numbers else abi.mm_write_fn() if a is abi.mm_write_fn else None for a in arguments]
            with self.subTest(name):
                got = getattr(lib, name)(*given)
                if result is c_int32:
                    self.assertEqual(abi.MM_OK if name == "mm_status_at" else abi.MM_E_ARG, got)

    def test_wrong_sizes(self):
        """Every struct that is filled by the caller: too small, and larger than this library knows it."""
        model, built, handle, err = self.model(), self.input(), c_void_p(), byref(self.error)
        engine_options = abi.mm_engine_options()
        lib.mm_engine_options_init(byref(engine_options), ctypes.sizeof(engine_options))
        model_options = abi.mm_model_options()
        lib.mm_model_options_init(byref(model_options), ctypes.sizeof(model_options))
        session_options = abi.mm_session_options()
        lib.mm_session_options_init(byref(session_options), ctypes.sizeof(session_options))
        samples = (ctypes.c_float * 16)()
        image = abi.mm_image(width=2, height=2, format=abi.MM_PIXELS_GREY, pixels=ctypes.addressof(samples))
        audio = abi.mm_audio(rate=16000, channels=1, frames=16, samples=ctypes.addressof(samples))

        def create(options):
            got = lib.mm_engine_create(options, byref(handle), err)
            lib.mm_engine_release(handle)
            return got

        def load(options):
            got = lib.mm_model_load(self.engine, (GOLDEN + "llama").encode(), options, byref(handle), err)
            lib.mm_model_release(handle)
            return got

        def open_session(options):
            got = lib.mm_session_create(model, options, byref(handle), err)
            lib.mm_session_release(handle)
            return got
        for good, take in ((engine_options, create), (model_options, load), (session_options, open_session),
                           (image, lambda s: lib.mm_input_image(built, s, err)), (audio, lambda s: lib.mm_input_audio(built, s, err))):
            known = ctypes.sizeof(good)
            for size in (0, 1, 4, known - 1, known, known + 8, known + TAIL):
                for last in (0, 1) if size > known else (0,):
                    room = ctypes.create_string_buffer(known + TAIL)
                    ctypes.memmove(room, byref(good), known)
                    room[:4] = size.to_bytes(4, "little")
                    if last:
                        room[size - 1] = last
                    got = take(ctypes.cast(room, ctypes.POINTER(type(good))))
                    with self.subTest(type(good).__name__, size=size, last=last):
                        want = abi.MM_E_ARG if size < known else abi.MM_E_UNSUPPORTED if last else abi.MM_OK
                        self.assertEqual(want, got)
                        self.assertEqual(want < 0, bool(self.error.text))

    def test_wrong_sizes_of_what_is_written(self):
        session, known = self.session(self.model()), ctypes.sizeof(abi.mm_event)
        self.assertEqual(abi.MM_OK, lib.mm_session_feed(session, self.input(), None))
        for size in (0, 4, known - 1):
            event = abi.mm_event(size=size, index=77)
            self.refused(abi.MM_E_ARG, lib.mm_session_next(session, byref(event), byref(self.error)))
            self.assertEqual(77, event.index)
        self.assertEqual(abi.MM_OK, lib.mm_session_next(session, byref(abi.mm_event(size=known)), None))
        for size in (0, 4, ctypes.sizeof(abi.mm_error) - 1):
            small = abi.mm_error(size=size, code=77)
            self.assertEqual(abi.MM_E_ARG, lib.mm_session_next(session, None, byref(small)))
            self.assertEqual(77, small.code)

    def test_wrong_order(self):
        session, built, err = self.session(self.model()), self.input(), byref(self.error)
        event = abi.mm_event(size=ctypes.sizeof(abi.mm_event))
        self.assertEqual(abi.MM_END, lib.mm_session_next(session, byref(event), err))
        self.assertEqual(abi.MM_OK, lib.mm_session_feed(session, built, err))
        self.assertEqual(abi.MM_OK, lib.mm_session_next(session, byref(event), err))
        self.refused(abi.MM_E_STATE, lib.mm_session_feed(session, built, err))
        self.refused(abi.MM_E_STATE, lib.mm_session_set(session, b"stop", b"a", err))

    def test_two_threads_in_one_session(self):
        """ctypes lets go of the interpreter's lock, so both are inside the library at once."""
        session, err = self.session(self.model("bert")), byref(self.error)
        self.assertEqual(abi.MM_OK, lib.mm_session_feed(session, self.input(times=20000), err), self.error.text)
        ended = []

        def work():
            event, got = abi.mm_event(size=ctypes.sizeof(abi.mm_event)), abi.MM_E_STATE
            while got == abi.MM_E_STATE:  # the one below was quicker
                got = lib.mm_session_next(session, byref(event), None)
            ended.append(got)
        thread = threading.Thread(target=work)
        thread.start()
        value, second = ctypes.c_double(), self.input()
        while not ended and lib.mm_session_stat(session, b"n_past", byref(value), err) != abi.MM_E_STATE:
            pass
        self.refused(abi.MM_E_STATE, lib.mm_session_reset(session, err))
        self.refused(abi.MM_E_STATE, lib.mm_session_feed(session, second, err))
        lib.mm_session_cancel(session)
        thread.join()
        self.assertEqual([abi.MM_E_CANCELLED], ended)
        self.assertEqual(abi.MM_OK, lib.mm_session_reset(session, err))

    def test_handle_of_another_engine(self):
        other = self.made(lib.mm_engine_release, lib.mm_engine_create, None)
        self.refused(abi.MM_E_ARG, lib.mm_session_feed(self.session(self.model()), self.input(other), byref(self.error)))
        self.assertIn(b"engine", self.error.text)

    def test_callbacks(self):
        """Those that return something else than 0, and those that call back."""
        model = self.model()
        session, inside = self.session(model), []

        def stop(*_):
            inside.append(lib.mm_session_reset(session, None))
            inside.append(lib.mm_model_info(model, b"name", None, 0, None, None))
            lib.mm_session_cancel(session)
            return 7
        options = abi.mm_model_options()
        lib.mm_model_options_init(byref(options), ctypes.sizeof(options))
        options.progress = abi.mm_progress_fn(stop)
        handle = c_void_p(1)
        self.refused(abi.MM_E_CANCELLED, lib.mm_model_load(self.engine, (GOLDEN + "llama").encode(), byref(options), byref(handle), byref(self.error)))
        self.assertIsNone(handle.value)
        self.assertEqual(7, self.error.os_code)
        self.refused(abi.MM_E_CANCELLED, lib.mm_session_save(session, abi.mm_write_fn(stop), None, byref(self.error)))
        self.assertEqual(7, self.error.os_code)
        self.assertEqual([abi.MM_E_STATE] * 4, inside)


if __name__ == "__main__":
    harness.main()
