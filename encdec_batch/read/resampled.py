"""A scene with pixels of another size: any `Reader` whose header says how large its own are.

A pixel of the result covers a rectangle of the scene that depends on its row and column alone, from the scene's corner:
of coarser pixels it is the mean of what it covers, by area; of finer ones it is interpolated between the four nearest.
Each is one fixed sum, in one fixed order, of elementwise operations: so whichever window it is read by, it has the same
bits. No library's resize promises this. Sums are double, but for bytes, of which single precision holds all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.levels import is_near
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader, Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.window import Window

_PIECE_PIXELS = 1 << 21
"""Of the scene, times bands, that are turned into doubles at a time."""
_SLACK = 1e-3
"""Of a pixel that reaches beyond the scene: less is none."""
_MOST_ENLARGED = 4
"""Finer pixels than that are invented."""
_LEAST_VALID = 0.5
"""A pixel is valid where this part of what it covers is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One direction: which pixels of the scene make up a pixel, and how much of each."""

    size: int
    """Of the scene, in its pixels."""
    factor: float
    """Its pixels to one of the result."""

    @property
    def num_pixels(self) -> int:
        """Of the result: the last may reach beyond the scene."""
        return max(1, math.ceil(self.size / self.factor - _SLACK))

    def taps(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Indices and weights, both (stop - start, taps), for an interval of the result. One's weights sum to 1."""
        number = np.arange(start, stop, dtype=np.float64)
        if self.factor < 1:
            centre = (number + 0.5) * self.factor - 0.5
            first = np.floor(centre)
            index = first[:, None] + np.arange(2.0)
            weight = np.stack([1 - (centre - first), centre - first], axis=1)
        else:
            low, high = number * self.factor, np.minimum((number + 1) * self.factor, float(self.size))
            first = np.floor(low)
            index = first[:, None] + np.arange(math.ceil(self.factor) + 1.0)
            weight = np.minimum(index + 1, high[:, None]) - np.maximum(index, low[:, None])
            weight = np.maximum(weight, 0)
            weight /= sum(weight[:, tap] for tap in range(weight.shape[1]))[:, None]
        # What has no weight is not looked at, so that no NaN comes of it.
        index = np.where(weight > 0, index, first[:, None])
        return index.clip(0, self.size - 1).astype(np.int64), weight


