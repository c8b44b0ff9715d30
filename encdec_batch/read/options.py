"""What a source says of how its objects are read, beyond window and bands. It decides pixels: it is in scene keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["axial", "coronal", "sagittal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Of formats for which it has a meaning; the others do not look at it."""

    um_per_px: float | None = None
    """Of a slide or another pyramid: pixels of this size are wanted, whatever levels it has; None: its finest level."""
    axis: Axis = "axial"
    """Of a volume without slices of its own (NIfTI): those across which patient axis."""


DEFAULT_OPTIONS = ReadOptions()
