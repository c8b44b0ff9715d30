"""Blocks as one Ray Data expression: read -> predict (a pool of actors) -> write.

Rows have one fixed schema whatever happens: `payload`, a pickled value of pipeline.py. A row is one block, so that
Ray's object store holds a few blocks and backpressure reaches the readers.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.models.package import Package
from encdec_batch.pipeline import PredictStage, Record, WriteStage, commit_died, commit_parts
from encdec_batch.plan.item import WorkItem
from encdec_batch.plan.recipe import Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.resolve import resolve
from encdec_batch.process import usable_cpus
from encdec_batch.spec.compute import RayStream as RaySpec
from encdec_batch.spec.job import JobSpec
from encdec_batch.stream.cluster_fit import check_node_fits
from encdec_batch.stream.deadline import PROCESS
from encdec_batch.stream.guard import Alone, Guard
from encdec_batch.stream.ray_alone import AloneTasks, Order
from encdec_batch.stream.ray_headers import RayHeaders
from encdec_batch.stream.ray_ledger import RayLedger, cannot_load, loading, start_ledger
from encdec_batch.stream.ray_session import ray_session
from encdec_batch.stream.rules import Rules

if TYPE_CHECKING:
    from ray import ObjectRef

SEGMENT = 20_000
"""Work items of one Ray Data execution: plans of any length take bounded memory in the driver."""
IN_FLIGHT = 2
"""Blocks an actor has or waits for; with 1 Ray Data never scales a pool up."""
STAGE_CPUS = 0
"""Logical CPUs of a reader or writer, whose number `readers` and `writers` bound. With any more, Ray Data, which grants
an execution what its operators ask for at the start, hands out no block to be written until readers are through:
predicted blocks pile up in the object store meanwhile."""
LEAST_COMMITS = 2
"""Scenes that are assembled at a time, at least; otherwise as many as there are workers."""
RAYS_OWN = 5
"""Actors beside those of the pool: our ledger; Ray Data's statistics, locations, autoscaling."""
LOCAL_STORE_GIB = 2.0
"""Of a local Ray: input and output of a block are at most 32 MiB, and a dozen are in flight; mapped, not filled."""

Row = dict[str, Any]


class RayHost:
    """A Ray of this run's own, or a cluster.

    Args:
        package: the network; it is put into Ray's object store once.
        ray_spec: pool, resources and address.
        verbose: let Ray talk.
        rules: of deaths and deadlines.
    """

    def __init__(
        self, package: Package, ray_spec: RaySpec, *, verbose: bool = False, rules: Rules | None = None
    ) -> None:
        self._package, self._ray_spec, self._verbose = package, ray_spec, verbose
        self._rules = rules or Rules()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        store_bytes = int((self._ray_spec.object_store_gib or LOCAL_STORE_GIB) * 2**30)
        self._stack.enter_context(
            ray_session(
                self._ray_spec.address,
                object_store_bytes=store_bytes,
                processes=_processes(self._ray_spec),
                verbose=self._verbose,
            )
        )
        import ray

        try:
            self._pool = _pool_of(self._ray_spec)
            hint = "ask for less in compute.stream, or add such a node"
            address = self._ray_spec.address
            check_node_fits(self._pool.place, address, what="a worker with the network", hint=hint)
            check_node_fits(self._pool.io_place, address, what="a reader", hint=hint)
        except BaseException:
            self._stack.close()
            raise
        self._package_ref = ray.put(self._package)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def resolve(self, spec: JobSpec) -> Resolved:
        """Asks a worker of the pool's kind: on a cluster the driver may have another device."""
        compute = spec.compute
        if not self._pool.gpus and compute.device == "cuda":
            raise SpecError(
                "compute.device is cuda, but the workers are given no GPU",
                hint="set compute.stream.gpus_per_worker, or start Ray where it sees the GPUs",
            )
        # Ray hides no GPU from an actor that was given none: it must not find one by itself.
        device = compute.device if self._pool.gpus else "cpu"
        asked = spec.model_copy(update={"compute": compute.model_copy(update={"device": device})})
        if self._ray_spec.address == "local" and spec.tiling.core != "auto":
            return resolve(asked, self._package)
        import ray

        task = ray.remote(**self._pool.place)(resolve)
        resolved: Resolved = _answer(task.remote(asked, self._package_ref))
        return resolved

    def openers(self, recipe: Recipe) -> RayHeaders:
        return RayHeaders(recipe, self._rules, self._pool.io_place)

    def stream(self, recipe: Recipe, *, lease_n: int) -> RayDataStream:
        order = Order(recipe=recipe, package_ref=self._package_ref, lease_n=lease_n, rules=self._rules)
        return RayDataStream(order, self._pool)


