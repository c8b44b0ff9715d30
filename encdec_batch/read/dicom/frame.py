"""Where the stored values of one frame come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encdec_batch.window import Window


class FrameSource(Protocol):
    """Stored values of one frame, colours as RGB. Not thread-safe."""

    def values(self, window: Window, samples: Sequence[int]) -> NDArray[np.generic]:
        """(samples, height, width), for these samples of a pixel, counted from 0; read-only unless it is yours."""

    def cost(self, windows: Sequence[Window], samples: Sequence[int]) -> int:
        """Bytes that will be fetched when these are asked for next, in this order."""

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """Every `step`-th row and column, as `values`.

        Raises:
            UnsupportedScene: it would cost more than the limits admit.
        """

    def close(self) -> None:
        """Forgets what it holds."""


def chosen(values_SHW: NDArray[Any], samples: Sequence[int]) -> NDArray[Any]:
    """These samples, without a copy where they are all or one."""
    if list(samples) == list(range(len(values_SHW))):
        return values_SHW
    if len(samples) == 1:
        return values_SHW[samples[0] : samples[0] + 1]
    return values_SHW[list(samples)]
