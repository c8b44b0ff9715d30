"""What data and learning agree on: batches as plain arrays, and in which order they come.

Suffixes: N samples of a batch, B bands, C channels, H and W rows and columns. `k` is the network's scale: output
pixels per input pixel and axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""The label of a pixel that neither loss nor metrics look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Samples that one worker learns from in one step. The arrays may be read-only and are not to be written."""

    image: NDArray[np.float32]
    """(N, B, H, W), normalised as the card says; invalid pixels hold the card's fill."""
    target: NDArray[Any]
    """Classes: int64 (N, kH, kW), the number of the network's channel, or `IGNORE`.
    Images: float32 (N, C, kH, kW), in the network's units; zero where it is not valid."""
    valid: NDArray[np.bool_]
    """(N, kH, kW), True where the loss counts. For classes exactly where `target` is not `IGNORE`."""
    names: tuple[str, ...]
    """Of the samples, for messages: `scene@col_off,row_off`."""
    noise_level: NDArray[np.float32]
    """(N,) standard deviation of the noise that was added, in units of the normalised image; 0 where none was. Of
    noise that depends on the signal: the root of the mean variance over the sample."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Which of an epoch's samples one worker is to see.

    The samples of an epoch are a sequence that depends on seed and epoch alone. A step takes the next `global_batch`
    of it, of which each rank has its `share`: 2 workers of 8 learn from what 1 of 16 learns from.
    """

    seed: int
    epoch: int
    global_batch: int
    """Samples of a step, over all workers together."""
    rank: int = 0
    world_size: int = 1
    start: int = 0
    """Samples of this epoch that all workers together have used already: a multiple of `global_batch`. To go on after
    `n` steps: `n * global_batch`, whatever the number of workers was then."""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size or self.global_batch < self.world_size:
            raise ValueError(
                f"rank {self.rank} of {self.world_size} workers with batches of {self.global_batch} in all: "
                "each worker needs at least one sample"
            )
        if min(self.seed, self.epoch, self.start) < 0 or self.start % self.global_batch:
            raise ValueError(
                f"seed {self.seed}, epoch {self.epoch} and start {self.start} are not negative, and start is a "
                f"multiple of {self.global_batch}"
            )

    @property
    def share(self) -> range:
        """Of each step's samples, those of this rank: sizes differ by one at most, the first ranks have more."""
        size, more = divmod(self.global_batch, self.world_size)
        first = self.rank * size + min(self.rank, more)
        return range(first, first + size + (self.rank < more))

    def steps(self, num_samples: int) -> Iterator[range]:
        """The sample numbers of this rank, step after step; samples that do not fill a step are left out."""
        for first in range(self.start, num_samples - self.global_batch + 1, self.global_batch):
            yield range(first + self.share.start, first + self.share.stop)


class Batches(Protocol):
    """Training samples, in any of several processes. Pickles.

    Equal turns give equal batches, to the last bit: in another process, on another machine of the same kind, by
    whatever number of processes the samples are made.
    """

    @property
    def num_samples(self) -> int:
        """Of one epoch."""

    def epoch(self, turn: Turn) -> Iterator[Batch]:
        """The batches of one worker, in order; none is kept here once it was given.

        Raises:
            SceneError: a file that could be read when the data were prepared cannot be read now; it is named.
            StoreError: the store, not the file.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One whole scene to be judged on, as the main job would get it: not normalised."""

    name: str
    pixels: NDArray[np.generic]
    """(B, H, W), the file's dtype and units; float32 where noise was added or it was degraded."""
    valid_mask: NDArray[np.bool_]
    """(H, W)."""
    target: NDArray[Any]
    """(kH, kW) or (C, kH, kW), as in `Batch`: channels, or the network's units."""
    target_valid: NDArray[np.bool_]
    """(kH, kW)."""
    noise_level: float
    """As in `Batch`, in units of the normalised image."""


class Examples(Protocol):
    """The scenes of a split, one at a time; equal calls give equal arrays. Pickles."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Example]: ...
