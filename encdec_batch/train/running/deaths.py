"""What workers died of. Ray Train's controller sees it and keeps it to itself while it starts them again.

The controller is a process on the driver's machine: it writes lines into a file of the attempt's folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.exceptions import RayActorError
from ray.train import UserCallback

_FILE = "deaths.jsonl"
_MOST = 200
"""Characters of one error."""


class Deaths(UserCallback):
    """Notes each time that workers fail, whether they are started again or not."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """One line for each time, of all ranks that failed together."""
        del run_context
        note(self._folder, {f"rank {rank}": reason(error) for rank, error in worker_exceptions.items()})


def note(folder: str, died: Mapping[str, str]) -> None:
    """One time that workers failed: who, and of what."""
    with (Path(folder) / _FILE).open("a") as file:
        file.write(json.dumps(died) + "\n")


def died_while_starting(error: Exception) -> str | None:
    """What a worker died of, or did not answer for, when it was given its work; None: it is another error.

    Ray starts workers again that die before or after; in between (the last lines of `WorkerGroup._start_impl`) its
    controller takes the answer that it did not get for an error of its own, and gives up.
    """
    cause = getattr(error, "controller_failure", None)
    return reason(cause) if isinstance(cause, RayActorError) else None


def reason(error: Exception) -> str:
    """Of one worker, in a line: by the error that Ray's own one wraps, where there is one."""
    inner = getattr(error, "health_check_failure", None) or error
    return f"{type(inner).__name__}: {' '.join(str(inner).split())}"[:_MOST]


def deaths_in(folder: str) -> list[str]:
    """`rank 1: ActorDiedError: ...`, one for each time that workers failed, in order."""
    try:
        lines = (Path(folder) / _FILE).read_text().splitlines()
    except FileNotFoundError:
        return []
    return ["; ".join(f"{who}: {why}" for who, why in json.loads(line).items()) for line in lines]
