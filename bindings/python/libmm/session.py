"""Sessions: one timeline on one model, and the iterators over its answers."""
from __future__ import annotations

import asyncio
import os
import time
from ctypes import byref, c_double, c_uint64, c_void_p, sizeof, string_at
from typing import TYPE_CHECKING, Any, Generic, Iterable, Iterator, Mapping, TypedDict, TypeVar, Union

from . import _wait, abi
from ._handle import Handle, Ref, encode
from .abi import lib
from .errors import check, fail, new_error
from .events import End, Event, Language, Segment, Text, from_c
from .input import Feedable, Input, _bytes, _path, dump

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .model import Model


class SessionOptions(TypedDict, total=False):
    """Options of a session, all by keyword.

    Numbers, fixed when the session is made:
      n_ctx           positions; 0: the smaller of the model's context and 4096
      max_tokens      per answer (speech: per window); 0: until the context is full
      temperature     0: greedy;  top_k 0, top_p 1, min_p 0, repeat_penalty 1 switch these off;  seed: 64 bits
      logprobs        True: Text.logprob is filled;  top_logprobs: alternatives in Text.top, 0..20
      raw             True: text is used as it is: no template, special tokens and placeholders recognised
      ignore_eos      True: go on after the end-of-text token
    Changed at any time between answers with `Session.set()`:
      task            "generate" "embed" "score" "transcribe"; default: the model's first task
      stop            a stop string or several
      tools           list of tool definitions for the chat template (None: none)
      variables       dict of further variables for the chat template (None: none)
      language        speech: ISO code of the spoken language; default: detected
      translate timestamps history single_pass    speech: True or False
      watch           names of stages whose tensors are delivered as Tensor events ("*" for all)
      decoder_prompt  encoder-decoder models: text the answer starts with
      force_ids       token ids the answer starts with, after the prompt
      truncate        True: a too long text prompt loses its middle instead of failing
      lookup          tokens drafted from what was said before, 0..16; the same answer, sooner where it repeats
      kv_type         "f16" "f32" "q8_0": what keys and values are kept in; "q8_0" takes about half of "f16"
    """
    n_ctx: int
    max_tokens: int
    top_k: int
    seed: int
    temperature: float
    top_p: float
    min_p: float
    repeat_penalty: float
    top_logprobs: int
    logprobs: bool
    raw: bool
    ignore_eos: bool
    task: str
    stop: Union[str, Iterable[str]]
    tools: Any
    variables: Any
    language: Union[str, None]
    translate: bool
    timestamps: bool
    history: bool
    single_pass: bool
    watch: Union[str, Iterable[str]]
    decoder_prompt: str
    force_ids: Iterable[int]
    truncate: bool
    lookup: int
    kv_type: str


_QUICK = 0.25  # seconds

_FLAGS = {"raw": abi.MM_SESSION_RAW, "ignore_eos": abi.MM_SESSION_IGNORE_EOS, "logprobs": abi.MM_SESSION_LOGPROBS}
_UINTS = ("n_ctx", "max_tokens", "top_k", "top_logprobs")
_FLOATS = ("temperature", "top_p", "min_p", "repeat_penalty")
_KEYS = ("task", "stop", "tools", "variables", "language", "translate", "timestamps", "history", "single_pass", "watch",
         "decoder_prompt", "force_ids", "truncate", "lookup", "kv_type")


def _c_options(options: Mapping[str, Any]) -> abi.mm_session_options:
    """The struct of the options it has; a number that does not fit is an error here, for ctypes would cut it."""
    c = abi.mm_session_options()
    lib.mm_session_options_init(byref(c), sizeof(c))
    for name, value in options.items():
        if name in _FLAGS:
            c.flags |= _FLAGS[name] if value else 0
        elif name in _UINTS or name == "seed":
            most = (1 << (64 if name == "seed" else 32)) - 1
            if not isinstance(value, int) and not hasattr(value, "__index__"):
                raise TypeError("%s is a whole number, not %s" % (name, type(value).__name__))
            if not 0 <= value <= most:
                raise fail(abi.MM_E_ARG, "%s %d is outside 0..%d" % (name, value, most))
            setattr(c, name, int(value))
        elif name in _FLOATS:
            setattr(c, name, float(value))
        elif name not in _KEYS:
            raise TypeError("there is no session option %r" % name)
    return c


def _values(key: str, value: Any) -> list[bytes]:
    """The texts that set an option."""
    if key in ("tools", "variables"):
        return [b"" if value is None else value.encode() if isinstance(value, str) else dump(value)]
    if isinstance(value, bool):
        return [b"1" if value else b"0"]
    if key == "force_ids" and not isinstance(value, str):
        return [" ".join(str(int(i)) for i in value).encode()]
    several = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [str(value)]
    return [encode(v, key) for v in several]


