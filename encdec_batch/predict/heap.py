"""Memory that is freed stays with the process.

Activations are arrays of tens of megabytes. As it comes, glibc's malloc maps each anew and gives it back when it is
freed, so that the kernel zeroes every page of every layer again: a quarter of a forward pass (docs/results.md).
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of mallopt(3), as in glibc's malloc.h."""
_KEPT_BYTES = 2**30
"""The largest array that comes from the heap, and the most free memory at its end."""

ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(_KEPT_BYTES),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT_BYTES),
    # One arena: the heaps of further ones end at 64 MiB, above which their threads map and unmap again.
    "MALLOC_ARENA_MAX": "1",
}
"""The same for processes that are still to be started. Better where there is the choice: a thread that has an arena of
its own keeps it."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees; at its start, before other threads allocate.

    For processes of our own only: it changes malloc for everything in them, and they stay at their peak.

    Returns:
        False where malloc is not glibc's; nothing changes there.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((_MMAP_THRESHOLD, _KEPT_BYTES), (_TRIM_THRESHOLD, _KEPT_BYTES), (_ARENA_MAX, 1))
    accepted = [mallopt(option, value) for option, value in wanted]
    return all(accepted)
