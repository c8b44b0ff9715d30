"""Headers read by workers of a Ray cluster: tasks on groups of scenes, each under a memory limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from encdec_batch.errors import EncdecError
from encdec_batch.plan.opening import HeaderThreads, Wanted
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import SetAside

if TYPE_CHECKING:
    from ray import ObjectRef

GROUP = 64
"""Scenes of a task: 16 at a time wait for the store."""
TASK_BYTES = 768 * 2**20
"""What a task may take: a process with its libraries, 16 small headers, and one of 64 MiB, parsed."""
TASKS = 2
"""At a time, at least."""
CPUS_A_TASK = 16
"""Of a cluster for each task more: a task reads some hundred headers a second, which is work for many blocks."""


class RayHeaders:
    """`Openers` of a cluster. The first group is read by this process: an archive of a few scenes needs no task.

    Args:
        recipe: of the job.
        here: threads of this process.
    """

    group = GROUP

    def __init__(self, recipe: Recipe, here: HeaderThreads) -> None:
        import ray

        self.ahead = max(TASKS, int(ray.cluster_resources().get("CPU", 1)) // CPUS_A_TASK)
        self._here, self._began = here, False
        self._recipe_ref = ray.put(recipe)
        # No CPU: what Ray Data is granted at its start leaves none.
        largest = max((node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        # A task that asks for more than a node has would wait for ever.
        memory = min(TASK_BYTES, int(largest) // 4)
        self._task = ray.remote(num_cpus=0, memory=memory, max_retries=1)(_open_group)

    def start(self, wanted: Sequence[Wanted]) -> Callable[[], list[Planned | SetAside]]:
        if not self._began:
            self._began = True
            return self._here.start(wanted)
        task = self._task.remote(self._recipe_ref, list(wanted))
        return lambda: self._results(task, wanted)

    def _results(self, task: ObjectRef[list[Planned | SetAside]], wanted: Sequence[Wanted]) -> list[Planned | SetAside]:
        import ray

        try:
            return ray.get(task)
        except ray.exceptions.RayError as error:
            _raise_ours(error)
            return list(self._one_by_one(wanted))

    def _one_by_one(self, wanted: Sequence[Wanted]) -> Iterator[Planned | SetAside]:
        """A process that died of a header takes no other scene with it."""
        import ray

        for one in wanted:
            try:
                yield from ray.get(self._task.remote(self._recipe_ref, [one]))
            except ray.exceptions.RayError as error:
                _raise_ours(error)
                yield SetAside(
                    scene_id=one.candidate.scene_id,
                    uri=one.candidate.uri,
                    stage="plan",
                    reason=f"the process that read its header died, twice ({type(error).__name__})",
                    hint="look at the file with gdalinfo, in a process of its own; rewrite it, or leave it out",
                    # Of the machine, not of the file.
                    transient=isinstance(error, ray.exceptions.OutOfMemoryError | ray.exceptions.NodeDiedError),
                )


def _open_group(recipe: Recipe, wanted: list[Wanted]) -> list[Planned | SetAside]:
    with closing(HeaderThreads(recipe)) as threads:
        return threads.start(wanted)()


def _raise_ours(error: Exception) -> None:
    """An error of ours that a task raised is not its process's death."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, EncdecError):
        raise cause from error