class Session(Handle):
    """One timeline on one model: what was fed, what was answered. Made by `Model.session()`.

        session.feed("What is this?", libmm.Image("cat.jpg"))
        for event in session:
            if isinstance(event, libmm.Text): print(event, end="")

    Iterating runs until the answer is complete; then feed again. `async for` does the work in a thread. One thread at a
    time: a second one gets StateError. cancel() may be called from anywhere. Ctrl-C during the work cancels it and raises
    KeyboardInterrupt; the session keeps everything fed before the last feed and can be fed again. A pickled session holds
    what save() gives and how to open its model.
    """

    model: Model

    def __init__(self, model: Model, **options: Unpack[SessionOptions]):
        c, out, err = _c_options(options), c_void_p(), new_error()
        with model._ref as m:
            check(lib.mm_session_create(m, byref(c), byref(out), byref(err)), err)
            self._start(model, out.value, bool(c.flags & abi.MM_SESSION_LOGPROBS or c.top_logprobs))
        try:
            for key in _KEYS:
                if options.get(key) is not None:
                    self.set(key, options[key])  # type: ignore[literal-required]
        except BaseException:
            self.close()
            raise

    def _start(self, model: Model, pointer: int | None, logprobs: bool | None) -> None:
        session = Ref.take("session", pointer, lib.mm_session_release, model._engine.keep)
        try:
            self._engine = model._engine.share()
        except BaseException:
            session.close()
            raise
        self._own(session, self._engine)
        self.model, self._logprobs = model, logprobs
        self._event, self._err = abi.mm_event(size=sizeof(abi.mm_event)), new_error()
        self._status, self._quick = abi.MM_OK, False

    @classmethod
    def _from(cls, model: Model, pointer: int | None, logprobs: bool | None) -> Session:
        self = cls.__new__(cls)
        self._start(model, pointer, logprobs)
        return self

    def __repr__(self) -> str:
        return "<libmm.Session on %r%s>" % (self.model, ", closed" if self.closed else "")

    def __reduce__(self):
        return load, (self.model, self.save())

    def close(self) -> None:
        """Gives the session's memory back; a call under way on another thread is cancelled first."""
        if not self.closed:
            self.cancel()
        super().close()

    def set(self, key: str, value: Any) -> Session:
        """Sets an option of the second list of `SessionOptions`, as Python value or as the text the header describes.

        UnknownKey, ArgumentError; StateError while an answer is due or being given.
        """
        name = encode(key, "key")
        for text in _values(key, value):
            err = new_error()
            with self._ref.turn(), self._ref as s:
                check(lib.mm_session_set(s, name, text, byref(err)), err)
        return self

    # ---- feeding ----

    def _input(self, items: tuple[Feedable, ...]) -> tuple[Input, bool]:
        """One Input as it is, or a fresh one made of the items; True when it is the caller's to close."""
        if len(items) == 1 and isinstance(items[0], Input):
            return items[0], False
        built = Input._of(self._engine)
        try:
            return built.add(*items), True
        except BaseException:
            built.close()
            raise

    def feed(self, *items: Feedable) -> Session:
        """Appends to the timeline; the heavy work happens while events are taken.

        Each item is a text, an `Image` or `Audio`, a Pillow image or uint8 array, a pathlib.Path of a picture or sound, a
        message or a list of messages in the OpenAI layout, or a single `Input`. Without messages the items together are one
        message of the user. Returns the session, so that `for event in session.feed(...)` works.

        StateError while an answer is being given; UnsupportedError for a kind of medium the model lacks; FileError,
        MediaError. A prompt that does not fit is ContextError at the first event.
        """
        built, mine = self._input(items)
        err = new_error()
        try:
            with self._ref.turn(), built._ref.turn(), self._ref as s, built._ref as i:
                self._quick = False
                check(lib.mm_session_feed(s, i, byref(err)), err)
        finally:
            if mine:
                built.close()
        return self

    def ask(self, *items: Feedable) -> Answer:
        """feed(), and the answer; the session stays open for the next question."""
        self.feed(*items)
        return Answer(self, owned=False)

    def count(self, *items: Feedable) -> int:
        """Positions the timeline would take if the items were fed, template and media included; nothing is fed."""
        built, mine = self._input(items) if items else (None, False)
        positions, err = c_uint64(), new_error()
        try:
            if built is None:
                with self._ref.turn(), self._ref as s:
                    check(lib.mm_session_count(s, None, byref(positions), byref(err)), err)
            else:
                with self._ref.turn(), built._ref.turn(), self._ref as s, built._ref as i:
                    check(lib.mm_session_count(s, i, byref(positions), byref(err)), err)
        finally:
            if mine and built is not None:
                built.close()
        return positions.value

    # ---- events ----

    def _next_here(self) -> Event | None:
        """The next event on this thread, None at the end."""
        while True:
            with self._ref.turn(), self._ref as s:
                if check(lib.mm_session_next(s, byref(self._event), byref(self._err)), self._err) == abi.MM_END:
                    return None
                event = from_c(self._event, self._logprobs)
            if event is not None:
                return event

    def next(self) -> Event | None:
        """The next event, None when the answer is complete. Runs the model for as long as that takes, without the GIL.

        Cancelled after cancel(); ContextError, NumericError, OutOfMemory, UnsupportedError.
        """
        while True:
            with self._ref.turn(), self._ref as s:
                started = time.perf_counter()
                self._run(s)
                event = from_c(self._event, self._logprobs) if self._status != abi.MM_END else None
                self._quick = type(event) is Text and time.perf_counter() - started < _QUICK
            if event is not None or self._status == abi.MM_END:
                return event

    def _run(self, s: int) -> None:
        """mm_session_next() such that Ctrl-C is heard (see _wait). After a token that came quickly the next will too, so
        that is called directly: the interrupt then waits for the end of the call."""
        def job() -> int:
            self._status = lib.mm_session_next(s, byref(self._event), byref(self._err))
            return self._status
        try:
            if self._quick:
                job()
            else:
                _wait.run(job, lambda: lib.mm_session_cancel(s))
        except BaseException:
            self._quick = False
            # The cancel may have come too late for that call: this one uses it up.
            lib.mm_session_cancel(s)
            job()
            raise
        if self._status < 0:
            self._quick = False
            check(self._status, self._err)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def __aiter__(self) -> Session:
        return self

    async def __anext__(self) -> Event:
        event = await self.next_async()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next_async(self) -> Event | None:
        """next() in a thread. Cancelling the task cancels the session."""
        work = asyncio.get_running_loop().run_in_executor(None, self._next_here)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.cancel()
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()
            raise

    def cancel(self) -> None:
        """Ends the answer that is due or being given: the running or next next() raises Cancelled soon. From any thread,
        signal handler or callback."""
        self._ref.poke(lib.mm_session_cancel)

    # ---- the timeline ----

    def reset(self) -> Session:
        """Forgets the timeline, keeps the options."""
        err = new_error()
        with self._ref.turn(), self._ref as s:
            check(lib.mm_session_reset(s, byref(err)), err)
        return self

    def truncate(self, entries: int) -> Session:
        """Keeps the first entries of the timeline (stat "entries" counts them): each message (raw session: each feed) and
        each answer is one. ArgumentError: there are fewer; StateError: an answer is due or being given."""
        if not 0 <= entries < 1 << 64:
            raise fail(abi.MM_E_ARG, "%d entries are out of range" % entries)
        err = new_error()
        with self._ref.turn(), self._ref as s:
            check(lib.mm_session_truncate(s, entries, byref(err)), err)
        return self

    def fork(self) -> Session:
        """A second session with the same options, timeline and random state; from here on both go their own ways."""
        out, err = c_void_p(), new_error()
        with self._ref.turn(), self._ref as s:
            check(lib.mm_session_fork(s, byref(out), byref(err)), err)
        return Session._from(self.model, out.value, self._logprobs)

    def save(self, path: str | os.PathLike[str] | Any = None) -> bytes | None:
        """Saves options, timeline, media and state for `Model.load_session()`.

        path: a file that is replaced as a whole or not at all, or an object with write(bytes); None returns the bytes.
        An exception in write() stops the saving and goes on to the caller. StateError: an answer is being given.
        """
        err = new_error()
        if isinstance(path, (str, os.PathLike)):
            with self._ref.turn(), self._ref as s:
                check(lib.mm_session_save_file(s, _path(path), byref(err)), err)
            return None
        pieces: list[bytes] = []
        raised: list[BaseException] = []
        write = pieces.append if path is None else path.write

        def callback(_: Any, data: int, n: int) -> int:
            try:
                write(string_at(data, n))
                return 0
            except BaseException as e:
                raised.append(e)
                return 1
        with self._ref.turn(), self._ref as s:
            status = lib.mm_session_save(s, abi.mm_write_fn(callback), None, byref(err))
        if raised:
            raise raised[0]
        check(status, err)
        return b"".join(pieces) if path is None else None

    def stat(self, key: str) -> float:
        """A number: of the last answer "encode_ms" "prefill_ms" "decode_ms" "prefill_tokens" "decode_tokens" "media_cache_hits"
        "draft_tokens" "draft_taken"; of the session "n_past" "n_ctx" "entries" "arena_bytes" "kv_bytes" "media_cache_bytes"
        "peak_bytes". UnknownKey."""
        value, err = c_double(), new_error()
        with self._ref.turn(), self._ref as s:
            check(lib.mm_session_stat(s, encode(key, "key"), byref(value), byref(err)), err)
        return value.value


