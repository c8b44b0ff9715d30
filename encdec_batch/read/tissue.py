"""Where a bright-field slide has tissue: glass is made invalid, so that it is not computed.

Found once for a slide, on its thumbnail: glass is grey, and stained tissue is not. The threshold on saturation is
Otsu's, held within bounds: a slide that is all tissue must not be cut in two by how strongly it is stained, nor the
noise of an empty one. The mask is coarse: cells of 64 px of the finest level, one more around what was found, so that
it does not hang on the level that is read, and a faint border is kept.

What is no bright-field slide is set aside: of a fluorescence slide the dark is background, and may hold dim cells.

Source: Otsu 1979, A threshold selection method from gray-level histograms; saturation as in Lu et al. 2021 (CLAM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader, Rule
from encdec_batch.read.request import check_request
from encdec_batch.window import Window

CELL = 64
"""Side, in pixels of the finest level."""
_THUMBNAIL = 2048
"""Longer side of the picture that is looked at, in pixels, at most."""
_LEAST, _MOST = 15, 40
"""Bounds of the threshold on saturation, of 255: noise of glass stays below, pale eosin above."""
_BLACK = 32
_DARK = 64
"""A slide whose median brightness is below has a dark background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TissueMask:
    """Cells with tissue, (rows, columns); cells outside are none."""

    cells: NDArray[np.bool_]

    def at(self, rows: NDArray[Any], cols: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether places of the finest level, in pixels from its corner, lie in cells with tissue."""
        row = np.minimum((rows / CELL).astype(np.int64), self.cells.shape[0] - 1)
        col = np.minimum((cols / CELL).astype(np.int64), self.cells.shape[1] - 1)
        return self.cells[np.ix_(row, col)]


class TissueReader:
    """A `Reader` of another one, which it closes: where there is no tissue, pixels are 0 and not valid."""

    def __init__(self, reader: Reader, mask: TissueMask, *, uri: str) -> None:
        self._reader = reader
        self._mask = mask
        self._uri = uri
        self._header = replace(reader.header, mask="internal")

    @property
    def header(self) -> SceneHeader:
        return self._header

    @property
    def etag(self) -> str:
        return self._reader.etag

    @property
    def size_bytes(self) -> int:
        return self._reader.size_bytes

    @property
    def bytes_read(self) -> int:
        return self._reader.bytes_read

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`. Of a window without tissue nothing is fetched."""
        check_request(self._header, window, bands, uri=self._uri)
        tissue = self._tissue(window)
        if not tissue.any():
            shape = len(bands), window.height, window.width
            return Patch(pixels=np.zeros(shape, self._header.dtype), valid_mask=tissue)
        patch = self._reader.read(window, bands, rule=rule, nan_is_nodata=nan_is_nodata)
        return Patch(pixels=patch.pixels * tissue, valid_mask=patch.valid_mask & tissue)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._uri)
        return self._reader.bytes_for([window for window in windows if self._tissue(window).any()], bands)

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        patch = self._reader.thumbnail(max_side)
        height, width = patch.valid_mask.shape
        down, across = self._header.level0_downsample
        rows = (np.arange(height) + 0.5) * (self._header.height * down / height)
        cols = (np.arange(width) + 0.5) * (self._header.width * across / width)
        tissue = self._mask.at(rows, cols)
        return Patch(pixels=patch.pixels * tissue, valid_mask=patch.valid_mask & tissue)

    def close(self) -> None:
        """See `Reader.close`."""
        self._reader.close()

    def _tissue(self, window: Window) -> NDArray[np.bool_]:
        """By the cell in which a pixel's centre lies."""
        down, across = self._header.level0_downsample
        rows = (np.arange(window.row_off, window.row_stop) + 0.5) * down
        cols = (np.arange(window.col_off, window.col_stop) + 0.5) * across
        return self._mask.at(rows, cols)


def tissue_only(reader: Reader, *, uri: str) -> TissueReader:
    """The same slide with its glass invalid; reads the thumbnail.

    Raises:
        UnsupportedScene: it is no bright-field slide, or has no level that could be looked at.
        SceneUnreadable, SceneChanged, TransientStoreError: as `Reader.thumbnail`.
    """
    header = reader.header
    if (header.num_bands, header.dtype) != (3, "uint8"):
        raise _not_bright(f"{uri}: {header.num_bands} bands of {header.dtype}, no bright-field slide", uri)
    picture = reader.thumbnail(_THUMBNAIL)
    brightness = picture.pixels.max(axis=0)[picture.valid_mask]
    if brightness.size and np.median(brightness) < _DARK:
        raise _not_bright(f"{uri}: a slide with a dark background", uri)
    down, across = header.level0_downsample
    size = header.height * down, header.width * across
    return TissueReader(reader, TissueMask(cells=find_tissue(picture, size)), uri=uri)


def find_tissue(picture: Patch, size: tuple[float, float]) -> NDArray[np.bool_]:
    """Cells with tissue, (rows, columns).

    Args:
        picture: of the whole slide, RGB of uint8.
        size: height and width of the finest level.
    """
    saturation = _smoothed(saturation_of(picture.pixels))
    threshold = min(max(otsu(saturation[picture.valid_mask]), _LEAST), _MOST)
    found = (saturation > threshold) & picture.valid_mask
    totals = np.pad(found.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
    low_row, high_row = _samples(found.shape[0], size[0])
    low_col, high_col = _samples(found.shape[1], size[1])
    counts = totals[high_row][:, high_col] - totals[low_row][:, high_col]
    counts -= totals[high_row][:, low_col] - totals[low_row][:, low_col]
    return _dilated(counts > 0)


def saturation_of(pixels_CHW: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(max - min) / max of red, green and blue, of 255; 0 where a pixel is nearly black, and all is noise."""
    rgb = pixels_CHW.astype(np.int32)
    most = rgb.max(axis=0)
    found: NDArray[Any] = (most - rgb.min(axis=0)) * 255 // np.maximum(most, 1) * (most >= _BLACK)
    return found.astype(np.uint8)


def otsu(values: NDArray[np.uint8]) -> int:
    """The threshold that parts a histogram into two classes of the largest variance between them; 0 of no values."""
    counts = np.bincount(values, minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return int(np.nan_to_num(between).argmax())


def _smoothed(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean of 3 x 3: noise of single pixels is no tissue."""
    padded = np.pad(values, 1, mode="edge").astype(np.uint16)
    rows: NDArray[np.uint16] = padded[:-2] + padded[1:-1] + padded[2:]
    return ((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) // 9).astype(np.uint8)


def _samples(num_samples: int, size: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each cell the first pixel of the picture that lies in it, if only in part, and the first behind it."""
    starts = np.arange(0, size, CELL)
    step = size / num_samples
    low = np.floor(starts / step).astype(np.int64)
    high = np.ceil(np.minimum(starts + CELL, size) / step).astype(np.int64)
    return low.clip(0, num_samples - 1), high.clip(1, num_samples)


def _dilated(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(cells, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _not_bright(message: str, uri: str) -> UnsupportedScene:
    return UnsupportedScene(
        message,
        hint="tissue is told from glass in stained slides of red, green and blue: leave out source.tissue_only for it",
        uri=uri,
    )
