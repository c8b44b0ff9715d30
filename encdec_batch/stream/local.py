"""Blocks in this one process: one thread reads, as many as there are cores run the network and write.

Where there are many small scenes, processes help (`small_scenes.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from encdec_batch.models.package import Package
from encdec_batch.pipeline import Predicted, PredictStage, Read, Record, WriteStage, commit_parts
from encdec_batch.plan.item import WorkItem
from encdec_batch.plan.opening import HeaderThreads
from encdec_batch.plan.recipe import Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.resolve import resolve
from encdec_batch.spec.job import JobSpec
from encdec_batch.stream.alone import AloneJob, run_alone
from encdec_batch.stream.deadline import PROCESS, is_own_process
from encdec_batch.stream.guard import Alone, Guard
from encdec_batch.stream.headers import GuardedOpening
from encdec_batch.stream.local_ledger import WitnessedLedger
from encdec_batch.stream.local_room import AFTER, THREADS, can_help, num_processes, num_threads
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.small_child import SmallJob
from encdec_batch.stream.small_scenes import Made, SmallScenes

COMMITS = 2
"""Scenes that are assembled at a time."""


class LocalHost:
    """This process.

    Args:
        package: the network.
        workers: threads that run the network; None: one for each core that this process may use, two on a GPU.
        rules: of deaths and deadlines.
        witnessed: deaths of this process are marked in the output; otherwise only those before it are heeded.
        helped_after: so many small scenes, and processes help (`local_room.py` says how many).
    """

    def __init__(
        self,
        package: Package,
        *,
        workers: int | None = None,
        rules: Rules | None = None,
        witnessed: bool = True,
        helped_after: int = AFTER,
    ) -> None:
        self._package, self._workers, self._rules = package, workers, rules or Rules()
        self._stack, self._helped_after = ExitStack(), helped_after
        self._witnessed, self._guards = witnessed, dict[str, tuple[Guard, WitnessedLedger]]()

    def resolve(self, spec: JobSpec) -> Resolved:
        return resolve(spec, self._package)

    def openers(self, recipe: Recipe) -> HeaderThreads:
        opening = GuardedOpening(self._guard(recipe)[0], self._rules)
        return self._stack.enter_context(closing(HeaderThreads(recipe, opening)))

    def stream(self, recipe: Recipe, *, lease_n: int) -> LocalStream:
        workers = num_threads(self._workers, recipe.resolved.torch_device)
        order = LocalOrder(recipe=recipe, package=self._package, lease_n=lease_n, rules=self._rules)
        guard, ledger = self._guard(recipe)
        helpers = _Helpers(order, ledger, after=self._helped_after, number=num_processes(recipe, workers))
        self._stack.enter_context(closing(helpers))
        return self._stack.enter_context(closing(LocalStream(order, guard, helpers, workers=workers)))

    def _guard(self, recipe: Recipe) -> tuple[Guard, WitnessedLedger]:
        """One for headers and blocks of an output; its ledger is closed behind all that tells it."""
        output = recipe.spec.output
        if output.uri not in self._guards:
            ledger = WitnessedLedger(output.uri, output.storage, self._rules, witnessed=self._witnessed)
            self._stack.enter_context(closing(ledger))
            self._guards[output.uri] = Guard(ledger, self._rules, PROCESS if is_own_process() else None), ledger
        return self._guards[output.uri]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOrder:
    """What a stream was asked for."""

    recipe: Recipe
    package: Package
    lease_n: int
    rules: Rules


class _Helpers:
    """Processes for small scenes, from the moment on that there have been many."""

    def __init__(self, order: LocalOrder, ledger: WitnessedLedger, *, after: int, number: int) -> None:
        self._order, self._ledger, self._after, self._number = order, ledger, after, number
        self._seen = 0
        self._started: SmallScenes | None = None

    def give(self, item: WorkItem) -> bool:
        """Whether they take it."""
        output = self._order.recipe.spec.output.uri
        if self._number == 0 or not all(can_help(piece.scene, output) for piece in item.pieces):
            return False
        self._seen += len(item.pieces)
        if self._seen <= self._after:
            return False
        if self._started is None:
            order = self._order
            job = SmallJob(
                recipe=order.recipe,
                package=order.package,
                lease_n=order.lease_n,
                rules=order.rules,
                threads=THREADS,
            )
            self._started = SmallScenes(job, self._ledger, self._number)
            self._started.start()
        if self._started.has_given_up:
            return False
        self._started.give(item)
        return True

    def made(self, *, all_of_it: bool) -> Iterator[Made]:
        """What has come back; as long as they have more than enough, or all is wanted, that is waited for."""
        scenes = self._started
        while scenes is not None and scenes.out:
            made = scenes.take(wait=all_of_it or scenes.is_full)
            if made is None:
                return
            yield made

    def close(self) -> None:
        if self._started is not None:
            self._started.close()


class LocalStream:
    """The stages of pipeline.py on threads; `close` waits for what is running."""

    def __init__(self, order: LocalOrder, guard: Guard, helpers: _Helpers, *, workers: int) -> None:
        self._recipe, self._package, self._lease_n = order.recipe, order.package, order.lease_n
        self._rules, self._guard, self._helpers, self._workers = order.rules, guard, helpers, workers
        self._write = WriteStage(order.recipe, order.lease_n)
        self._own = threading.local()
        self._making = threading.Lock()
        self._shared: PredictStage | None = None
        self._reader = ThreadPoolExecutor(1, "read")
        self._pool = ThreadPoolExecutor(workers, "predict")
        self._committers = ThreadPoolExecutor(COMMITS, "commit")
        self._commits: set[Future[Record]] = set()

    def records(self, items: Iterable[WorkItem]) -> Iterator[Record]:
        running: set[Future[Record | Alone]] = set()
        apart: list[Alone] = []
        back: list[WorkItem] = []
        """From processes that could not take it."""
        for item in items:
            if self._helpers.give(item):
                yield from _records_of(self._helpers.made(all_of_it=False), apart, back)
            else:
                back.append(item)
            while back:
                yield from self._here(back.pop(), running, apart)
        yield from _records_of(self._helpers.made(all_of_it=True), apart, back)
        while back:
            yield from self._here(back.pop(), running, apart)
        yield from _records_of((future.result() for future in running), apart, back)
        for alone in apart:
            yield self._run_alone(alone)

    def _here(self, item: WorkItem, running: set[Future[Record | Alone]], apart: list[Alone]) -> Iterator[Record]:
        """An item by the threads of this process; what still runs then is in `running`."""
        values = self._guard.read(self._recipe, item)
        while (read := self._next(values)) is not None:
            if isinstance(read, Record):
                yield read
                continue
            if isinstance(read, Alone):
                apart.append(read)
                continue
            running.add(self._pool.submit(self._finish, read))
            # One block more than there are threads: the next one is read while they are busy.
            if len(running) > self._workers:
                ended = wait(running, return_when=FIRST_COMPLETED).done
                running -= ended
                yield from _records_of((future.result() for future in ended), apart, [])

    def _next(self, values: Iterator[Read | Record | Alone]) -> Read | Record | Alone | None:
        """The next one, read by a thread of its own. Python interrupts the main thread: in a callback of GDAL's, which
        swallows what is raised there, that would pass for a fault of the file.
        """
        return self._reader.submit(next, values, None).result()

    def commit(self, scene: ScenePlan) -> None:
        self._commits.add(self._committers.submit(self._commit, scene))

    def commits(self, *, wait: bool) -> Iterator[Record]:
        ended = {future for future in self._commits if wait or future.done()}
        self._commits -= ended
        yield from (future.result() for future in ended)

    def close(self) -> None:
        for pool in (self._reader, self._pool, self._committers):
            pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self, read: Read) -> Record | Alone:
        predicted = self._guard.predict(self._predict, read)
        return predicted if isinstance(predicted, Record | Alone) else self._guard.write(self._write, predicted)

    def _commit(self, scene: ScenePlan) -> Record:
        made = self._guard.commit(lambda: commit_parts(self._recipe, scene, self._lease_n), scene)
        return self._run_alone(made) if isinstance(made, Alone) else made

    def _run_alone(self, alone: Alone) -> Record:
        package = None if alone.piece is None else self._package
        return run_alone(
            AloneJob(recipe=self._recipe, package=package, alone=alone, lease_n=self._lease_n, rules=self._rules)
        )

    def _predict(self, read: Read) -> Predicted | Record:
        return self._predict_stage()(read)

    def _predict_stage(self) -> PredictStage:
        """On a CPU a network of each thread's own, on a GPU one for all."""
        if self._recipe.resolved.torch_device != "cpu":
            with self._making:
                self._shared = self._shared or PredictStage(self._recipe, self._package)
            return self._shared
        if not hasattr(self._own, "stage"):
            import torch

            # OpenMP counts threads per calling thread: each of ours computes on its own core.
            torch.set_num_threads(1)
            self._own.stage = PredictStage(self._recipe, self._package)
        stage: PredictStage = self._own.stage
        return stage


def _records_of(made: Iterable[Made], apart: list[Alone], back: list[WorkItem]) -> Iterator[Record]:
    """The records; what is to be run alone, and what is given back, goes to the others."""
    for one in made:
        if isinstance(one, Alone):
            apart.append(one)
        elif isinstance(one, WorkItem):
            back.append(one)
        else:
            yield one
