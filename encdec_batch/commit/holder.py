"""The process that holds a lease, told apart from every other on any machine, and whether it still runs."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderInfo:
    """Who holds a lease: one process, told apart from every other on any machine."""

    run_id: str
    host: str
    pid: int
    boot_id: str
    """Of the kernel's present boot; empty where it cannot be known, and then no pid is believed gone."""
    pid_namespace: str
    process_started: int
    """Clock ticks since the boot, field 22 of /proc/<pid>/stat: a pid is used again, a pair is not; 0: unknown."""

    @classmethod
    def current(cls, run_id: str) -> HolderInfo:
        """This process."""
        return cls(
            run_id=run_id,
            host=platform.node(),
            pid=os.getpid(),
            boot_id=_read_or_empty("/proc/sys/kernel/random/boot_id"),
            pid_namespace=_link_or_empty("/proc/self/ns/pid"),
            process_started=_started_ticks(os.getpid()) or 0,
        )


def is_gone(holder: HolderInfo) -> bool:
    """Whether a holder's process is known to have ended: only ever told for this boot and pid namespace."""
    boot_id, namespace = _read_or_empty("/proc/sys/kernel/random/boot_id"), _link_or_empty("/proc/self/ns/pid")
    if not boot_id or not namespace or (holder.boot_id, holder.pid_namespace) != (boot_id, namespace):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives and is another user's
    started = _started_ticks(holder.pid)
    return started is not None and holder.process_started > 0 and started != holder.process_started


def _started_ticks(pid: int) -> int | None:
    """Start of a process in ticks since the boot; -1 for one that ended and was not waited for; None: unknown."""
    stat = _read_or_empty(f"/proc/{pid}/stat")
    # The name of the program stands in brackets and may hold brackets and blanks itself.
    values = stat.rpartition(")")[2].split()
    if len(values) < 20:
        return None
    return -1 if values[0] in "ZX" else int(values[19])


def _read_or_empty(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link_or_empty(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
