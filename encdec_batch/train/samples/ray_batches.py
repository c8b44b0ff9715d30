"""Batches made by other processes: one Ray Data expression from sample numbers to batches, in order.

A row is one batch, so that Ray's object store holds a few batches and backpressure reaches whoever makes them. The
expression goes on over the ends of epochs: its actors keep what they have decoded, and the first batches of an epoch
are made while the last one is being validated.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from encdec_batch.errors import EncdecError, unexpected
from encdec_batch.spec.train_data import DataSpec, LoadingSpec
from encdec_batch.train.batch import Batch, Turn
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.samples.local_batches import check_turn
from encdec_batch.train.samples.sample import Samples

if TYPE_CHECKING:
    from ray import ObjectRef

_RUN = 4
"""Batches that an actor is asked for at a time, one after the other: each costs Ray a block and a task."""
_STEPS = 4096
"""Batches of one expression, at most, whose numbers are in Ray's store from its start; the next goes on from there."""
_IN_FLIGHT = 2
"""Runs that an actor has or waits for; with 1 it would wait for the driver between two."""

Row = dict[str, Any]


class _Numbers(NamedTuple):
    """Samples of one batch."""

    seed: int
    epoch: int
    first: int
    stop: int


class RayBatches:
    """`Batches` made by a pool of actors. Ray must have been started. Used by one thread; pickles without its actors.

    Epochs that follow each other are one stream; any other turn ends it and begins a new one.
    """

    def __init__(self, prepared: Prepared, data: DataSpec) -> None:
        self._prepared, self._data = prepared, data
        self._rows: Iterator[Row] | None = None
        self._next: Turn | None = None

    def __reduce__(self) -> tuple[type[RayBatches], tuple[Prepared, DataSpec]]:
        return type(self), (self._prepared, self._data)

    @property
    def num_samples(self) -> int:
        return self._prepared.cells.num_samples

    def epoch(self, turn: Turn) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        check_turn(turn, self.num_samples)
        if turn != self._next:
            self.close()
        for number, _ in enumerate(turn.steps(self.num_samples)):
            at = replace(turn, start=turn.start + number * turn.global_batch)
            batch = self._take(at)
            # Before it is given away: a consumer that stops here goes on elsewhere, and that is another turn.
            self._next = self._after(at)
            yield batch

    def close(self) -> None:
        """Ends the actors. The next epoch starts new ones."""
        rows, self._rows, self._next = self._rows, None, None
        if rows is not None:
            rows.close()  # type: ignore[attr-defined]  # a generator of ours

    def _take(self, turn: Turn) -> Batch:
        row = None if self._rows is None else next(self._rows, None)
        if row is None:
            self._rows = _rows(self._prepared, self._data, turn)
            row = next(self._rows)
        made = pickle.loads(row["payload"])  # noqa: S301  (written by our own workers)
        if isinstance(made, EncdecError):
            self.close()
            raise made
        batch: Batch = made
        return batch

    def _after(self, turn: Turn) -> Turn:
        """What follows without a break."""
        start = turn.start + turn.global_batch
        if start + turn.global_batch <= self.num_samples:
            return replace(turn, start=start)
        return replace(turn, epoch=turn.epoch + 1, start=0)


def _rows(prepared: Prepared, data: DataSpec, turn: Turn) -> Iterator[Row]:
    """Pickled batches, or the error of ours that kept one from being made, from this turn on."""
    import ray

    try:
        yield from _expression(prepared, data, turn)
    except ray.exceptions.RayError as error:
        said = " ".join(str(error).split())[-300:]
        raise EncdecError(
            f"Ray gave up making batches: {type(error).__name__}: {said}",
            hint="started once more the training goes on from its newest checkpoint, if it has one",
        ) from error


def _expression(prepared: Prepared, data: DataSpec, turn: Turn) -> Iterator[Row]:
    import ray.data
    from ray.data import ActorPoolStrategy, DataContext, ExecutionResources

    from encdec_batch.train.samples.ray_pace import Paced

    runs = list(_runs(turn, prepared.cells.num_samples))
    context = DataContext.get_current().copy()
    # One row, one Ray block.
    context.target_max_block_size = 1
    context.max_errored_blocks = 0
    # Validation may take longer than Ray Data puts up with standing still.
    context.execution_no_progress_timeout_s = -1
    context.execution_options.preserve_order = True
    context.custom_execution_callback_classes = [*context.custom_execution_callback_classes, Paced]
    loading = data.loading
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        # Whoever is not next in order makes a run and waits with it.
        object_store_memory=(loading.ahead + _RUN * loading.workers) * batch_bytes(prepared, data, len(turn.share))
    )
    with DataContext.current(context):
        # Each run a block of its own, put there by the driver: a stage that hands out numbers one by one costs more
        # than making the batches (docs/decisions/019-training-data.md).
        made = ray.data.from_items(
            [{"run": pickle.dumps(run)} for run in runs], override_num_blocks=len(runs)
        ).map_batches(
            _Making,
            # By reference: Ray may show what it is given, and names of files may be private.
            fn_constructor_args=(ray.put((prepared, data)),),
            batch_size=1,
            num_cpus=loading.cpus_per_worker,
            compute=_pool(loading, ActorPoolStrategy),
        )
        return iter(made.iter_rows())


def _pool(loading: LoadingSpec, strategy: type[Any]) -> Any:
    return strategy(size=loading.workers, max_tasks_in_flight_per_actor=_IN_FLIGHT)


def _runs(turn: Turn, num_samples: int) -> Iterator[list[_Numbers]]:
    """What is to be made, from this turn through the epochs that follow."""

    def steps() -> Iterator[_Numbers]:
        at = turn
        while True:
            for numbers in at.steps(num_samples):
                yield _Numbers(at.seed, at.epoch, numbers.start, numbers.stop)
            at = replace(at, epoch=at.epoch + 1, start=0)

    left = islice(steps(), _STEPS)
    while run := list(islice(left, _RUN)):
        yield run


class _Making:
    """An actor of the pool: makes batches, keeps decoded images."""

    def __init__(self, given: ObjectRef[tuple[Prepared, DataSpec]]) -> None:
        import ray

        prepared, data = ray.get(given)
        self._samples, self._private = Samples(prepared, data), prepared.private

    def __call__(self, rows: Row) -> Iterator[Row]:
        """The batches of a run; a generator, so that they leave as they are made."""
        for at in pickle.loads(rows["run"][0]):  # noqa: S301  (written by our own driver)
            made: Batch | EncdecError
            try:
                made = self._samples.batch(at.seed, at.epoch, range(at.first, at.stop))
            except EncdecError as error:
                made = error
            except Exception as error:  # noqa: BLE001 -- the boundary of this process: an error is a row
                stage = f"making samples {at.first} to {at.stop - 1} of epoch {at.epoch}"
                made = unexpected(error, stage, private=self._private)
            yield {"payload": [pickle.dumps(made, protocol=5)]}


def batch_bytes(prepared: Prepared, data: DataSpec, size: int) -> int:
    """Of a batch of so many samples, in memory."""
    scene = prepared.train[0]
    rows, cols = data.sampling.sides
    target = 8 if not scene.target_bands and scene.scale == 1 else 4 * max(prepared.num_bands, scene.target_bands)
    return size * rows * cols * (4 * prepared.num_bands + (target + 1) * scene.scale**2)
