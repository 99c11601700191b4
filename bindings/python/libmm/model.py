"""Models: weights and everything derived from them, and the one-line ways to use them."""
from __future__ import annotations

import json
import os
from ctypes import byref, c_int32, c_size_t, c_void_p, sizeof
from typing import TYPE_CHECKING, Any, Callable, Iterable, Sequence

from . import abi
from ._handle import Handle, Ref, encode, id_array, text_of
from .abi import lib
from .engine import Engine
from .errors import check, fail, new_error
from .events import Scores, Vector, numpy_or_none
from .input import Input, Message, _path, as_messages, dump
from .media import Audio, block
from .session import Answer, Session, SessionOptions, Transcription
from .session import load as load_session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .events import Floats

#: Called as progress(stage, done, total) on the thread that loads; total may be 0 (unknown). A true result stops the loading
#: with Cancelled; an exception stops it and goes on to the caller.
Progress = Callable[[str, int, int], Any]


class Model(Handle):
    """An open model. Immutable: any thread may use it at any time. Made by `libmm.load()`.

    Each of chat(), generate(), embed(), score() and transcribe() makes a session of its own; `session()` gives one to keep.
    A pickled Model holds how to open it again: absolute path and options.
    """

    def __init__(self, source: str | os.PathLike[str] | bytes | bytearray | memoryview, engine: Engine, *,
                 progress: Progress | None = None, name: str = "model.gguf"):
        options, out, err = abi.mm_model_options(), c_void_p(), new_error()
        lib.mm_model_options_init(byref(options), sizeof(options))
        in_memory = not isinstance(source, (str, os.PathLike))
        self._path = None if in_memory else os.path.abspath(os.fspath(source))  # type: ignore[arg-type]
        self._source, self._progress = (None if in_memory else os.fspath(source)), progress  # type: ignore[arg-type]
        if in_memory:
            held = block(source, "model")
            options.bytes, options.n_bytes = held.address or None, memoryview(source).nbytes  # type: ignore[arg-type]
            if not options.n_bytes:
                raise fail(abi.MM_E_ARG, "the model has no bytes")
        raised: list[BaseException] = []

        def call(_: Any, stage: bytes, done: int, total: int) -> int:
            # Python code runs here, so an interrupt (Ctrl-C) is raised here too.
            try:
                return 1 if progress is not None and progress(stage.decode("utf-8", "replace"), done, total) else 0
            except BaseException as e:
                raised.append(e)
                return 1
        callback = abi.mm_progress_fn(call)
        options.progress = callback
        with engine._ref as e:
            status = lib.mm_model_load(e, _path(name if in_memory else source), byref(options), byref(out), byref(err))  # type: ignore[arg-type]
            if raised:
                lib.mm_model_release(out)
                raise raised[0]
            check(status, err)
            model = Ref.take("model", out.value, lib.mm_model_release, engine._ref.keep)
            self._engine = engine._ref.share()
        self._own(model, self._engine)
        #: The engine it was loaded into.
        self.engine = engine
        self._owns_engine = False

    def __reduce__(self):
        if self._path is None:
            raise TypeError("a model loaded from bytes cannot be pickled: there is no path to open it again")
        return _model_again, (self._path, self.engine, self._owns_engine)

    def __repr__(self) -> str:
        return "<libmm.Model %r%s>" % (self._source or "in memory", ", closed" if self.closed else "")

    def close(self) -> None:
        """Gives the weights back once no session uses them, and the engine that load() made for them."""
        super().close()
        if self._owns_engine:
            self.engine.close()

    # ---- facts ----

    def info(self, key: str | None = None) -> Any:
        """A fact as text, or, without a key, all of them as a dict.

        "name" "assembly" "format" "modalities_in" "modalities_out" "tasks" "context" "vocab" "parameters" "weights_bytes"
        "kv_bytes_per_token" "parts" "dtypes" "chat_template" "chat_template_sha256" "prompt_layout" "placeholder"
        "sample_rate" "layers" "fingerprint" "tensors" "media_cache" "summary" "keys" "plan:N", "plan:N:T" and
        "kv_bytes_per_token:T" with T a session's kv_type. UnknownKey.
        """
        with self._ref as m:
            text = (text_of(lib.mm_model_info, m, encode(key or "summary", "key")) or b"").decode("utf-8", "replace")
        return text if key else json.loads(text)

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can do: "generate" "embed" "score" "transcribe"."""
        return tuple(self.info("tasks").split())

    @property
    def context(self) -> int:
        """Positions it was made for."""
        return int(self.info("context"))

    def plan(self, n_ctx: int) -> dict[str, int]:
        """Bytes a session of n_ctx positions takes (0: as many as the model was made for), by use: "weights" "kv" "cross"
        "encoder_arena" "decoder_arena" "total"."""
        return json.loads(self.info("plan:%d" % n_ctx))

    # ---- text and tokens ----

    def tokenize(self, text: str, *, around: bool = False, special: bool = False) -> list[int]:
        """Token ids of a text. around: add what the tokenizer puts around a text of its own; special: recognise special tokens
        in it (never for untrusted text). UnsupportedError: there is no tokenizer."""
        raw = encode(text, "text")
        flags = (abi.MM_TOKENIZE_AROUND if around else 0) | (abi.MM_TOKENIZE_SPECIAL if special else 0)
        need, err, room = c_size_t(), new_error(), len(raw) + 8
        with self._ref as m:
            while True:
                ids = (c_int32 * room)()
                status = lib.mm_model_tokenize(m, raw, len(raw), flags, ids, room, byref(need), byref(err))
                if status != abi.MM_E_SPACE:
                    break
                room = need.value
        check(status, err)
        return ids[:need.value]

    def detokenize(self, ids: Sequence[int], *, special: bool = False, errors: str = "replace") -> str:
        """Text of token ids; special tokens are written only with special=True. errors: what becomes of bytes that are no
        UTF-8, as bytes.decode() says it ("surrogateescape" keeps them)."""
        raw = id_array(ids)
        with self._ref as m:
            text = text_of(lib.mm_model_detokenize, m, raw.buffer_info()[0], len(raw), abi.MM_TOKENIZE_SPECIAL if special else 0)
        return (text or b"").decode("utf-8", errors)

    def apply_template(self, messages: str | Message | Iterable[Message], *, add_generation_prompt: bool = True,
                       tools: Any = None, **variables: Any) -> str:
        """A chat as the model's own template writes it. tools: a list of tool definitions; variables: further ones of the
        template (enable_thinking=False). UnsupportedError: no template, or it refuses these messages."""
        chat: Any = as_messages(messages)
        if tools is not None or variables:
            chat = {"messages": chat, **({"tools": tools} if tools is not None else {}), **variables}
        raw = dump(chat)
        with self._ref as m:
            return (text_of(lib.mm_model_apply_template, m, raw, len(raw), int(add_generation_prompt)) or b"").decode("utf-8", "replace")

    # ---- sessions and answers ----

    def input(self) -> Input:
        """An empty Input for sessions of this model's engine."""
        return Input(self)

    def session(self, **options: Unpack[SessionOptions]) -> Session:
        """An empty session; the options are those of `SessionOptions`. ContextError: n_ctx is beyond what the model was made
        for; OutOfMemory, LimitError."""
        return Session(self, **options)

    def load_session(self, source: str | os.PathLike[str] | bytes | bytearray) -> Session:
        """The session that Session.save() wrote, from its file or bytes. ModelFileError: damaged; UnsupportedError: saved by
        a newer format, on another model or with another precision."""
        return load_session(self, source)

    def _fed(self, options: dict[str, Any], build: Callable[[Input], Any]) -> Session:
        session = Session(self, **options)
        try:
            with Input._of(session._engine) as built:
                build(built)
                session.feed(built)
        except BaseException:
            session.close()
            raise
        return session

    def chat(self, messages: str | Message | Iterable[Message], *, images: Any = (), audio: Any = (),
             base_dir: str | os.PathLike[str] | None = None, **options: Unpack[SessionOptions]) -> Answer:
        """The answer to a conversation, piece by piece: `for piece in model.chat("Hello")`; `.text` is the whole.

        messages: a text, a message, or a list of messages in the OpenAI layout; pictures and sound in it are local files
        (resolved against base_dir), data: URLs, or as {"type": "image", "image": x} anything `Image` takes.
        images, audio: one medium or a list, put before the text of the last message.
        options: those of `SessionOptions` (max_tokens=100, temperature=0.7, tools=[...]).
        """
        whole = as_messages(messages, images, audio)
        return Answer(self._fed({"task": "generate", **options}, lambda i: i.messages(whole, base_dir)))

    def generate(self, prompt: str | Sequence[int], *, images: Any = (), **options: Unpack[SessionOptions]) -> Answer:
        """What follows a prompt, with no chat template (raw=False: with it). prompt: text, or token ids.

        Special tokens and the placeholders of pictures in the text are recognised, so do not put text of others in it.
        """
        def build(i: Input) -> None:
            for image in [] if images is None else images if isinstance(images, (list, tuple)) else [images]:
                i.image(image)
            i.text(prompt) if isinstance(prompt, str) else i.tokens(prompt)
        return Answer(self._fed({"task": "generate", "raw": True, **options}, build))

    def embed(self, items: Any, **options: Unpack[SessionOptions]) -> Floats:
        """The vector of a text or picture, float32 [d] of length 1, or of a list of them, [n, d].

        A str is text; `Image`, a Pillow image, a uint8 array, bytes or a pathlib.Path is a picture. With NumPy the result is
        an array, else a list of floats (of lists). UnsupportedError: the model makes no vectors of such an item.
        """
        several = isinstance(items, (list, tuple))
        wanted = list(items) if several else [items]
        if not wanted:
            raise fail(abi.MM_E_ARG, "there is nothing to embed")

        def build(i: Input) -> None:
            for item in wanted:
                if isinstance(item, str):
                    i.text(item)
                elif isinstance(item, Audio):
                    i.audio(item)
                else:
                    i.image(item)
        with self._fed({"task": "embed", **options}, build) as session:
            rows = [event.values for event in session if isinstance(event, Vector)]
        return _stack(rows) if several else rows[0]

    def score(self, images: Any, texts: str | Sequence[str], **options: Unpack[SessionOptions]) -> Floats:
        """How well each text fits a picture: probabilities, float32 [n_texts], or [n_images, n_texts] for a list of pictures.

        Pictures are what `Image` takes. Whether a row adds up to 1 is the model's matter (CLIP: yes, SigLIP: no).
        """
        several = isinstance(images, (list, tuple))
        listed = [texts] if isinstance(texts, str) else list(texts)

        def build(i: Input) -> None:
            for image in images if several else [images]:
                i.image(image)
            for text in listed:
                i.text(text)
        with self._fed({"task": "score", **options}, build) as session:
            rows = [event.values for event in session if isinstance(event, Scores)]
        return _stack(rows) if several else rows[0]

    def transcribe(self, audio: Any, *, rate: int | None = None, **options: Unpack[SessionOptions]) -> Transcription:
        """What is said, segment by segment: `for s in model.transcribe("talk.flac"): print(s.start, s.end, s.text)`.

        audio: what `Audio` takes: a path, the bytes of a file, or samples [frames] or [frames, channels] with their rate.
        options: those of `SessionOptions`: language="de" (None: it is detected), translate=True, timestamps=False ...
        """
        return Transcription(self._fed({"task": "transcribe", **options}, lambda i: i.audio(audio, rate)))


