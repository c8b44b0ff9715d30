"""What this process takes of the machine, and what it may take."""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

ROOT = Path("/")
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


def usable_cpus(root: Path = ROOT) -> int:
    """Cores that this process may keep busy: those that it is bound to, or fewer, where its container has a quota.

    A quota of one core and a half counts as two.

    Args:
        root: of the file system in which the kernel tells of control groups.

    Source: cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cpu.cfs_quota_us) of Linux 6.1.
    """
    quotas = []
    for folder in _groups(root, "cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (folder / "cpu.max").read_text().split()
            quotas.append(math.ceil(int(quota) / int(period)))  # `max` is no number
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(math.ceil(int(quota) / int(period)))
    return min([len(os.sched_getaffinity(0)), *(quota for quota in quotas if quota > 0)])


def usable_bytes(root: Path = ROOT) -> int:
    """Memory that this process and its children may have together: the machine's, or less, where its container has a
    limit.

    Args:
        root: of the file system in which the kernel tells of control groups.

    Source: cgroup-v2.rst (memory.max) and cgroup-v1/memory.rst (memory.limit_in_bytes) of Linux 6.1.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    return min(limits)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that this process is in, and of those above; some may not be there."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = mount / controller if controllers else mount
        group = PurePosixPath(path)
        # A container may see its own group at the mount, and be told the path of the machine.
        inside = [] if ".." in group.parts else [group, *group.parents]
        yield from (base / one.relative_to("/") for one in inside)
        yield base
