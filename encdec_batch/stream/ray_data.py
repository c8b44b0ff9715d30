"""Blocks as one Ray Data expression: read -> predict (a pool of actors) -> write.

Rows have one fixed schema whatever happens: `payload`, a pickled value of pipeline.py. A row is one block, so that
Ray's object store holds a few blocks and backpressure reaches the readers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from encdec_batch.models.package import Package
from encdec_batch.pipeline import PredictStage, Record, WriteStage, commit_parts, read_item
from encdec_batch.plan.item import WorkItem
from encdec_batch.plan.recipe import Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.resolve import resolve
from encdec_batch.spec.compute import RayStream as RaySpec
from encdec_batch.spec.job import JobSpec
from encdec_batch.stream.ray_session import ray_session

if TYPE_CHECKING:
    from ray import ObjectRef

SEGMENT = 20_000
"""Work items of one Ray Data execution: plans of any length take bounded memory in the driver."""
IN_FLIGHT = 2
"""Blocks an actor has or waits for; with 1 Ray Data never scales a pool up."""
STAGE_CPUS = 0.1
"""Logical CPUs of a reader or writer: they wait for the store more than they compute."""
COMMITS = 2
"""Scenes that are assembled at a time."""
LOCAL_STORE_GIB = 2.0
"""Of a local Ray: input and output of a block are at most 32 MiB, and a dozen are in flight; mapped, not filled."""

Row = dict[str, Any]


class RayHost:
    """A Ray of this run's own, or a cluster.

    Args:
        package: the network; it is put into Ray's object store once.
        ray_spec: pool, resources and address.
        verbose: let Ray talk.
    """

    def __init__(self, package: Package, ray_spec: RaySpec, *, verbose: bool = False) -> None:
        self._package, self._ray_spec, self._verbose = package, ray_spec, verbose
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        store_bytes = int((self._ray_spec.object_store_gib or LOCAL_STORE_GIB) * 2**30)
        self._stack.enter_context(
            ray_session(self._ray_spec.address, object_store_bytes=store_bytes, verbose=self._verbose)
        )
        import ray

        self._package_ref = ray.put(self._package)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def resolve(self, spec: JobSpec) -> Resolved:
        """Asks a worker of the pool's kind: on a cluster the driver may have another device."""
        if self._ray_spec.address == "local" and spec.tiling.core != "auto":
            return resolve(spec, self._package)
        import ray

        task = ray.remote(**_place(self._ray_spec))(resolve)
        resolved: Resolved = ray.get(task.remote(spec, self._package_ref))
        return resolved

    def stream(self, recipe: Recipe, *, lease_n: int) -> RayDataStream:
        return RayDataStream(recipe, self._package_ref, self._ray_spec, lease_n=lease_n)


