"""Engines: memory, log, files, threads, device."""
from __future__ import annotations

import io
import logging
import os
import posixpath
import sys
import threading
import types
from ctypes import byref, c_void_p, memmove, pointer, sizeof
from typing import Any, BinaryIO, Callable, Mapping

from . import abi
from ._handle import Handle, Ref, encode, text_of
from .abi import lib
from .errors import check, fail, new_error

_PRECISIONS = {"fast": abi.MM_PRECISION_FAST, "exact": abi.MM_PRECISION_EXACT}
_LEVELS = {"error": abi.MM_LOG_ERROR, "warning": abi.MM_LOG_WARN, "info": abi.MM_LOG_INFO, "debug": abi.MM_LOG_DEBUG}
_LOGGING = {abi.MM_LOG_ERROR: logging.ERROR, abi.MM_LOG_WARN: logging.WARNING, abi.MM_LOG_INFO: logging.INFO,
            abi.MM_LOG_DEBUG: logging.DEBUG}

#: Called as log(level, area, line), from any thread; level is 1 error, 2 warning, 3 info, 4 debug.
LogFunction = Callable[[int, str, str], Any]


def unraisable(e: BaseException, where: str, function: Any) -> None:
    """Reports an exception that C cannot carry on, as Python does for __del__."""
    sys.unraisablehook(types.SimpleNamespace(exc_type=type(e), exc_value=e, exc_traceback=e.__traceback__,  # type: ignore[arg-type]
                                             err_msg="Exception ignored in a libmm %s callback" % where, object=function))


class Files:
    """Files that are not the operating system's: give an object with these methods to Engine(files=...).

    Paths are the ones given to load() and Input, or these, or their directory, with "/name" appended. Methods may be called from any thread, also
    several at once; an exception fails the call that needed the file.
    """

    def kind(self, path: str) -> str | None:
        """"file", "directory", or None where nothing is."""
        raise NotImplementedError

    def open(self, path: str) -> BinaryIO:
        """The file, readable, seekable, in binary mode."""
        raise NotImplementedError

    def listdir(self, path: str) -> list[str]:
        """Names in a directory."""
        return []


class MappingFiles(Files):
    """Files from a mapping of paths to bytes."""

    def __init__(self, contents: Mapping[str, bytes]):
        self._contents = {posixpath.normpath(path): data for path, data in contents.items()}

    def _inside(self, path: str) -> list[str]:
        """Names of what lies below a folder, relative to it."""
        folder = posixpath.normpath(path)
        start = "" if folder == "." else folder.rstrip("/") + "/"
        return [name[len(start):] for name in self._contents if name.startswith(start)]

    def kind(self, path: str) -> str | None:
        if posixpath.normpath(path) in self._contents:
            return "file"
        return "directory" if self._inside(path) else None

    def open(self, path: str) -> BinaryIO:
        return io.BytesIO(self._contents[posixpath.normpath(path)])

    def listdir(self, path: str) -> list[str]:
        return sorted({name.split("/")[0] for name in self._inside(path)})


class _FileTable:
    """The mm_files of a Files object: numbers stand for open files."""

    def __init__(self, files: Files):
        self._files, self._next, self._lock = files, 1, threading.Lock()
        self._open: dict[int, tuple[BinaryIO, threading.Lock]] = {}
        self.struct = abi.mm_files(
            size=sizeof(abi.mm_files), kind=abi.mm_files_kind_fn(self._kind), open=abi.mm_files_open_fn(self._opened),
            read=abi.mm_files_read_fn(self._read), close=abi.mm_files_close_fn(self._close), list=abi.mm_files_list_fn(self._list))

    def _guard(self, work: Callable[[], int]) -> int:
        try:
            return work()
        except OSError as e:
            return e.errno or abi.MM_E_IO
        except BaseException as e:
            unraisable(e, "files", self._files)
            return abi.MM_E_IO

    def _kind(self, _: Any, path: bytes) -> int:
        kinds = {None: abi.MM_FILE_NONE, "file": abi.MM_FILE_REGULAR, "directory": abi.MM_FILE_DIRECTORY}
        try:
            return kinds[self._files.kind(os.fsdecode(path))]
        except BaseException as e:
            unraisable(e, "files", self._files)
            return abi.MM_FILE_NONE

    def _opened(self, _: Any, path: bytes, file: Any, size: Any) -> int:
        def work() -> int:
            stream = self._files.open(os.fsdecode(path))
            length = stream.seek(0, os.SEEK_END)
            with self._lock:
                number, self._next = self._next, self._next + 1
                self._open[number] = stream, threading.Lock()
            file[0], size[0] = number, length
            return abi.MM_OK
        return self._guard(work)

    def _read(self, _: Any, file: int, offset: int, to: int, n: int) -> int:
        def work() -> int:
            stream, lock = self._open[file]
            done = 0
            with lock:
                stream.seek(offset)
                while done < n:
                    piece = stream.read(n - done)
                    if not piece:
                        return abi.MM_E_IO
                    memmove(to + done, piece, len(piece))
                    done += len(piece)
            return abi.MM_OK
        return self._guard(work)

    def _close(self, _: Any, file: int) -> None:
        self._guard(lambda: self._open.pop(file)[0].close() or abi.MM_OK)

    def _list(self, _: Any, path: bytes, index: int, name: int, room: int) -> int:
        def work() -> int:
            names = self._files.listdir(os.fsdecode(path))
            if index >= len(names):
                return abi.MM_END
            raw = os.fsencode(names[index]) + b"\0"
            if len(raw) > room:
                return abi.MM_E_SPACE
            memmove(name, raw, len(raw))
            return abi.MM_OK
        return self._guard(work)


