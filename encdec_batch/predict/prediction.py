"""What the network says about one block: plain arrays, no torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreSummary:
    """One core of a block, as a row of cells.parquet."""

    window: Window
    """In output pixels of the scene."""
    class_counts: tuple[int, ...]
    """Pixels of each class of the card, in the card's order; empty for images."""
    mean_probability: float
    """Mean over valid pixels of the winning class's probability; NaN for images or without valid pixels."""
    valid_fraction: float
    """Share of output pixels that are not nodata, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The products of one block."""

    rasters: Mapping[str, NDArray[np.generic]]
    """Product name to (bands, height, width) in output pixels of the block; nodata is already written in."""
    cores: tuple[CoreSummary, ...]
    """In lattice order: row by row."""
    notes: tuple[str, ...] = ()
    """What an operator should know of this block, e.g. a batch that was halved for lack of memory."""