class RayDataStream:
    """The stages of pipeline.py on Ray."""

    def __init__(self, recipe: Recipe, package_ref: ObjectRef[Package], spec: RaySpec, *, lease_n: int) -> None:
        import ray

        self._recipe, self._package_ref, self._lease_n, self._spec = recipe, package_ref, lease_n, spec
        self._commit_task = ray.remote(num_cpus=0, max_retries=3)(_commit)
        self._commits: list[ObjectRef[bytes]] = []
        self._waiting: list[ScenePlan] = []
        self._workers = spec.max_workers or _all_workers(spec)

    def records(self, items: Iterable[WorkItem]) -> Iterator[Record]:
        left = iter(items)
        while segment := list(islice(left, SEGMENT)):
            for row in self._expression(segment):
                yield pickle.loads(row["payload"])  # noqa: S301  (written by our own workers)

    def _expression(self, items: list[WorkItem]) -> Iterator[Row]:
        import ray.data
        from ray.data import ActorPoolStrategy, TaskPoolStrategy

        spec, recipe = self._spec, self._recipe
        tables = [pa.table({"payload": pa.array([item.to_json()], pa.large_binary())}) for item in items]
        pool = ActorPoolStrategy(
            min_size=min(spec.min_workers or self._workers, self._workers),
            max_size=self._workers,
            max_tasks_in_flight_per_actor=IN_FLIGHT,
            # On a GPU a second call copies its block while the first computes; on a CPU one thread is one core.
            max_concurrent_calls_per_actor=2 if spec.gpus_per_worker else 1,
            enable_true_multi_threading=bool(spec.gpus_per_worker),
        )
        return iter(
            ray.data.from_arrow(tables)
            .flat_map(_Reading(recipe), num_cpus=STAGE_CPUS, compute=TaskPoolStrategy(size=spec.readers))
            .map_batches(
                _Predicting,
                fn_constructor_args=(recipe, self._package_ref),
                batch_size=1,
                compute=pool,
                **_place(spec),
            )
            .map(_Writing(recipe, self._lease_n), num_cpus=STAGE_CPUS, compute=TaskPoolStrategy(size=spec.writers))
            .iter_rows()
        )

    def commit(self, scene: ScenePlan) -> None:
        self._waiting.append(scene)
        self._start_commits()

    def commits(self, *, wait: bool) -> Iterator[Record]:
        import ray

        while self._commits:
            done, self._commits = ray.wait(self._commits, num_returns=1, timeout=None if wait else 0)
            self._start_commits()
            if not done:
                return
            for ref in done:
                yield pickle.loads(ray.get(ref))  # noqa: S301  (written by our own workers)

    def _start_commits(self) -> None:
        while self._waiting and len(self._commits) < COMMITS:
            scene = self._waiting.pop(0)
            self._commits.append(self._commit_task.remote(self._recipe, scene.to_json(), self._lease_n))


def _place(spec: RaySpec) -> dict[str, Any]:
    """Where Ray may put an actor of the pool."""
    place: dict[str, Any] = {"num_cpus": spec.cpus_per_worker}
    if spec.gpus_per_worker:
        place["num_gpus"] = spec.gpus_per_worker
    if spec.labels:
        place["label_selector"] = dict(spec.labels)
    return place


def _all_workers(spec: RaySpec) -> int:
    import ray

    there = ray.cluster_resources()
    if spec.gpus_per_worker:
        return max(1, int(there.get("GPU", 0) / spec.gpus_per_worker))
    return max(1, int(there.get("CPU", 1)))


class _Reading:
    """A work item to its blocks; a generator, so that blocks leave as they are read."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe

    def __call__(self, row: Row) -> Iterator[Row]:
        for value in read_item(self._recipe, WorkItem.from_json(row["payload"])):
            yield _packed(value)


class _Predicting:
    """An actor of the pool: the network, loaded once."""

    def __init__(self, recipe: Recipe, package_ref: ObjectRef[Package]) -> None:
        import ray
        import torch

        torch.set_num_threads(1)
        self._stage = PredictStage(recipe, ray.get(package_ref))

    def __call__(self, batch: Row) -> Row:
        value = pickle.loads(batch["payload"][0])  # noqa: S301  (written by our own workers)
        made = value if isinstance(value, Record) else self._stage(value)
        return {"payload": [pickle.dumps(made, protocol=5)]}


class _Writing:
    """Encodes and stores; connects when it is first used in a process."""

    def __init__(self, recipe: Recipe, lease_n: int) -> None:
        self._stage = WriteStage(recipe, lease_n)

    def __call__(self, row: Row) -> Row:
        value = pickle.loads(row["payload"])  # noqa: S301  (written by our own workers)
        return _packed(value if isinstance(value, Record) else self._stage(value))


def _packed(value: object) -> Row:
    return {"payload": pickle.dumps(value, protocol=5)}


def _commit(recipe: Recipe, scene: bytes, lease_n: int) -> bytes:
    return pickle.dumps(commit_parts(recipe, ScenePlan.from_json(scene), lease_n), protocol=5)
