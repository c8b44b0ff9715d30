"""A command's CPU time and peak memory as the kernel counts them, however large the process is that starts it.

Linux begins the peak of a new program with that of the memory it was started from, and a process that starts another
by `vfork`, as `subprocess` does, lends it its own. So a small process stands between, and waits for it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import IO, Any


def counted(
    command: Sequence[str], *, stdout: IO[Any] | None = None, stderr: IO[Any] | None = None
) -> dict[str, float]:
    """Runs a command to its end.

    Returns:
        `code` it exited with, `cpu_s` of it and what it waited for, `peak_MiB` of the largest process among these.
    """
    import subprocess

    reading, writing = os.pipe()
    words = [sys.executable, "-I", "-S", __file__, str(writing), *command]
    with subprocess.Popen(words, stdout=stdout, stderr=stderr, pass_fds=[writing]), os.fdopen(reading) as told:
        os.close(writing)
        said: dict[str, float] = json.loads(told.read())
    return said


def _between(writing: int, command: Sequence[str]) -> None:
    os.set_inheritable(writing, False)
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, used = os.wait4(process, 0)
    said = {
        "code": os.waitstatus_to_exitcode(status),
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_MiB": used.ru_maxrss / 1024,
    }
    os.write(writing, json.dumps(said).encode())


if __name__ == "__main__":
    _between(int(sys.argv[1]), sys.argv[2:])