class RayDataStream:
    """The stages of pipeline.py on Ray."""

    def __init__(self, order: Order, pool: Pool) -> None:
        import ray

        self._order, self._pool = order, pool
        output = order.recipe.spec.output
        ledger = start_ledger(output.uri, output.storage, order.rules, lease_n=order.lease_n)
        self._watched = _Watched(ledger, order.rules)
        self._commit_task = ray.remote(max_retries=-1, **pool.io_place)(_commit)
        self._commits: dict[ObjectRef[bytes], ScenePlan] = {}
        self._waiting: list[ScenePlan] = []
        self._commits_apart: list[Alone] = []
        self._alone = AloneTasks(order, pool.place, at_a_time=pool.workers)

    def records(self, items: Iterable[WorkItem]) -> Iterator[Record]:
        left = iter(items)
        while segment := list(islice(left, SEGMENT)):
            apart: list[Alone] = []
            for row in _as_ours(self._expression(segment)):
                value = pickle.loads(row["payload"])  # noqa: S301  (written by our own workers)
                if isinstance(value, Alone):
                    apart.append(value)
                else:
                    yield value
            # Only now: while the expression runs, its actors hold every GPU.
            yield from self._alone.records(apart)

    def _expression(self, items: list[WorkItem]) -> Iterator[Row]:
        import ray.data
        from ray.data import ActorPoolStrategy, TaskPoolStrategy

        pool, recipe, watched = self._pool, self._order.recipe, self._watched
        spec = pool.spec
        tables = [pa.table({"payload": pa.array([item.to_json()], pa.large_binary())}) for item in items]
        strategy = ActorPoolStrategy(
            min_size=min(spec.min_workers or pool.workers, pool.workers),
            max_size=pool.workers,
            max_tasks_in_flight_per_actor=IN_FLIGHT,
            # On a GPU a second call copies its block while the first computes; on a CPU one thread is one core.
            max_concurrent_calls_per_actor=2 if pool.gpus else 1,
            enable_true_multi_threading=bool(pool.gpus),
        )
        return iter(
            ray.data.from_arrow(tables)
            .flat_map(
                _Reading(recipe, watched),
                compute=TaskPoolStrategy(size=min(spec.readers, len(items))),
                **pool.io_place,
            )
            .map_batches(
                _Predicting,
                # By reference: Ray may show what it is given, and names of a source may be private.
                fn_constructor_args=(ray.put(recipe), self._order.package_ref, watched),
                batch_size=1,
                compute=strategy,
                **pool.place,
            )
            .map(
                _Writing(recipe, self._order.lease_n, watched),
                compute=TaskPoolStrategy(size=spec.writers),
                **pool.io_place,
            )
            .iter_rows()
        )

    def commit(self, scene: ScenePlan) -> None:
        self._waiting.append(scene)
        self._start_commits()

    def commits(self, *, wait: bool) -> Iterator[Record]:
        import ray

        while self._commits:
            done, _ = ray.wait(list(self._commits), num_returns=1, timeout=None if wait else 0)
            if not done:
                return
            scene = self._commits.pop(done[0])
            self._start_commits()
            try:
                value = pickle.loads(_answer(done[0]))  # noqa: S301  (written by our own workers)
            except EncdecError as error:
                yield commit_died(scene, error)
            else:
                if isinstance(value, Alone):
                    self._commits_apart.append(value)
                else:
                    yield value
        if wait:
            apart, self._commits_apart = self._commits_apart, []
            yield from self._alone.records(apart)

    def _start_commits(self) -> None:
        order = self._order
        while self._waiting and len(self._commits) < max(LEAST_COMMITS, self._pool.workers):
            scene = self._waiting.pop(0)
            ref = self._commit_task.remote(order.recipe, scene.to_json(), order.lease_n, self._watched)
            self._commits[ref] = scene


