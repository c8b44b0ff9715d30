"""Blocks in this one process: one thread reads, as many as there are cores run the network and write."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Self

from encdec_batch.models.package import Package
from encdec_batch.pipeline import PredictStage, Read, Record, WriteStage, commit_parts, read_item
from encdec_batch.plan.item import WorkItem
from encdec_batch.plan.opening import HeaderThreads
from encdec_batch.plan.recipe import Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.predict.resolve import resolve
from encdec_batch.spec.job import JobSpec

DOUBLE_BUFFER = 2
"""Threads that share the network on a GPU: one computes while the other copies."""
COMMITS = 2
"""Scenes that are assembled at a time."""


class LocalHost:
    """This process.

    Args:
        package: the network.
        workers: threads that run the network; None: one for each core, two on a GPU.
    """

    def __init__(self, package: Package, *, workers: int | None = None) -> None:
        self._package, self._workers = package, workers
        self._stack = ExitStack()

    def resolve(self, spec: JobSpec) -> Resolved:
        return resolve(spec, self._package)

    def openers(self, recipe: Recipe) -> HeaderThreads:
        return self._stack.enter_context(closing(HeaderThreads(recipe)))

    def stream(self, recipe: Recipe, *, lease_n: int) -> LocalStream:
        on_cpu = recipe.resolved.torch_device == "cpu"
        workers = self._workers or (len(os.sched_getaffinity(0)) if on_cpu else DOUBLE_BUFFER)
        return self._stack.enter_context(closing(LocalStream(recipe, self._package, lease_n=lease_n, workers=workers)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


class LocalStream:
    """The stages of pipeline.py on threads; `close` waits for what is running."""

    def __init__(self, recipe: Recipe, package: Package, *, lease_n: int, workers: int) -> None:
        self._recipe, self._package, self._lease_n, self._workers = recipe, package, lease_n, workers
        self._write = WriteStage(recipe, lease_n)
        self._own = threading.local()
        self._making = threading.Lock()
        self._shared: PredictStage | None = None
        self._pool = ThreadPoolExecutor(workers, "predict")
        self._committers = ThreadPoolExecutor(COMMITS, "commit")
        self._commits: set[Future[Record]] = set()

    def records(self, items: Iterable[WorkItem]) -> Iterator[Record]:
        running: set[Future[Record]] = set()
        for item in items:
            for read in read_item(self._recipe, item):
                if isinstance(read, Record):
                    yield read
                    continue
                running.add(self._pool.submit(self._finish, read))
                # One block more than there are threads: the next one is read while they are busy.
                if len(running) > self._workers:
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ended)
        yield from (future.result() for future in running)

    def commit(self, scene: ScenePlan) -> None:
        self._commits.add(self._committers.submit(commit_parts, self._recipe, scene, self._lease_n))

    def commits(self, *, wait: bool) -> Iterator[Record]:
        ended = {future for future in self._commits if wait or future.done()}
        self._commits -= ended
        yield from (future.result() for future in ended)

    def close(self) -> None:
        for pool in (self._pool, self._committers):
            pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self, read: Read) -> Record:
        predicted = self._predict_stage()(read)
        return predicted if isinstance(predicted, Record) else self._write(predicted)

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
