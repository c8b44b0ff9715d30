"""What the demo says, and the product's command as a user would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "jobs/demo"
OUTPUT = ROOT / "demo-output"
LIMIT_S, GRACE_S = 300.0, 30.0
"""For one command to end by itself, and to end after it was interrupted."""


class DemoFailedError(Exception):
    """Something did not come out as planned; says what should have."""


def encdec_batch(*words: str) -> int:
    """Runs the command as a user would, and gives its exit code; it never outlives the demo.

    Raises:
        DemoFailedError: it did not end.
    """
    print(f"$ encdec-batch {' '.join(words)}", flush=True)
    command = [str(Path(sys.executable).with_name("encdec-batch")), *words]
    # A group of its own, so that Ctrl-C reaches it once, from here, while the server still answers.
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, process_group=0) as process:
        try:
            return process.wait(LIMIT_S)
        except (KeyboardInterrupt, subprocess.TimeoutExpired) as reason:
            _end(process)
            if isinstance(reason, KeyboardInterrupt):
                raise
            fail(f"it did not end within {LIMIT_S:.0f} s")


def say(text: str) -> None:
    print(f"\n{text}", flush=True)


def check(condition: bool, expected: str) -> None:  # noqa: FBT001
    if not condition:
        fail(expected)


def fail(reason: str) -> NoReturn:
    raise DemoFailedError(reason)


def shown(path: Path) -> str:
    """As short as it can be said here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(GRACE_S)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
