"""Which window is sample number i of an epoch: a function of seed, epoch and number alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SpecError
from encdec_batch.spec.train_data import SamplingSpec
from encdec_batch.train.dataset.inspect import Inspected

_ORDER, _SAMPLE = 0, 1
"""Streams of random numbers: of an epoch's order, of one sample."""


class Cell(NamedTuple):
    """Where a sample comes from."""

    scene: int
    """Its number among the training scenes."""
    row: int
    col: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Every cell of every scene from which windows are drawn, and how likely each is."""

    scene: NDArray[np.int32]
    row: NDArray[np.int32]
    col: NDArray[np.int32]
    cumulated: NDArray[np.float64]
    """Weights, summed up to and with each cell; the last is 1."""
    num_samples: int
    """Of an epoch."""

    def order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """(num_samples,): the number of the cell of each sample of an epoch.

        Drawn systematically: each scene and each cell comes within one of its expected number, and then shuffled.
        """
        rng = np.random.default_rng((seed, epoch, _ORDER))
        points = (rng.random() + np.arange(self.num_samples)) / self.num_samples
        drawn = np.searchsorted(self.cumulated, points, side="right")
        return rng.permutation(np.minimum(drawn, len(self.cumulated) - 1)).astype(np.int64)

    def drawn(self, rng: np.random.Generator) -> int:
        """The number of one more cell, as likely as its weight says."""
        found = int(np.searchsorted(self.cumulated, rng.random(), side="right"))
        return min(found, len(self.cumulated) - 1)

    def __getitem__(self, number: int) -> Cell:
        return Cell(int(self.scene[number]), int(self.row[number]), int(self.col[number]))


def generator_of(seed: int, epoch: int, number: int) -> np.random.Generator:
    """All randomness of one sample."""
    return np.random.default_rng((seed, epoch, _SAMPLE, number))


def make_cells(train: Sequence[Inspected], spec: SamplingSpec) -> Cells:
    """The cells of all scenes.

    A cell counts as many times as it has places for a window. With `class_balance` 1 a class is drawn, each as likely
    as any other, and then a cell by its share of that class; below 1 classes are as likely as that power between that
    and their own frequency makes them. Cells of which no window can have `min_valid` are left out.

    Raises:
        SpecError: none is left.
    """
    parts = [_cells_of(number, one, spec) for number, one in enumerate(train)]
    scene, row, col = (np.concatenate([part[n] for part in parts]).astype(np.int32) for n in range(3))
    mass = np.concatenate([part[3] for part in parts])
    by_class = mass.sum(axis=0)
    if not by_class.sum() > 0:
        raise SpecError(
            f"no window of {spec.sides[1]} x {spec.sides[0]} px has {spec.min_valid:.0%} of pixels to learn from",
            hint="lower data.sampling.min_valid or data.sampling.crop",
        )
    present = by_class > 0
    weight = mass[:, present] @ (by_class[present] / by_class.sum()) ** -spec.class_balance
    kept = weight > 0
    cumulated = np.cumsum(weight[kept])
    return Cells(
        scene=scene[kept],
        row=row[kept],
        col=col[kept],
        cumulated=cumulated / cumulated[-1],
        num_samples=_num_samples(train, spec),
    )


def _cells_of(
    number: int, one: Inspected, spec: SamplingSpec
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Scene, row and column of each cell of a scene, and how likely it is: (cells, classes), the sum over classes."""
    places = one.lattice.places()
    seen = one.lattice.seen(one.counts)
    total = seen.sum(axis=2)
    size = one.region.height * one.region.width if spec.weight == "area" else 1.0
    weight = size * places / places.sum() / np.maximum(total, 1)
    weight[total < one.least_known(spec.min_valid)] = 0.0
    row, col = np.indices(places.shape)
    mass = (weight[..., None] * seen).reshape(places.size, -1)
    return np.full(places.size, number), row.ravel(), col.ravel(), mass


def _num_samples(train: Sequence[Inspected], spec: SamplingSpec) -> int:
    if spec.samples != "auto":
        return spec.samples
    rows, cols = spec.sides
    return sum(max(1, round(one.lattice.height * one.lattice.width / (rows * cols))) for one in train)
