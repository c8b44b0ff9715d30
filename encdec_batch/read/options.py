"""What a source says of how its objects are read, beyond window and bands. It decides pixels: it is in scene keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["axial", "coronal", "sagittal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Of formats for which it has a meaning; the others do not look at it."""

    um_per_px: float | None = None
    """Pixels of this size are wanted, whatever levels a slide or another pyramid has; None: its finest level. What does
    not say how large its pixels are is set aside.
    """
    tissue_only: bool = False
    """Glass of a bright-field slide is not valid, and so is not computed; what is no such slide is set aside."""
    axis: Axis = "axial"
    """Of a volume without slices of its own (NIfTI): those across which patient axis."""


DEFAULT_OPTIONS = ReadOptions()
