"""What runs a network: tiles in, cores out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from encdec_batch.window import Window

if TYPE_CHECKING:
    from torch import Tensor


class Engine(Protocol):
    """A network ready to run on one device.

    Not thread-safe; neither pickled nor forked: made in the process that uses it. The same tiles give the same
    bytes on the same kind of device. An engine may skip work whose result falls outside the windows kept.
    """

    device: str
    """`cpu` or `cuda`: where tiles must be."""
    busy: threading.Lock
    """Held by whoever runs the engine; several predictors may share it."""
    name: str
    """Engine and version: part of the key of what it makes."""

    def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
        """The network's output for each tile, cropped.

        Args:
            tiles_NCHW: normalised tiles, float32, on the engine's device.
            keep: for each tile the window of its output to return, in output pixels, relative to the first
                pixel that the tile answers for.

        Returns:
            float32 (channels, height, width) on the engine's device, one for each of `keep`; fewer windows than
            tiles may be given: the remaining tiles only fill up the batch.

        Raises:
            torch.OutOfMemoryError: the batch does not fit the device.
        """
        ...
