"""Two children read a file in two ways, with two fillings of fresh memory: what they say must be the same."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fuzz.child import MOST_BYTES

HANG_S = 60.0
"""Without an answer; generous, as machines are loaded."""
SLOW_S = 8.0
"""Of one core, for one small file."""
FILLINGS = (85, 170)
"""glibc writes this into what malloc gives, and its complement into what is freed: a byte that nobody wrote differs."""


READERS = tuple((sys.executable, "-m", "fuzz.child", how) for how in ("whole", "windows"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What a file did that no file may do."""

    kind: str
    """crash, hang, error, memory, slow, noise, differs."""
    said: str


class Child:
    """A process that reads; started again after it died."""

    def __init__(self, command: Sequence[str], filling: int) -> None:
        self._command, self._filling = command, filling
        self._start()

    def _start(self) -> None:
        self._noise = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        environment = os.environ | {"MALLOC_PERTURB_": str(self._filling), "PYTHONFAULTHANDLER": "1"}
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
        )

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack("<Q", len(data)) + data)
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # its death is met in `answer`

    def answer(self, deadline: float) -> dict[str, Any] | Fault:
        """What it found, or what is wrong with it."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            # Its faulthandler prints where it is.
            self._process.send_signal(signal.SIGABRT)
        line = self._process.stdout.readline()
        noise = self._said()
        if not line:
            code = self._process.wait()
            said = f"exit {code}: {noise[-1500:]}"
            self.close()
            self._start()
            return Fault(kind="crash" if ready else "hang", said=said)
        found: dict[str, Any] = json.loads(line)
        if "fault" in found:
            return Fault(kind="error", said=f"{found['fault']}\n{found.get('where', '')}")
        if found["grown"] > MOST_BYTES:
            return Fault(kind="memory", said=f"{found['grown'] / 2**20:.0f} MiB")
        if found["seconds"] > SLOW_S:
            return Fault(kind="slow", said=f"{found['seconds']:.1f} s")
        return Fault(kind="noise", said=noise) if noise else found

    def _said(self) -> str:
        self._noise.seek(0)
        text = self._noise.read().decode(errors="replace")
        self._noise.seek(0)
        self._noise.truncate()
        return text

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._noise):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


class Pair:
    """Reads whole files by the one child, by the other piece by piece."""

    def __init__(self, commands: tuple[Sequence[str], Sequence[str]] = READERS, *, hang_s: float = HANG_S) -> None:
        self._hang_s = hang_s
        self._children = tuple(Child(*pair) for pair in zip(commands, FILLINGS, strict=True))

    def read(self, data: bytes) -> dict[str, Any] | Fault:
        """What both found, or the first fault."""
        for child in self._children:
            child.send(data)
        deadline = time.monotonic() + self._hang_s
        one, two = (child.answer(deadline) for child in self._children)
        for found in (one, two):
            if isinstance(found, Fault):
                return found
        assert isinstance(one, dict)
        assert isinstance(two, dict)
        unlike = [key for key in ("header", "pixels", "thumbnail", "error") if one.get(key) != two.get(key)]
        if unlike:
            return Fault(kind="differs", said=f"{', '.join(unlike)}: {one} and {two}")
        return one

    def close(self) -> None:
        for child in self._children:
            child.close()
