"""Pixels of a window and which of them are valid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Pixels of one window, as stored in the file."""

    pixels: NDArray[np.generic]
    """(bands, height, width), the file's dtype, neither scaled nor normalised."""
    valid_mask: NDArray[np.bool_]
    """(height, width), True is valid (the inverse of numpy.ma's mask)."""

    def thinned(self, max_side: int) -> Patch:
        """Every n-th pixel, so that neither side is above `max_side`."""
        step = -(-max(self.valid_mask.shape) // max_side)
        return Patch(
            pixels=np.ascontiguousarray(self.pixels[:, ::step, ::step]),
            valid_mask=np.ascontiguousarray(self.valid_mask[::step, ::step]),
        )
