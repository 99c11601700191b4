"""What a session answers with. Everything here is a copy: it stays valid after the next event and after close()."""
from __future__ import annotations

from ctypes import POINTER, c_int32, cast, string_at
from typing import TYPE_CHECKING, Any, NamedTuple, Sequence, Union

from . import abi

if TYPE_CHECKING:
    import numpy

    #: numpy.ndarray of float32 where NumPy can be imported, else a list of floats.
    Floats = Union["numpy.ndarray[Any, numpy.dtype[numpy.float32]]", list[float]]


def numpy_or_none() -> Any:
    """The numpy module when it can be imported."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


class Logprob(NamedTuple):
    """One alternative: token id and natural logarithm of its probability."""
    id: int
    logprob: float


class Text(str):
    """A piece of the answer: a str with the token it came with.

    id: the token (the last one when several), -1 where there is none; logprob: natural logarithm of its probability, None
    unless the session has logprobs=True; top: the alternatives, most likely first (top_logprobs=N).
    """
    id: int
    logprob: float | None
    top: tuple[Logprob, ...]

    def __new__(cls, text: str, id: int = -1, logprob: float | None = None, top: tuple[Logprob, ...] = ()) -> Text:
        self = super().__new__(cls, text)
        self.id, self.logprob, self.top = id, logprob, top
        return self

    def __getnewargs__(self):
        return str(self), self.id, self.logprob, self.top


class Segment(NamedTuple):
    """What was said from `start` to `end` (seconds): its text, its token ids, its number from 0."""
    start: float
    end: float
    text: str
    ids: tuple[int, ...]
    number: int


class Language(NamedTuple):
    """The language that was heard: ISO code and probability."""
    code: str
    probability: float


class Vector(NamedTuple):
    """An embedding of length 1, float32 [d]; `number` counts the embedded items from 0."""
    values: Floats
    number: int


class Scores(NamedTuple):
    """One probability for each text, float32 [n_texts], for the picture `number`."""
    values: Floats
    number: int


class Tensor(NamedTuple):
    """A watched stage: name and float32 values. Without NumPy the values are a flat list in row-major order."""
    name: str
    values: Floats
    shape: tuple[int, ...]


class End(NamedTuple):
    """The answer is complete: why ("stop", "length", "done"), all its token ids, and the positions its prompt took."""
    reason: str
    ids: tuple[int, ...]
    prompt_tokens: int


Event = Union[Text, Segment, Language, Vector, Scores, Tensor, End]


def _floats(address: int | None, n: int, shape: Sequence[int] | None = None) -> Floats:
    numpy = numpy_or_none()
    raw = string_at(address, 4 * n) if address and n else b""
    if numpy is not None:
        return numpy.frombuffer(bytearray(raw), numpy.float32).reshape(shape if shape is not None else n)
    return [float(v) for v in memoryview(raw).cast("f")]


def _ids(e: abi.mm_event) -> tuple[int, ...]:
    return tuple(cast(e.ids, POINTER(c_int32))[:e.n_ids]) if e.n_ids else ()


def _text(e: abi.mm_event) -> str:
    return string_at(e.data, e.len).decode("utf-8", "replace") if e.len else ""


def from_c(e: abi.mm_event, logprobs: bool | None) -> Event | None:
    """The event of a filled mm_event; None for a kind that is newer than this package. logprobs: whether the session was
    asked for them; None where only the snapshot it came from knows, so that what is there tells."""
    kind = e.kind
    if kind == abi.MM_EVENT_TEXT:
        top = tuple(Logprob(t.id, t.logprob) for t in e.top[:e.n_top]) if e.n_top else ()
        told = logprobs if logprobs is not None else bool(e.value or top)
        return Text(_text(e), e.id, e.value if told and e.id >= 0 else None, top)
    if kind == abi.MM_EVENT_SEGMENT:
        return Segment(e.t0, e.t1, _text(e), _ids(e), e.index)
    if kind == abi.MM_EVENT_LANGUAGE:
        return Language(_text(e), e.value)
    if kind == abi.MM_EVENT_VECTOR:
        return Vector(_floats(e.values, e.n_values), e.index)
    if kind == abi.MM_EVENT_SCORES:
        return Scores(_floats(e.values, e.n_values), e.index)
    if kind == abi.MM_EVENT_TENSOR:
        shape = tuple(e.dims[:e.n_dims])
        return Tensor(_text(e), _floats(e.values, e.n_values, shape), shape)
    if kind == abi.MM_EVENT_END:
        return End(_text(e), _ids(e), e.prompt_tokens)
    return None
