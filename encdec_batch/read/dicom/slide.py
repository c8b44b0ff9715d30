"""Whole slides in DICOM (VL Whole Slide Microscopy Image): which frame is which tile of one level.

A series of them is a slide: each level an object, and beside them pictures of label and glass, which are never a scene.
Source: DICOM PS3.3, C.8.12.4 (image), C.7.6.17.3 (TILED_FULL and TILED_SPARSE), C.8.12.6.1 (positions of tiles).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.contents import SlideLevel
from encdec_batch.read.dicom.dataset import DicomDataset
from encdec_batch.read.dicom.groups import FrameFacts
from encdec_batch.read.dicom.image import MOST_TILES, DicomImage
from encdec_batch.read.dicom.library import damaged
from encdec_batch.read.ranges import PinnedObject

_LEVEL = "VOLUME"
"""The third value of Image Type of what is a level; LABEL, OVERVIEW and THUMBNAIL are not."""

_RESAMPLED = "RESAMPLED"
"""The fourth value, of every level but the finest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomSlide:
    """One level, or a picture beside the levels."""

    height: int
    width: int
    """Of all of it; the last tiles of a row or column reach beyond."""
    frames: NDArray[np.int32]
    """(tiles down, tiles across): which frame; -1: none."""
    is_level: bool
    is_resampled: bool
    """Made of a finer one."""


def read_slide(
    dataset: DicomDataset, image: DicomImage, facts: Sequence[FrameFacts], source: PinnedObject
) -> DicomSlide:
    """Where tiles lie.

    Raises:
        SceneUnreadable: it contradicts itself.
        UnsupportedScene: beyond the limits, or of a kind that is not read.
    """
    elements, uri = dataset.elements, source.uri
    height, width = (elements.integer(f"TotalPixelMatrix{name}") for name in ("Rows", "Columns"))
    if min(height, width) < 1:
        raise damaged(uri, f"its header says a slide of {width:,} x {height:,} px")
    down, across = -(-height // image.rows), -(-width // image.columns)
    if height * width > source.limits.max_pixels or down * across > MOST_TILES:
        raise UnsupportedScene(
            f"{uri}: its header promises {width:,} x {height:,} px in {down * across:,} tiles, more than are read",
            hint="write it with larger tiles, or split it",
            uri=uri,
        )
    if elements.text("ConcatenationUID"):
        raise _not_read(uri, "a level that is parted over several objects (a concatenation)", "put it together")
    if dataset.syntax.deflated or dataset.syntax.big_endian:
        raise _not_read(uri, "a slide that is deflated or big-endian", "convert it to Explicit VR Little Endian")
    if image.is_packed:
        raise _not_read(uri, "a slide of single bits", "convert it to 8 bits")
    flavours = elements.text("ImageType").split("\\")
    return DicomSlide(
        height=height,
        width=width,
        frames=_frames((down, across), image, facts, uri),
        is_level=len(flavours) > 2 and flavours[2] == _LEVEL,
        is_resampled=len(flavours) > 3 and flavours[3] == _RESAMPLED,
    )


def level_of(slide: DicomSlide, dataset: DicomDataset, facts: FrameFacts) -> SlideLevel:
    """What the choice of a level needs to know of it."""
    size = facts.spacing_mm
    return SlideLevel(
        series=dataset.elements.text("SeriesInstanceUID"),
        shape=(slide.height, slide.width),
        pixel_size_um=(size[0] * 1000, size[1] * 1000) if size else None,
        is_level=slide.is_level,
    )


def _frames(grid: tuple[int, int], image: DicomImage, facts: Sequence[FrameFacts], uri: str) -> NDArray[np.int32]:
    down, across = grid
    if all(one.tile is None for one in facts):
        if image.num_frames % (down * across) == 0 and image.num_frames > down * across:
            raise _several(uri)
        if image.num_frames != down * across:
            raise damaged(uri, f"its header says {down * across:,} tiles, and it has {image.num_frames:,} frames")
        return np.arange(down * across, dtype=np.int32).reshape(down, across)
    found = np.full((down, across), -1, np.int32)
    for number, one in enumerate(facts):
        if one.tile is None:
            raise damaged(uri, f"frame {number:,} does not say where on the slide it lies")
        row, column = one.tile
        if row % image.rows or column % image.columns:
            raise _not_read(uri, "a slide whose tiles do not lie on a grid", "write it with tiles side by side")
        at = row // image.rows, column // image.columns
        if not (0 <= at[0] < down and 0 <= at[1] < across):
            raise damaged(uri, f"frame {number:,} lies beside the slide")
        if found[at] >= 0:
            raise _several(uri)
        found[at] = number
    return found


def _several(uri: str) -> UnsupportedScene:
    return _not_read(uri, "several focal planes or optical paths in one object", "split it, one in each object")


def _not_read(uri: str, what: str, hint: str) -> UnsupportedScene:
    return UnsupportedScene(f"{uri}: {what} is not read", hint=f"{hint}, or leave it out", uri=uri)
