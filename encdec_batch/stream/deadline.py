"""The end of a process in which something hangs: one timer a process, which fires in C code that holds the GIL as well.

`faulthandler` has a thread in C that writes every thread's stack to stderr and calls `_exit(1)`. It has one timer; the
one here is set to the earliest end of whatever runs, so that threads (two calls of a GPU actor, the threads of a local
stream) need not know of each other.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STDERR = 2
LATE = 0.1
"""Share of its time by which a hang may be ended too late. Setting the timer ends a thread and starts one: done for
each of many short blocks it took a seventh of all that Python did.
"""


def _arm(seconds: float | None) -> None:
    if seconds is None:
        faulthandler.cancel_dump_traceback_later()
    else:
        faulthandler.dump_traceback_later(seconds, exit=True, file=STDERR)


class Timer:
    """Deadlines of all threads of a process.

    Args:
        arm: sets the one timer to fire in so many seconds; None: not at all.
        clock: seconds.
    """

    def __init__(
        self, arm: Callable[[float | None], None] = _arm, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._arm, self._clock = arm, clock
        self._ends: dict[object, tuple[float, float]] = {}
        """When each thing is to have ended, and when it must have."""
        self._armed: float | None = None
        """When the timer fires."""
        self._lock = threading.Lock()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What is inside ends in so many seconds, or a little later the process does."""
        token = object()
        with self._lock:
            now = self._clock()
            self._ends[token] = now + seconds, now + (1 + LATE) * seconds
            self._set()
        try:
            yield
        finally:
            with self._lock:
                del self._ends[token]
                self._set()

    def _set(self) -> None:
        if not self._ends:
            self._armed = None
            self._arm(None)
            return
        end, latest = (min(times) for times in zip(*self._ends.values(), strict=True))
        if self._armed is not None and end <= self._armed <= latest:
            return
        self._armed = latest
        # Never 0, which is refused: what is late already fires at once.
        self._arm(max(latest - self._clock(), 0.001))


PROCESS = Timer()
"""This process's."""


class _Owned:
    """Whether this process is ours to end."""

    owned = False


def own_process() -> None:
    """Said by those who start a process for nothing but a job: the command line, workers. Who imports us as a library
    has a process that no hang of ours may end.
    """
    _Owned.owned = True


def is_own_process() -> bool:
    return _Owned.owned
