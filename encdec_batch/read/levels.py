"""Which level of a pyramid gives pixels of a wanted size."""

from __future__ import annotations

from collections.abc import Sequence

NEAR = 0.01
"""Pixels that are so little larger or smaller than wanted, as a fraction, are taken as they are."""


def choose_level(sizes_um: Sequence[tuple[float, float]] | None, um_per_px: float | None) -> int:
    """The coarsest level whose pixels are no larger than wanted; the finest, where none is or none is wanted.

    Args:
        sizes_um: height and width of a pixel by level, the finest first; None: they are not known.
        um_per_px: what is wanted.
    """
    if sizes_um is None or um_per_px is None:
        return 0
    fitting = [number for number, size in enumerate(sizes_um) if max(size) <= um_per_px * (1 + NEAR)]
    return fitting[-1] if fitting else 0


def is_near(size_um: tuple[float, float], um_per_px: float) -> bool:
    """Whether pixels are as large as wanted, as nearly as it matters."""
    return all(abs(side - um_per_px) <= NEAR * um_per_px for side in size_um)
