"""Batches made in this process, one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from encdec_batch.errors import SpecError
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.batch import Batch, Turn
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.samples.sample import Samples


class LocalBatches:
    """`Batches` without helpers: what all others must equal."""

    def __init__(self, prepared: Prepared, data: DataSpec) -> None:
        self._samples = Samples(prepared, data)
        self._num_samples = prepared.cells.num_samples

    @property
    def num_samples(self) -> int:
        return self._num_samples

    def epoch(self, turn: Turn) -> Iterator[Batch]:
        """See `Batches.epoch`."""
        check_turn(turn, self._num_samples)
        for numbers in turn.steps(self._num_samples):
            yield self._samples.batch(turn.seed, turn.epoch, numbers)


def check_turn(turn: Turn, num_samples: int) -> None:
    """Does nothing when an epoch has a step.

    Raises:
        SpecError: it has fewer samples than a step takes.
    """
    if num_samples < turn.global_batch:
        raise SpecError(
            f"an epoch has {num_samples} samples, fewer than the {turn.global_batch} of one step",
            hint="set data.sampling.samples, or lower the batch",
        )
