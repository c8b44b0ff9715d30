"""Which images of a slide are its levels: the same field of view, coarser and coarser, and nothing else.

What else a slide's file holds (label, macro, thumbnail) may show a name. It is never read: no pixel of it, and of its
directory only that it is no level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from encdec_batch.read.slide.directory import Directory

_ASSOCIATED = (b"label", b"macro", b"thumbnail")
_SUBFILE, _WIDTH, _HEIGHT, _DESCRIPTION, _TILE_WIDTH = 254, 256, 257, 270, 322
_MASK = 4  # of NewSubfileType
_LINES = 256
"""Bytes of a description that may name what an image is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resolution."""

    directories: tuple[Directory, ...]
    """One that has all bands, or one for each channel."""
    height: int
    width: int
    """Of what is to be seen; the stored image may be larger."""
    downsample: tuple[float, float] = (1.0, 1.0)
    """Height and width of a pixel in pixels of the finest level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slide:
    """The levels of one plane, the finest first, each smaller than the one before."""

    levels: tuple[Level, ...]
    pixel_size_um: tuple[float, float] | None
    """Height and width of a pixel of the finest level; None: it is not said."""

    def sizes_um(self) -> tuple[tuple[float, float], ...] | None:
        """Of a pixel, by level."""
        if self.pixel_size_um is None:
            return None
        height, width = self.pixel_size_um
        return tuple((height * level.downsample[0], width * level.downsample[1]) for level in self.levels)


def is_level(directory: Directory) -> bool:
    """Whether an image of a scanner's file may be a level: it is tiled, no mask, and not called something else."""
    tag = directory.tags.get(_DESCRIPTION)
    text = tag.head(_LINES).lower() if tag is not None else b""
    named = any(text.startswith(word) or b"\n" + word in text for word in _ASSOCIATED)
    return _TILE_WIDTH in directory.tags and not directory.number(_SUBFILE, 0) & _MASK and not named


def size_of(directory: Directory) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: it has none.
    """
    height, width = directory.number(_HEIGHT), directory.number(_WIDTH)
    if min(height, width) < 1:
        raise ValueError(f"an image of {width} x {height} px")
    return height, width


def pyramid(finest: Level, others: Iterable[Level]) -> tuple[Level, ...]:
    """The levels of a pyramid: what does not show the same field of view as the finest is none of them, and of two of
    one size the first is.
    """
    levels = [finest]
    for level in sorted(others, key=lambda one: -one.height * one.width):
        factor = downsample_of((finest.height, finest.width), (level.height, level.width))
        if factor is not None and (level.height, level.width) != (levels[-1].height, levels[-1].width):
            levels.append(
                Level(
                    directories=level.directories,
                    height=level.height,
                    width=level.width,
                    downsample=(factor, factor),
                )
            )
    return tuple(levels)


def downsample_of(finest: tuple[int, int], level: tuple[int, int]) -> float | None:
    """By how much a level is coarser, in both directions; None: by no such number, or it is not coarser.

    Sizes are rounded, up or down, so that they leave an interval. The power of two in it is meant, where there is one:
    the ratio of rounded sizes would shift the far end of a slide by up to a pixel of the level.
    """
    sides = list(zip(finest, level, strict=True))
    low = max(full / (reduced + 1) for full, reduced in sides)
    high = min(full / (reduced - 1) if reduced > 1 else math.inf for full, reduced in sides)
    longer, reduced = max(sides)
    ratio = longer / reduced
    if not low < high or ratio <= 1:
        return None
    power, whole = 2.0 ** round(math.log2(ratio)), float(round(ratio))
    return next((factor for factor in (power, whole) if low < factor < high), ratio)
