"""Threads that nothing waits for at the end: neither the interpreter nor, for longer than it wants to, who closes them.

Those of `concurrent.futures` are joined when the interpreter ends. One that hangs in a library would then keep a
process for ever, whatever its user does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]


class DaemonPool:
    """A pool of threads, started as they are needed.

    Args:
        number: of threads.
        name: what they are called.
    """

    def __init__(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Begins a call; what it raises, its future raises.

        Raises:
            RuntimeError: the pool is closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the threads of {self._name} are closed")
            self._jobs.put((future, call))
            if len(self._threads) < self._number:
                thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def close(self, wait_s: float) -> None:
        """Cancels what is not begun; waits so long, in seconds, for what is."""
        with self._lock:
            self._closed = True
        for future, _ in self._left():
            future.cancel()
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + wait_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _left(self) -> list[_Job]:
        left = list[_Job]()
        try:
            while (job := self._jobs.get_nowait()) is not None:
                left.append(job)
        except Empty:
            pass
        return left

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001  (it is raised by who takes)
                    future.set_exception(error)
