"""Ctrl-C while C works.

Python delivers signals to its main thread, and only between byte codes: a main thread inside a C call hears nothing until
the call returns. So the main thread hands a call that may take long to one helper thread and waits for it on a lock, which
a signal does interrupt; the interruption cancels the session, the call ends soon, and the exception goes on. Other threads
never see signals and call directly. Handing over costs two switches of threads (about 30 microseconds).
"""
from __future__ import annotations

import os
import threading
from typing import Callable


class _Helper:
    """One thread that runs what the main thread gives it."""

    def __init__(self) -> None:
        self._start, self._done = threading.Lock(), threading.Lock()
        self._start.acquire()
        self._done.acquire()
        self._job: Callable[[], object] = int
        self._failure: BaseException | None = None
        threading.Thread(target=self._loop, name="libmm", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._start.acquire()
            try:
                self._job()
            except BaseException as e:
                self._failure = e
            self._done.release()

    def run(self, job: Callable[[], object], cancel: Callable[[], None]) -> None:
        self._job, self._failure = job, None
        try:
            self._start.release()
            self._done.acquire()
        except BaseException:
            self._cancel_and_wait(cancel)
            raise
        finally:
            self._job = int
        if self._failure is not None:
            raise self._failure

    def _cancel_and_wait(self, cancel: Callable[[], None]) -> None:
        while True:
            try:
                cancel()
                self._done.acquire()
                return
            except BaseException:
                pass  # interrupted again while the cancelled call ends: it will, so go on waiting


_helper: _Helper | None = None
_busy = False


def _forget() -> None:
    global _helper, _busy
    _helper, _busy = None, False


os.register_at_fork(after_in_child=_forget)


def run(job: Callable[[], object], cancel: Callable[[], None]) -> None:
    """job() on the helper when this is the main thread, else here. What interrupts the wait goes on to the caller after
    cancel() was called and the job has ended."""
    global _helper, _busy
    if _busy or threading.current_thread() is not threading.main_thread():
        job()
        return
    if _helper is None:
        _helper = _Helper()
    _busy = True
    try:
        _helper.run(job, cancel)
    finally:
        _busy = False
