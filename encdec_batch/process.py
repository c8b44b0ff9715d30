"""What this process takes of the machine."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_bytes() -> int:
    """The most memory that this process has had resident so far, without what it shares with others as shared memory.

    A page of Ray's object store counts for every process that has looked at it: it is the store's, and bounded there.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # Not ru_maxrss, which a process inherits: it would have the peak of whoever started it.
    fields = (line.partition(":") for line in lines)
    kib = {name: int(value.split()[0]) for name, _, value in fields if value.endswith(" kB")}
    return (kib["VmHWM"] - kib.get("RssShmem", 0)) * 1024
