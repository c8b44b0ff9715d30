"""Headers read by workers of a Ray cluster: tasks on groups of scenes, each under a memory limit and with deadlines.

The driver reads none: what kills or hangs a process must not do it to that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from math import ceil
from typing import TYPE_CHECKING, Any

from encdec_batch.errors import EncdecError
from encdec_batch.plan.opening import THREADS, HeaderThreads, Wanted
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.deadline import PROCESS
from encdec_batch.stream.headers import PLAN, HeaderJob, TimedOpening, header_deadline_s, open_alone
from encdec_batch.stream.rules import Rules

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
TRIES = 2
"""Of a group, by Ray; after that one by one."""


class RayHeaders:
    """`Openers` of a cluster.

    Args:
        recipe: of the job.
        rules: deadlines.
        place: where Ray may put a task. It asks for no CPU: what Ray Data is granted at its start leaves none.
    """

    group = GROUP

    def __init__(self, recipe: Recipe, rules: Rules, place: Mapping[str, Any]) -> None:
        import ray

        self.ahead = max(TASKS, int(ray.cluster_resources().get("CPU", 1)) // CPUS_A_TASK)
        self._rules = rules
        self._recipe_ref = ray.put(recipe)
        largest = max((node["Resources"].get("memory", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        # A task that asks for more than a node has would wait for ever.
        memory = min(TASK_BYTES, int(largest) // 4)
        self._task: Any = ray.remote(memory=memory, max_retries=TRIES - 1, **place)(_open_group)
        self._alone: Any = ray.remote(memory=memory, max_retries=0, **place)(_open_alone)

    def start(self, wanted: Sequence[Wanted]) -> Callable[[], list[Planned | SetAside]]:
        task = self._task.remote(self._recipe_ref, list(wanted), self._rules)
        return lambda: self._results(task, wanted)

    def _results(self, task: ObjectRef[list[Planned | SetAside]], wanted: Sequence[Wanted]) -> list[Planned | SetAside]:
        import ray

        # Each try ends by itself, by the deadlines of its headers; this is for a Ray that says nothing any more.
        rounds = ceil(len(wanted) / THREADS)
        limit_s = self._rules.first_s + TRIES * (rounds * header_deadline_s(self._rules) + self._rules.grace_s)
        try:
            opened: list[Planned | SetAside] = _within(task, limit_s)
        except ray.exceptions.RayError as error:
            _raise_ours(error)
            return list(self._one_by_one(wanted))
        return opened

    def _one_by_one(self, wanted: Sequence[Wanted]) -> Iterator[Planned | SetAside]:
        """Each by a process below a task: what kills that one is to blame, what befalls the task is Ray's."""
        import ray

        # Twice: a process that starts, and one that reads, each ended from outside where it does not end itself.
        rules = self._rules
        limit_s = 2 * (rules.first_s + rules.grace_s) + header_deadline_s(rules)
        for one in wanted:
            task = self._alone.remote(self._recipe_ref, one, rules)
            try:
                yield _within(task, limit_s)
            except ray.exceptions.RayError as error:
                _raise_ours(error)
                yield SetAside(
                    scene_id=one.candidate.scene_id,
                    uri=one.candidate.uri,
                    stage=PLAN,
                    reason=f"the task that was to read its header was lost: {_said(error)}",
                    hint="nothing is said against the scene: the next run tries again",
                    transient=True,
                )


def _within(task: ObjectRef[Any], seconds: float) -> Any:
    """What a task gives; one that is not through by then is ended."""
    import ray

    try:
        return ray.get(task, timeout=seconds)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(task, force=True)
        raise


def _open_group(recipe: Recipe, wanted: list[Wanted], rules: Rules) -> list[Planned | SetAside]:
    with closing(HeaderThreads(recipe, TimedOpening(rules, PROCESS))) as threads:
        return threads.start(wanted)()


def _open_alone(recipe: Recipe, wanted: Wanted, rules: Rules) -> Planned | SetAside:
    return open_alone(HeaderJob(recipe=recipe, wanted=wanted, rules=rules))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _raise_ours(error: Exception) -> None:
    """An error of ours that a task raised is not its process's death."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, EncdecError):
        raise cause from error