def load(model: Model, source: Any) -> Session:
    """See Model.load_session()."""
    out, err = c_void_p(), new_error()
    with model._ref as m:
        if isinstance(source, (str, os.PathLike)):
            status = lib.mm_session_load_file(m, _path(source), byref(out), byref(err))
        else:
            data = source if isinstance(source, (bytes, bytearray)) else bytes(source)
            status = lib.mm_session_load(m, _bytes(data), len(data), byref(out), byref(err))
        check(status, err)
    return Session._from(model, out.value, None)


# ---- answers ----

Piece = TypeVar("Piece")


class _Answering(Generic[Piece]):
    """Iterates over one kind of event of a session that it closes when asked to."""

    def __init__(self, session: Session, owned: bool):
        self.session, self._owned, self._done = session, owned, False

    def _take(self, event: Event) -> Piece | None:
        raise NotImplementedError

    def _step(self, event: Event | None) -> Piece | None:
        if event is None:
            self._done = True
            self._finish()
            return None
        return self._take(event)

    def _finish(self) -> None:
        if self._owned:
            self.session.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Piece:
        while not self._done:
            try:
                item = self._step(self.session.next())
            except BaseException:
                self.close()
                raise
            if item is not None:
                return item
        raise StopIteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        while not self._done:
            try:
                item = self._step(await self.session.next_async())
            except BaseException:
                self.close()
                raise
            if item is not None:
                return item
        raise StopAsyncIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """Makes the iteration raise Cancelled soon. From any thread."""
        self.session.cancel()

    def close(self) -> None:
        """Ends the work and gives its memory back; what has come so far can still be read."""
        self._done = True
        self._finish()