class _Watched:
    """From the driver to its workers: whom to ask, and how long things may take."""

    def __init__(self, ledger: RayLedger, rules: Rules) -> None:
        self.ledger, self.rules = ledger, rules

    def guard(self) -> Guard:
        return Guard(self.ledger, self.rules, PROCESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The actors that hold the network, as this cluster can have them."""

    spec: RaySpec
    gpus: float
    """Of each actor."""
    workers: int
    """At most."""

    @property
    def place(self) -> dict[str, Any]:
        """Where Ray may put an actor."""
        place: dict[str, Any] = {"num_cpus": self.spec.cpus_per_worker}
        if self.gpus:
            place["num_gpus"] = self.gpus
        if self.spec.labels:
            place["label_selector"] = dict(self.spec.labels)
        return place

    @property
    def io_place(self) -> dict[str, Any]:
        """Where it may put what reads, writes and commits."""
        place: dict[str, Any] = {"num_cpus": STAGE_CPUS}
        if self.spec.io_labels:
            place["label_selector"] = dict(self.spec.io_labels)
        return place


def _processes(spec: RaySpec) -> int:
    """Of a Ray of this run's own: predicting, reading, writing, committing, and Ray Data's own few."""
    workers = spec.max_workers or usable_cpus()
    return workers + spec.readers + spec.writers + max(LEAST_COMMITS, workers) + RAYS_OWN


def _pool_of(spec: RaySpec) -> Pool:
    import ray

    there = ray.cluster_resources()
    gpus = spec.gpus_per_worker
    if gpus is None:
        gpus = 1.0 if there.get("GPU", 0) else 0.0
    room = there.get("GPU", 0) / gpus if gpus else there.get("CPU", 1)
    return Pool(spec=spec, gpus=gpus, workers=spec.max_workers or max(1, int(room)))


def _answer(ref: ObjectRef[Any]) -> Any:
    """What a task returns; its error as ours.

    Raises:
        EncdecError: the task raised, or its worker died.
    """
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        raise _ours(error) from error


def _as_ours(rows: Iterator[Row]) -> Iterator[Row]:
    import ray

    try:
        yield from rows
    except ray.exceptions.RayError as error:
        raise _ours(error) from error


def _ours(error: Exception) -> EncdecError:
    """The error of ours that a worker raised, or one line for what Ray says."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, EncdecError):
        return cause
    said = " ".join(str(error).split())[-300:]
    return EncdecError(f"Ray gave up: {type(error).__name__}: {said}", hint="run again: it goes on where this run was")


class _Reading:
    """A work item to its blocks; a generator, so that blocks leave as they are read."""

    def __init__(self, recipe: Recipe, watched: _Watched) -> None:
        self._recipe, self._watched = recipe, watched

    def __call__(self, row: Row) -> Iterator[Row]:
        for value in self._watched.guard().read(self._recipe, WorkItem.from_json(row["payload"])):
            yield _packed(value)


class _Predicting:
    """An actor of the pool: the network, loaded once."""

    def __init__(self, recipe_ref: ObjectRef[Recipe], package_ref: ObjectRef[Package], watched: _Watched) -> None:
        import ray
        import torch

        torch.set_num_threads(1)
        self._guard = watched.guard()
        with self._guard.doing(loading(str(ray.get_runtime_context().get_actor_id()))) as may:
            if not may:
                raise cannot_load(watched.rules.deaths)
            self._stage = PredictStage(ray.get(recipe_ref), ray.get(package_ref))

    def __call__(self, batch: Row) -> Row:
        value = pickle.loads(batch["payload"][0])  # noqa: S301  (written by our own workers)
        made = value if isinstance(value, Record | Alone) else self._guard.predict(self._stage, value)
        return {"payload": [pickle.dumps(made, protocol=5)]}


class _Writing:
    """Encodes and stores; connects when it is first used in a process."""

    def __init__(self, recipe: Recipe, lease_n: int, watched: _Watched) -> None:
        self._stage, self._watched = WriteStage(recipe, lease_n), watched

    def __call__(self, row: Row) -> Row:
        value = pickle.loads(row["payload"])  # noqa: S301  (written by our own workers)
        return _packed(value if isinstance(value, Record | Alone) else self._watched.guard().write(self._stage, value))


def _packed(value: object) -> Row:
    return {"payload": pickle.dumps(value, protocol=5)}


def _commit(recipe: Recipe, scene_json: bytes, lease_n: int, watched: _Watched) -> bytes:
    scene = ScenePlan.from_json(scene_json)
    made = watched.guard().commit(lambda: commit_parts(recipe, scene, lease_n), scene)
    return pickle.dumps(made, protocol=5)