class ResampledReader:
    """A `Reader` of another one, which it closes."""

    def __init__(self, reader: Reader, header: SceneHeader, rows: Axis, cols: Axis, *, uri: str) -> None:
        self._reader = reader
        self._header = header
        self._rows, self._cols = rows, cols
        self._uri = uri

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
        """See `Reader.read`. Where nothing is valid, the value is the band's nodata value, or 0."""
        check_request(self._header, window, bands, uri=self._uri)
        nodata = [self._header.nodata[band - 1] for band in bands]
        fill = np.array([[[_fill(value, self._header.dtype)]] for value in nodata])
        pixels = np.empty((len(bands), window.height, window.width), self._header.dtype)
        valid_mask = np.empty((window.height, window.width), np.bool_)
        for piece, needed in self._pieces(window, len(bands)):
            patch = self._reader.read(needed, bands, rule=rule, nan_is_nodata=nan_is_nodata)
            rows = slice(piece.row_off - window.row_off, piece.row_stop - window.row_off)
            known = _known(patch, nodata, nan_is_nodata=nan_is_nodata)
            sums, weights, valid_part = self._reduce(patch, known, piece, needed)
            with np.errstate(invalid="ignore", divide="ignore"):
                pixels[:, rows] = _rounded(np.where(weights > 0, sums / weights, fill), pixels.dtype)
            valid_mask[rows] = valid_part >= _LEAST_VALID
        return Patch(pixels=pixels, valid_mask=valid_mask)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._uri)
        needed = [part for window in windows for _, part in self._pieces(window, len(bands))]
        return self._reader.bytes_for(needed, bands)

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        return self._reader.thumbnail(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._reader.close()

    def _pieces(self, window: Window, num_bands: int) -> Iterator[tuple[Window, Window]]:
        """A window cut into bands of rows, each with what is needed of the scene for it."""
        col, _ = self._cols.taps(window.col_off, window.col_stop)
        cols = int(col.min()), int(col.max()) + 1
        across = (cols[1] - cols[0]) * num_bands * max(1.0, self._rows.factor)
        height = max(1, int(_PIECE_PIXELS / across))
        for top in range(window.row_off, window.row_stop, height):
            bottom = min(top + height, window.row_stop)
            row, _ = self._rows.taps(top, bottom)
            piece = Window.from_bounds((top, bottom), (window.col_off, window.col_stop))
            yield piece, Window.from_bounds((int(row.min()), int(row.max()) + 1), cols)

    def _reduce(
        self, patch: Patch, known: NDArray[np.bool_], piece: Window, needed: Window
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Weighted sums of what is known, (bands, height, width), their weights, and which part of a pixel is valid."""
        kind = np.dtype(np.float32 if self._header.dtype == "uint8" else np.float64)
        row, row_weight = self._rows.taps(piece.row_off, piece.row_stop)
        col, col_weight = self._cols.taps(piece.col_off, piece.col_stop)
        rows = row - needed.row_off, row_weight.astype(kind)
        cols = col - needed.col_off, col_weight.astype(kind)

        def along_both(values: NDArray[Any]) -> NDArray[Any]:
            down = _weighted(values.astype(kind), *rows)
            return _weighted(np.ascontiguousarray(down.swapaxes(-1, -2)), *cols).swapaxes(-1, -2)

        is_all = bool(known.all())
        sums = along_both(patch.pixels if is_all else np.where(known, patch.pixels, 0))
        # One row and column stand for all where they are alike.
        weights = along_both(known[:1, :1, :1] if is_all else known)
        valid_part = weights[0] if is_all or len(known) == 1 else along_both(patch.valid_mask)
        return sums, weights, valid_part


def resampled(reader: Reader, um_per_px: float, *, uri: str, limits: Limits = DEFAULT_LIMITS) -> Reader:
    """The same scene with pixels of a wanted size; the reader itself, where its own are as large as that.

    Raises:
        UnsupportedScene: nobody knows how large its pixels are; they are much larger than that; it would be too large.
    """
    header = reader.header
    if header.pixel_size_um is None:
        raise UnsupportedScene(
            f"{uri}: it does not say how large its pixels are, and {um_per_px:g} um are asked for",
            hint="leave out source.um_per_px for it, or write the size into the file (OME-TIFF: PhysicalSizeX)",
            uri=uri,
        )
    if is_near(header.pixel_size_um, um_per_px):
        return reader
    if max(header.pixel_size_um) > um_per_px * _MOST_ENLARGED:
        raise UnsupportedScene(
            f"{uri}: its pixels are {max(header.pixel_size_um):g} um, and {um_per_px:g} um are asked for",
            hint=f"a scene is enlarged {_MOST_ENLARGED} times at most: choose a model of coarser pixels",
            uri=uri,
        )
    factors = tuple(um_per_px / side for side in header.pixel_size_um)
    rows, cols = Axis(size=header.height, factor=factors[0]), Axis(size=header.width, factor=factors[1])
    if rows.num_pixels * cols.num_pixels > limits.max_pixels:
        raise UnsupportedScene(
            f"{uri}: {cols.num_pixels:,} x {rows.num_pixels:,} px of {um_per_px:g} um, more than {limits.max_pixels:,}",
            hint="choose a model of coarser pixels",
            uri=uri,
        )
    return ResampledReader(reader, _header(header, rows, cols, um_per_px), rows, cols, uri=uri)


def resampled_geometry(geometry: VolumeGeometry, um_per_px: float | None) -> VolumeGeometry:
    """Where slices lie that were read by `resampled`."""
    side_um = geometry.spacing[geometry.rows] * 1000, geometry.spacing[geometry.cols] * 1000
    if um_per_px is None or min(side_um) == 0 or is_near(side_um, um_per_px):
        return geometry
    down, across = side_um[0] / um_per_px, side_um[1] / um_per_px
    shape = geometry.shape
    if shape is not None:
        rows, cols = Axis(size=shape[0], factor=1 / down), Axis(size=shape[1], factor=1 / across)
        shape = rows.num_pixels, cols.num_pixels
    return geometry.resized(down, across, shape)


def _header(header: SceneHeader, rows: Axis, cols: Axis, um_per_px: float) -> SceneHeader:
    down, across = header.level0_downsample
    a, b, c, d, e, f = header.transform or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    scaled = (a * cols.factor, b * rows.factor, c, d * cols.factor, e * rows.factor, f)
    return replace(
        header,
        height=rows.num_pixels,
        width=cols.num_pixels,
        # A mean may happen to be the nodata value: validity no longer follows from values.
        mask="none" if header.mask == "none" else "internal",
        transform=None if header.transform is None else scaled,
        gcps=tuple(replace(point, row=point.row / rows.factor, col=point.col / cols.factor) for point in header.gcps),
        tile_height=max(1, math.ceil(header.tile_height / rows.factor)),
        tile_width=max(1, math.ceil(header.tile_width / cols.factor)),
        pixel_size_um=(um_per_px, um_per_px),
        level0_downsample=(down * rows.factor, across * cols.factor),
    )


def _known(patch: Patch, nodata: Sequence[float | None], *, nan_is_nodata: bool) -> NDArray[np.bool_]:
    """Which values count: (1, height, width), or by band where bands have nodata values of their own."""
    looks_at_nan = nan_is_nodata and patch.pixels.dtype.kind == "f"
    if len(patch.pixels) == 1 or (not looks_at_nan and all(value is None for value in nodata)):
        return patch.valid_mask[None]
    own = [
        valid_of_bands(patch.pixels[band : band + 1], [value], rule="any", nan_is_nodata=nan_is_nodata)
        for band, value in enumerate(nodata)
    ]
    return np.stack(own) & patch.valid_mask


def _weighted(values: NDArray[Any], index: NDArray[np.int64], weight: NDArray[Any]) -> NDArray[Any]:
    """Along the last axis but one, tap by tap: the order of a sum is the same for every pixel of every window."""
    is_one = values.shape[-2] == 1

    def term(tap: int) -> NDArray[Any]:
        found: NDArray[Any] = (values if is_one else values[..., index[:, tap], :]) * weight[:, tap, None]
        return found

    total = term(0)
    for tap in range(1, index.shape[1]):
        total += term(tap)
    return total


def _fill(nodata: float | None, dtype: str) -> float:
    """What stands where no value is known."""
    return 0.0 if nodata is None or (np.isnan(nodata) and np.dtype(dtype).kind != "f") else nodata


def _rounded(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """In the scene's own type; integers are rounded half up."""
    if dtype.kind == "f":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return np.floor(values + 0.5).clip(info.min, info.max).astype(dtype)
