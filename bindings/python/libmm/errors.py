"""Exceptions: one class for each status a program may want to tell apart, all of them `Error`."""
from __future__ import annotations

import errno
from ctypes import byref, c_char_p, c_int32, sizeof
from typing import NamedTuple

from . import abi
from .abi import lib


class Error(Exception):
    """A call failed.

    status: the number (`libmm.abi.MM_E_IO`); name: its name ("MM_E_IO"); text: one sentence that names file, place and
    remedy; os_code: errno, or what a callback returned, else 0.
    """

    def __init__(self, status: int, name: str = "", text: str = "", os_code: int = 0):
        Exception.__init__(self, status, name, text, os_code)
        self.status, self.name, self.text, self.os_code = status, name, text, os_code

    def __str__(self) -> str:
        return "%s (%s)" % (self.text, self.name) if self.text else self.name

    def __reduce__(self):
        return type(self), (self.status, self.name, self.text, self.os_code)


class ArgumentError(Error, ValueError):
    """An argument is out of range or contradicts another (MM_E_ARG)."""


class StateError(Error):
    """The call does not fit the object's state, thread or process; also any use of a closed object (MM_E_STATE)."""


class UnknownKey(Error, LookupError):
    """No such option, fact or statistic (MM_E_KEY)."""


class OutOfMemory(Error, MemoryError):
    """There is no memory, or the engine's memory_limit was reached (MM_E_NOMEM)."""


class LimitError(Error):
    """A documented limit was exceeded (MM_E_LIMIT)."""


class InternalError(Error):
    """A broken invariant: please report it (MM_E_INTERNAL)."""


class FileError(Error, OSError):
    """A file is missing or cannot be read or written (MM_E_IO). `errno` is set where the system named one."""

    def __init__(self, status: int, name: str = "", text: str = "", os_code: int = 0):
        Error.__init__(self, status, name, text, os_code)
        self.errno = os_code or None


class NotFound(FileError, FileNotFoundError):
    """A file does not exist (MM_E_IO with ENOENT)."""


class ModelFileError(Error):
    """A file is damaged or is not what it claims (MM_E_FORMAT)."""


class UnsupportedError(Error):
    """A valid request that needs something this model or build does not have (MM_E_UNSUPPORTED)."""


class MediaError(Error):
    """A picture or sound cannot be decoded (MM_E_MEDIA)."""


class DeviceError(Error):
    """No such device, or it failed (MM_E_DEVICE)."""


class Cancelled(Error):
    """cancel() or a callback asked to stop (MM_E_CANCELLED)."""


class ContextError(Error):
    """The input does not fit the context (MM_E_CONTEXT)."""


class NumericError(Error):
    """The model produced NaN or infinity (MM_E_NUMERIC)."""


_classes = {
    abi.MM_E_ARG: ArgumentError, abi.MM_E_STATE: StateError, abi.MM_E_KEY: UnknownKey, abi.MM_E_NOMEM: OutOfMemory,
    abi.MM_E_LIMIT: LimitError, abi.MM_E_INTERNAL: InternalError, abi.MM_E_IO: FileError, abi.MM_E_FORMAT: ModelFileError,
    abi.MM_E_UNSUPPORTED: UnsupportedError, abi.MM_E_MEDIA: MediaError, abi.MM_E_DEVICE: DeviceError,
    abi.MM_E_CANCELLED: Cancelled, abi.MM_E_CONTEXT: ContextError, abi.MM_E_NUMERIC: NumericError,
}


def new_error() -> abi.mm_error:
    """An empty mm_error for one call."""
    return abi.mm_error(size=sizeof(abi.mm_error))


def fail(status: int, text: str, os_code: int = 0) -> Error:
    """The exception of a status."""
    cls = _classes.get(status, Error)
    if cls is FileError and os_code == errno.ENOENT:
        cls = NotFound
    return cls(status, lib.mm_status_name(status).decode(), text, os_code)


def check(status: int, err: abi.mm_error) -> int:
    """Raises when a call failed; else returns its status (0, or a note above 0)."""
    if status < 0:
        raise fail(status, err.text.decode("utf-8", "replace"), err.os_code)
    return status


class Status(NamedTuple):
    """One entry of `statuses()`."""
    status: int
    name: str
    meaning: str


def statuses() -> list[Status]:
    """Every status the library knows: number, name, meaning."""
    found: list[Status] = []
    number, name, meaning = c_int32(), c_char_p(), c_char_p()
    while lib.mm_status_at(len(found), byref(number), byref(name), byref(meaning)) == abi.MM_OK:
        found.append(Status(number.value, (name.value or b"").decode(), (meaning.value or b"").decode()))
    return found
