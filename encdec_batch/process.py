"""What this process takes of the machine."""

from __future__ import annotations

import re
import resource
from pathlib import Path

_FIELDS = re.compile(rb"^(VmHWM|RssShmem):\s+(\d+) kB", re.MULTILINE)


def peak_bytes() -> int:
    """The most memory that this process has had resident so far, without what it shares with others as shared memory.

    A page of Ray's object store counts for every process that has looked at it: it is the store's, and bounded there.
    """
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Not ru_maxrss, which a process inherits: it would have the peak of whoever started it.
    kib = {name: int(number) for name, number in _FIELDS.findall(status)}
    return (kib[b"VmHWM"] - kib.get(b"RssShmem", 0)) * 1024
