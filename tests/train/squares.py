"""Small data in memory, as the data side would give it: bright squares on noise, and what the network is to make."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from encdec_batch.train.batch import IGNORE, Batch, Example, Turn

SIDE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Squares:
    """Samples of an epoch, each from a seed of its own; `kind` is `classes`, `image` or `larger` (scale 2)."""

    kind: str = "classes"
    num_samples: int = 24
    side: int = SIDE
    ignored: bool = True
    """Part of each sample is not valid: nearly all that is dark in the first half of each batch of 8."""
    poisoned: int | None = None
    """A sample of epoch 0 that holds NaN."""

    def epoch(self, turn: Turn) -> Iterator[Batch]:
        for numbers in turn.steps(self.num_samples):
            yield self.batch(turn, numbers)

    def batch(self, turn: Turn, numbers: range) -> Batch:
        made = [self._sample(turn.seed, turn.epoch, number) for number in numbers]
        return Batch(
            image=np.stack([image for image, _, _ in made]),
            target=np.stack([target for _, target, _ in made]),
            valid=np.stack([valid for _, _, valid in made]),
            names=tuple(f"scene{number}@{turn.epoch},0" for number in numbers),
            noise_level=np.full(len(made), 0.5, np.float32),
        )

    def _sample(self, seed, epoch, number):
        rng = np.random.default_rng((seed, epoch, number))
        bright, image = picture(rng, self.side)
        dropped = np.where((bright == 0) & (number % 8 < 4), 0.95, 0.1)
        valid = rng.random(bright.shape) >= (dropped if self.ignored else 0.0)
        if self.poisoned == number and epoch == 0:
            image[0, 3, 3] = np.nan
        if self.kind == "classes":
            return image, np.where(valid, bright, IGNORE).astype(np.int64), valid
        target = bright[None].astype(np.float32)
        if self.kind == "larger":
            target, valid = target.repeat(2, 1).repeat(2, 2), valid.repeat(2, 0).repeat(2, 1)
        return image, np.where(valid, target, 0).astype(np.float32), valid


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenes:
    """Whole scenes of such squares, in stored units: uint8, of mean 100 and deviation 50."""

    kind: str = "classes"
    count: int = 3
    sides: tuple[int, int] = (50, 61)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Example]:
        for number in range(self.count):
            rng = np.random.default_rng((77, number))
            bright, image = picture(rng, max(self.sides))
            bright, image = bright[: self.sides[0], : self.sides[1]], image[:, : self.sides[0], : self.sides[1]]
            valid = np.ones(bright.shape, bool)
            valid[:5, :7] = number != 1
            target = bright.astype(np.int64) if self.kind == "classes" else bright[None].astype(np.float32)
            if self.kind == "classes":
                target[-3:] = IGNORE
            yield Example(
                name=f"scene-{number}",
                pixels=np.clip(np.rint(image * 50 + 100), 0, 255).astype(np.uint8),
                valid_mask=valid,
                target=target,
                target_valid=(target != IGNORE) & valid if self.kind == "classes" else valid,
                noise_level=0.0,
            )


def picture(rng, side):
    """Where it is bright (0 or 1), and two bands of it under noise."""
    bright = np.zeros((side, side), np.int64)
    for _ in range(3):
        row, col, size = (int(value) for value in rng.integers(2, side // 2, 3))
        bright[row : row + size, col : col + size] = 1
    noise = rng.normal(0, 0.5, (2, side, side))
    return bright, (noise + np.stack([bright, 1 - bright]) * 1.5 - 0.5).astype(np.float32)
