"""A limit of the system on what decoding may add to this process: the second wall, behind the checks of headers."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_inside = 0
_before = resource.RLIM_INFINITY


@contextmanager
def memory_limit(growth_bytes: int | None) -> Iterator[bool]:
    """Within, allocations beyond what the process has now and `growth_bytes` fail, as on a full machine.

    RLIMIT_DATA counts what is private and writable: what malloc takes. Unlike RLIMIT_AS it leaves alone what is only
    mapped: libraries, Ray's shared memory, address space set aside. It holds for all threads of a process, so that in
    one that computes as well (torch is there) it would fail the network for a scene's fault: there it does nothing.
    Gives whether there is a limit. Threads that read side by side share the limit of the first.
    """
    if growth_bytes is None or "torch" in sys.modules:
        yield False
        return
    _enter(growth_bytes)
    try:
        yield True
    finally:
        _leave()


def _enter(growth_bytes: int) -> None:
    global _inside, _before  # noqa: PLW0603  (a limit is the process's)
    with _lock:
        if _inside == 0:
            _before, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = _data_bytes() + growth_bytes
            if _before == resource.RLIM_INFINITY or wanted < _before:
                resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        _inside += 1


def _leave() -> None:
    global _inside  # noqa: PLW0603
    with _lock:
        _inside -= 1
        if _inside == 0:
            resource.setrlimit(resource.RLIMIT_DATA, (_before, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _data_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
