"""Memory and CPU time of every process of a run, sampled from /proc."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

PERIOD_S = 0.2
SPARING_S = 1.0
"""Without memory, so rarely that it does not disturb what is timed."""
_TICK = os.sysconf("SC_CLK_TCK")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Usage:
    """What was seen."""

    peak_pss: dict[tuple[int, str], int] = field(default_factory=dict)
    """Process id and kind to bytes. A Ray worker that serves two stages has two entries."""
    cpu: list[tuple[float, str, float]] = field(default_factory=list)
    """Time (epoch), kind of process, CPU seconds used since the sample before."""
    samples: int = 0

    def peak_by_kind(self) -> dict[str, int]:
        peaks: dict[str, int] = defaultdict(int)
        for (_, kind), pss in self.peak_pss.items():
            peaks[kind] = max(peaks[kind], pss)
        return dict(peaks)

    def cpu_by_kind(self, start: float, stop: float) -> dict[str, float]:
        total: dict[str, float] = defaultdict(float)
        for at, kind, seconds in self.cpu:
            if start <= at <= stop:
                total[kind] += seconds
        return dict(total)


class Watch:
    """Samples a process and all below it until the block is left."""

    def __init__(self, pid: int, *, memory: bool) -> None:
        self._pid, self._memory, self.usage = pid, memory, Usage()
        self._used: dict[int, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S if self._memory else SPARING_S):
            self.usage.samples += 1
            for pid in _family(self._pid):
                self._sample(pid)

    def _sample(self, pid: int) -> None:
        try:
            kind = "driver" if pid == self._pid else _kind(pid)
            used = _cpu_seconds(pid)
            found = _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_bytes()) if self._memory else None
        except (OSError, ValueError, IndexError):
            return  # it has just ended
        self.usage.cpu.append((time.time(), kind, used - self._used.get(pid, 0.0)))
        self._used[pid] = used
        if found:
            key = (pid, kind)
            self.usage.peak_pss[key] = max(self.usage.peak_pss.get(key, 0), int(found[1]) * 1024)


def _family(root: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                children[int(_stat(int(entry.name))[1])].append(int(entry.name))
            except (OSError, IndexError):
                continue
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third one on: the second, the name, may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICK


def _kind(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    if command.startswith("ray::"):
        inner = re.search(r"_(Reading|Predicting|Writing)|(_commit)|(_resolve)", command)
        return f"ray {inner[0].strip('_').lower()}" if inner else "ray, other workers"
    return "small scenes" if "encdec_batch.stream.small_child" in command else "ray, its own processes"