def _model_again(path: str, engine: Engine, owned: bool) -> Model:
    model = Model(path, engine)
    model._owns_engine = owned
    return model


def _stack(rows: list[Any]) -> Any:
    numpy = numpy_or_none()
    return rows if numpy is None else numpy.stack(rows)


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, engine: Engine | None = None,
         progress: Progress | None = None, name: str = "model.gguf", **options: Any) -> Model:
    """Opens a model.

    source: a GGUF file (an mmproj file beside it is found by name), a Hugging Face directory, a whisper.cpp .bin file, a
    faster-whisper directory or a *.mm.json manifest; or the bytes of a single-file model, which `name` then names.
    engine: the engine to load into; without one the model gets its own, made with the options of `Engine`: threads, device,
    precision, memory_limit, log, log_level, files.
    progress: called as progress(stage, done, total); a true result stops the loading.

    Raises NotFound, FileError, ModelFileError, UnsupportedError (the architecture or tensor type is named), LimitError,
    OutOfMemory, Cancelled, DeviceError.
    """
    if engine is not None:
        if options:
            raise TypeError("%s belongs to the engine that was given" % ", ".join(options))
        return Model(source, engine, progress=progress, name=name)
    own = Engine(**options)
    try:
        model = Model(source, own, progress=progress, name=name)
    except BaseException:
        own.close()
        raise
    model._owns_engine = True
    return model
