"""Ray Data's executor, which lives in the process that learns, kept from taking a core of its own.

Its loop waits for tasks to have something, and reads it unless enough is waiting to be used. Where data are made faster
than they are learned from, all tasks always have something, which is not read: in Ray 2.60 the loop then goes round
without a pause, beside the loop that learns and for the same interpreter lock (docs/results.md).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ray.data._internal.execution.execution_callback import ExecutionCallback

if TYPE_CHECKING:
    from ray.data._internal.execution.streaming_executor import StreamingExecutor

STEP_S = 0.02
"""Least time between two rounds. Ray itself waits up to 0.1 s for a task; each round takes all that may be taken."""


class Paced(ExecutionCallback):
    """One for each execution; called by its thread after each round."""

    def __init__(self) -> None:
        self._last = 0.0

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        del executor
        time.sleep(max(0.0, self._last + STEP_S - time.monotonic()))
        self._last = time.monotonic()
