"""Owning C handles.

A `_Native` is a C handle with everything Python that C may still call or read on its account; a `Ref` is one claim on it.
When the last claim is closed the handle goes back to C: at once, or, while a call with it is under way on another thread, as
soon as that call returns. So closing is safe at any time and in any order. Objects give their Refs to weakref.finalize(),
which also runs at interpreter exit.

`with ref as pointer:` surrounds each C call. Inputs and sessions also take turns: `with ref.turn(), ref as pointer:`. The
turn covers not only the C call but also the reading of what it points to; a second call meanwhile gets StateError, as the
header says. It is a plain lock, which an interrupt at any moment leaves in order. The other locks are reentrant because a
signal handler may close or cancel.
"""
from __future__ import annotations

import array
import threading
import weakref
from ctypes import byref, c_size_t, create_string_buffer
from typing import TYPE_CHECKING, Any, Callable, Sequence

from . import abi
from .errors import check, fail, new_error

if TYPE_CHECKING:
    from typing_extensions import Self


class _Native:
    __slots__ = ("pointer", "_release", "_keep", "_lock", "_claims")

    def __init__(self, pointer: int, release: Callable[[int], None], keep: Any):
        self.pointer, self._release, self._keep = pointer, release, keep
        self._lock, self._claims = threading.RLock(), 1

    def claim(self) -> _Native:
        with self._lock:
            self._claims += 1
        return self

    def drop(self) -> None:
        with self._lock:
            self._claims -= 1
            if self._claims:
                return
            pointer, self.pointer = self.pointer, 0
        self._release(pointer)
        self._keep = None


class Ref:
    __slots__ = ("closed", "_what", "_native", "_lock", "_calls", "_turn")

    def __init__(self, what: str, native: _Native):
        self.closed, self._what, self._native = False, what, native
        self._lock, self._calls, self._turn = threading.RLock(), 0, threading.Lock()

    @classmethod
    def take(cls, what: str, pointer: int | None, release: Callable[[int], None], keep: Any = None) -> Ref:
        """The owner of a handle that C has just given."""
        return cls(what, _Native(pointer or 0, release, keep))

    def share(self) -> Ref:
        """A second claim that is closed on its own."""
        with self:
            return Ref(self._what, self._native.claim())

    @property
    def keep(self) -> Any:
        return self._native._keep

    def turn(self) -> threading.Lock:
        """The lock that one call at a time holds."""
        if self._turn.locked():
            raise fail(abi.MM_E_STATE, "the %s is in use by another call; give each thread its own" % self._what)
        return self._turn

    def __enter__(self) -> int:
        entered = False
        try:
            with self._lock:
                if self.closed:
                    raise fail(abi.MM_E_STATE, "the %s is closed" % self._what)
                entered, self._calls = True, self._calls + 1
                return self._native.pointer
        except BaseException:
            if entered:
                self._calls -= 1
            raise

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1
            last = self.closed and not self._calls
        if last:
            self._native.drop()

    def poke(self, function: Callable[[int], None]) -> None:
        """Calls a function that may run beside others; does nothing when closed."""
        with self._lock:
            if not self.closed or self._calls:
                function(self._native.pointer)

    def close(self) -> None:
        with self._lock:
            last = not self.closed and not self._calls
            self.closed = True
        if last:
            self._native.drop()


def _close(refs: tuple[Ref, ...]) -> None:
    for ref in refs:
        ref.close()


class Handle:
    """What Engine, Model, Input and Session share: close(), `with`, release when collected or at exit."""

    _ref: Ref

    def _own(self, ref: Ref, *others: Ref) -> None:
        self._ref = ref
        self._finalizer = weakref.finalize(self, _close, (ref, *others))

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._ref.closed

    def close(self) -> None:
        """Gives the C object back; every later call raises StateError. Closing twice is fine, so is any order."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def text_of(call: Callable[..., int], *arguments: Any) -> bytes | None:
    """The text a (buf, cap, need, err) function gives; None when it returns MM_END."""
    err, need, room = new_error(), c_size_t(), 256
    while True:
        buf = create_string_buffer(room)
        status = call(*arguments, buf, room, byref(need), byref(err))
        if status != abi.MM_E_SPACE:
            break
        room = need.value + 1
    return None if check(status, err) == abi.MM_END else buf.raw[:need.value]


def encode(text: str, what: str) -> bytes:
    """UTF-8 of a text that becomes a C string."""
    if not isinstance(text, str):
        raise TypeError("%s is a str, not %s" % (what, type(text).__name__))
    try:
        raw = text.encode()
    except UnicodeEncodeError as e:
        raise fail(abi.MM_E_ARG, "%s: character %d is half of a surrogate pair" % (what, e.start)) from None
    if b"\0" in raw:
        raise fail(abi.MM_E_ARG, "%s holds a NUL character" % what)
    return raw


def id_array(ids: Sequence[int]) -> array.array[int]:
    """Token ids as C takes them."""
    if isinstance(ids, (str, bytes, bytearray)):
        raise TypeError("token ids are a list of numbers, not %s" % type(ids).__name__)
    try:
        return array.array("i", ids)
    except OverflowError:
        raise fail(abi.MM_E_ARG, "a token id does not fit 32 bits") from None