class Answer(_Answering[Text]):
    """An answer under way: iterate over it for the pieces of text as they come, or read `.text` for the whole.

    After the end (reading .text goes there) `.ids` has every token, `.reason` says why it ended ("stop", "length", "done")
    and `.prompt_tokens` the positions the prompt took. The session is closed at the end; leaving earlier, use `with`.
    """

    def __init__(self, session: Session, owned: bool = True):
        super().__init__(session, owned)
        self._pieces: list[Text] = []
        self._end: End | None = None

    def _take(self, event: Event) -> Text | None:
        if isinstance(event, Text):
            self._pieces.append(event)
            return event
        if isinstance(event, End):
            self._end = event
        return None

    def _complete(self) -> End:
        for _ in self:
            pass
        return self._end or End("", (), 0)

    @property
    def text(self) -> str:
        """The whole answer."""
        self._complete()
        return "".join(self._pieces)

    @property
    def pieces(self) -> list[Text]:
        """What has come so far."""
        return list(self._pieces)

    @property
    def ids(self) -> tuple[int, ...]:
        return self._complete().ids

    @property
    def reason(self) -> str:
        return self._complete().reason

    @property
    def prompt_tokens(self) -> int:
        return self._complete().prompt_tokens

    def __str__(self) -> str:
        return self.text


class Transcription(_Answering[Segment]):
    """A transcription under way: iterate over it for the segments as they come, or read `.text` for the whole."""

    def __init__(self, session: Session, owned: bool = True):
        super().__init__(session, owned)
        self._segments: list[Segment] = []
        #: The language that was heard and its probability, once known.
        self.detected: Language | None = None
        self._end: End | None = None

    def _take(self, event: Event) -> Segment | None:
        if isinstance(event, Segment):
            self._segments.append(event)
            return event
        if isinstance(event, Language):
            self.detected = event
        if isinstance(event, End):
            self._end = event
        return None

    @property
    def segments(self) -> list[Segment]:
        """All of them."""
        for _ in self:
            pass
        return list(self._segments)

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(s.text for s in self.segments)

    @property
    def ids(self) -> tuple[int, ...]:
        """Every token, of all windows."""
        self.segments
        return self._end.ids if self._end else ()

    def __str__(self) -> str:
        return self.text