def _log_callback(log: LogFunction | logging.Logger) -> Any:
    def call(_: Any, level: int, area: bytes, line: bytes) -> None:
        try:
            where, what = area.decode("utf-8", "replace"), line.decode("utf-8", "replace")
            if isinstance(log, logging.Logger):
                log.log(_LOGGING.get(level, logging.DEBUG), "%s: %s", where, what)
            else:
                log(level, where, what)
        except BaseException as e:
            unraisable(e, "log", log)
    return abi.mm_log_fn(call)


class Engine(Handle):
    """Memory, log, files, threads and device; models are loaded into one. Any thread may use it at any time.

    threads: worker threads, 0 for one per physical core, at most 1024.
    device: "auto", "cpu", "cpu:avx2" (at most these instructions) ...; see `libmm.devices()`.
    precision: "fast" (quantised or BF16 activations) or "exact" (float32 throughout).
    memory_limit: bytes, 0 for none; OutOfMemory beyond it.
    log: a function (level, area, line), or a logging.Logger; None for silence. Called from any thread; an exception in it
    goes to sys.unraisablehook.
    log_level: the most verbose level that is delivered: "error", "warning", "info" or "debug".
    files: a `Files` object in place of the operating system's files.

    Raises DeviceError for an unknown device, ArgumentError, OutOfMemory.
    """

    def __init__(self, *, threads: int = 0, device: str = "auto", precision: str = "fast", memory_limit: int = 0,
                 log: LogFunction | logging.Logger | None = None, log_level: str = "warning", files: Files | None = None):
        if precision not in _PRECISIONS:
            raise fail(abi.MM_E_ARG, "precision %r is neither \"fast\" nor \"exact\"" % precision)
        if log_level not in _LEVELS:
            raise fail(abi.MM_E_ARG, "log_level %r is none of %s" % (log_level, ", ".join(_LEVELS)))
        if not 0 <= threads <= 1024 or not 0 <= memory_limit < 1 << 64:
            raise fail(abi.MM_E_ARG, "threads are 0..1024, memory_limit is a number of bytes")
        if log is not None and not callable(log) and not isinstance(log, logging.Logger):
            raise TypeError("log is a function or a logging.Logger, not %s" % type(log).__name__)
        self._options = dict(threads=threads, device=device, precision=precision, memory_limit=memory_limit, log=log,
                             log_level=log_level, files=files)
        options = abi.mm_engine_options()
        lib.mm_engine_options_init(byref(options), sizeof(options))
        options.n_threads, options.device = threads, encode(device, "device")
        options.precision, options.log_level, options.memory_limit = _PRECISIONS[precision], _LEVELS[log_level], memory_limit
        # Everything C may call until the last handle of this engine is gone; each handle holds on to it.
        callback = _log_callback(log) if log is not None else None
        table = _FileTable(files) if files is not None else None
        if callback is not None:
            options.log = callback
        if table is not None:
            options.files = pointer(table.struct)
        out, err = c_void_p(), new_error()
        check(lib.mm_engine_create(byref(options), byref(out), byref(err)), err)
        self._own(Ref.take("engine", out.value, lib.mm_engine_release, (callback, table)))
        self._engine = self._ref

    def __reduce__(self):
        return _engine_again, (self._options,)

    def __repr__(self) -> str:
        return "<libmm.Engine %s%s>" % (self._options["device"], ", closed" if self.closed else "")

    def info(self, key: str) -> str:
        """A fact: "device" "isa" "threads" "precision" "memory_bytes" "memory_peak" "memory_limit" "limits" "counts"
        "fallbacks" "self_test" "keys". UnknownKey."""
        with self._ref as e:
            return (text_of(lib.mm_engine_info, e, encode(key, "key")) or b"").decode()

    def set(self, key: str, value: int) -> Engine:
        """Sets a limit: "session_memory", "image_pixels", "template_steps" and the others that `info("limits")` lists, one a
        line: key, value, default, most, what it counts. What exceeds one raises LimitError. Or "media_cache_bytes", what each model may
        hold to know pictures and sounds again. UnknownKey, ArgumentError.
        """
        err = new_error()
        with self._ref as e:
            check(lib.mm_engine_set(e, encode(key, "key"), encode(str(value), "value"), byref(err)), err)
        return self


def _engine_again(options: dict[str, Any]) -> Engine:
    return Engine(**options)


def version() -> str:
    """Version of the library that runs: "0.2.0"."""
    v = lib.mm_version()
    return "%d.%d.%d" % (v >> 16, v >> 8 & 255, v & 255)


def build_info(key: str) -> str:
    """How the library was built: "version" "compiler" "kernels" "libraries" "formats" "dtypes" "assemblies" "parts" "keys"."""
    return (text_of(lib.mm_build_info, encode(key, "key")) or b"").decode()


def device_info(index: int, key: str) -> str | None:
    """A fact about a device: "id" "name" "kind" "features" "threads" "summary"; None past the last device."""
    if not 0 <= index < 1 << 32:
        raise fail(abi.MM_E_ARG, "device index %d is out of range" % index)
    text = text_of(lib.mm_device_info, index, encode(key, "key"))
    return None if text is None else text.decode()


def devices() -> list[str]:
    """One line for each device."""
    found: list[str] = []
    while True:
        line = device_info(len(found), "summary")
        if line is None:
            return found
        found.append(line)
