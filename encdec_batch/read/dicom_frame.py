"""Where the stored values of one frame come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = tuple[int, int]
"""The first, and the one behind the last."""


class FrameSource(Protocol):
    """Stored values of one frame, colours as RGB; not to be written to. Not thread-safe."""

    def rows(self, start: int, stop: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """(samples, stop - start, columns), for these samples of a pixel, counted from 0."""

    def cost(self, windows: Sequence[Rows], samples: Sequence[int]) -> int:
        """Bytes that will be fetched when these rows are asked for next, in this order."""

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """Every `step`-th row, all columns.

        Raises:
            UnsupportedScene: it would cost more than the limits admit.
        """

    def close(self) -> None:
        """Forgets what it holds."""
