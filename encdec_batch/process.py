"""What this process takes of the machine."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_bytes() -> int:
    """The most memory that this process has had resident so far, without what it shares with others as shared memory.

    A page of Ray's object store counts for every process that has looked at it: it is the store's, and bounded there.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return peak
    shared = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("RssShmem:")), 0)
    return peak - shared * 1024
