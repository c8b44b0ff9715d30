"""All that learning knows of its data: batches, scenes to judge on, and what was found in the files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import Normalization
from encdec_batch.train.batch import Batches, Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found in the training data."""

    num_bands: int
    dtypes: tuple[str, ...]
    target_bands: int
    """Of another image as target; 0 otherwise."""
    normalization: Normalization
    class_pixels: tuple[int, ...]
    """Of each class; of no meaning without classes."""
    class_presence: tuple[int, ...]
    """Of each class: known pixels of the scenes in which it occurs."""
    split_note: str
    leak_note: str
    digest: str
    """Of both sides' files."""
    private: bool = False
    """Names are hidden in all that is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Data, ready to be learned from. Pickles."""

    facts: Facts
    batches: Batches
    examples: Examples | None
    """To judge on; None: there are none."""
    sample: NDArray[np.generic]
    """(bands, height, width) of a training scene as stored, for the package's golden sample."""
