"""Blocks and commits that must run alone, on Ray: each a task that waits for a process of its own (`alone.py`)."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encdec_batch.models.package import Package
from encdec_batch.pipeline import Record
from encdec_batch.plan.recipe import Recipe
from encdec_batch.stream.alone import AloneJob, lost, out_of_memory, run_alone
from encdec_batch.stream.guard import Alone
from encdec_batch.stream.rules import Rules

if TYPE_CHECKING:
    from ray import ObjectRef

TRIES = 3
"""Machines that may be lost under a block that runs alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a stream was asked for."""

    recipe: Recipe
    package_ref: ObjectRef[Package]
    lease_n: int
    rules: Rules


class AloneTasks:
    """Runs them where the network may run; Ray repeats none by itself.

    Args:
        order: of the stream.
        place: what a task that holds the network asks Ray for.
        at_a_time: how many.
    """

    def __init__(self, order: Order, place: Mapping[str, Any], *, at_a_time: int) -> None:
        self._order, self._place, self._at_a_time = order, place, at_a_time

    def records(self, apart: list[Alone]) -> Iterator[Record]:
        """One for each. A task that was lost with its machine is run once more, and then again."""
        import ray

        left = [(alone, 1) for alone in apart]
        running: dict[ObjectRef[bytes], tuple[Alone, int]] = {}
        while left or running:
            while left and len(running) < self._at_a_time:
                alone, number = left.pop(0)
                running[self._start(alone)] = alone, number
            [done], _ = ray.wait(list(running), num_returns=1)
            alone, number = running.pop(done)
            try:
                yield pickle.loads(ray.get(done))  # noqa: S301  (written by our own workers)
            except ray.exceptions.OutOfMemoryError:
                yield out_of_memory(alone)
            except ray.exceptions.RayError as error:
                # Whatever the block does, it does to a process below the task: what befalls the task is Ray's.
                if number < TRIES:
                    left.append((alone, number + 1))
                else:
                    yield lost(alone, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")

    def _start(self, alone: Alone) -> ObjectRef[bytes]:
        import ray

        order, commit = self._order, alone.piece is None
        place = {"num_cpus": 0} if commit else self._place
        task: Any = ray.remote(max_retries=0, **place)(_run_alone)
        package_ref = None if commit else order.package_ref
        ref: ObjectRef[bytes] = task.remote(order.recipe, package_ref, alone, order.lease_n, order.rules)
        return ref


def _run_alone(recipe: Recipe, package: Package | None, alone: Alone, lease_n: int, rules: Rules) -> bytes:
    job = AloneJob(recipe=recipe, package=package, alone=alone, lease_n=lease_n, rules=rules)
    return pickle.dumps(run_alone(job), protocol=5)
