"""Ctrl-C while C works.

Python delivers signals to its main thread, and only between byte codes: a main thread inside a C call hears nothing until
the call returns. So the main thread hands a call that may take long to one helper thread and waits for it on a lock, which
a signal does interrupt; the interruption cancels the session, the call ends soon, and the exception goes on. Other threads
never see signals and call directly. Handing over costs two switches of threads (about 30 microseconds).
"""
from __future__ import annotations

import os
import queue
import threading
from typing import Callable


class _Job:
    """A call, and whether it has ended."""

    def __init__(self, call: Callable[[], object]):
        self.call, self.done = call, False
        self.failure: BaseException | None = None
        self.tickets, self.lock = [None], threading.Lock()
        self.lock.acquire()

    def wait(self) -> None:
        while not self.done:
            self.lock.acquire()


class _Helper:
    """One thread that runs what the main thread gives it. An interrupt may strike the main thread between any two byte
    codes: so what counts is the mark on the job, not how often a lock was taken, and a job may be handed over twice."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        threading.Thread(target=self._loop, name="libmm", daemon=True).start()

    def _loop(self) -> None:
        while True:
            job = self._queue.get()
            if not job.tickets:
                continue
            job.tickets.clear()
            try:
                job.call()
            except BaseException as e:
                job.failure = e
            job.done = True
            job.lock.release()
            del job

    def run(self, call: Callable[[], object], cancel: Callable[[], None]) -> None:
        job = _Job(call)
        try:
            self._queue.put(job)
            job.wait()
        except BaseException:
            while not job.done:
                try:
                    cancel()
                    self._queue.put(job)
                    job.wait()
                except BaseException:
                    pass  # interrupted again while the cancelled call ends: it will, so go on waiting
            raise
        if job.failure is not None:
            raise job.failure


_helper: _Helper | None = None
_busy = False


def _forget() -> None:
    global _helper, _busy
    _helper, _busy = None, False


os.register_at_fork(after_in_child=_forget)


def run(call: Callable[[], object], cancel: Callable[[], None]) -> None:
    """call() on the helper when this is the main thread, else here. What interrupts the wait goes on to the caller after
    cancel() was called and the call has ended."""
    global _helper, _busy
    if _busy or threading.current_thread() is not threading.main_thread():
        call()
        return
    try:
        _busy = True
        if _helper is None:
            _helper = _Helper()
        _helper.run(call, cancel)
    finally:
        _busy = False
