"""Every file once through, before training: what is wrong with it, and all that is counted of it.

One pair gives one record; pairs may be looked at in any order and by any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneError, UnsupportedScene
from encdec_batch.read.patch import Patch
from encdec_batch.read.statistics import ValueRange, scene_percentiles
from encdec_batch.spec.train_data import DataSpec, PercentilesNormalization
from encdec_batch.spec.train_target import HighResolutionTarget, ImageTarget, LabelsInput, MaskTarget
from encdec_batch.train.dataset.footprint import Footprint, check_fits, footprint_of
from encdec_batch.train.dataset.lattice import Lattice, count_squares
from encdec_batch.train.dataset.mean_std import Moments, merged, moments_of
from encdec_batch.train.dataset.perceptual_hash import SmallImage
from encdec_batch.train.pairs.pair import Aside, Pair
from encdec_batch.train.pairs.reader import PairReader, Raw, Version
from encdec_batch.window import Window

_STRIDE = 1024
"""Sides of the windows that are looked at, at most, in pixels of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """A pair that can be learned from."""

    pair: Pair
    version: Version
    bands: tuple[int, ...]
    dtype: str
    """Of the image's file."""
    value_dtype: str
    """Of its pixels as they are learned from."""
    target_bands: int
    """Of another image as target; 0 otherwise."""
    region: Window
    """What is used of the image: whole multiples of the scale."""
    lattice: Lattice
    """In input pixels, over the region, or over the window where that is larger."""
    scale: int
    """Pixels of the image for each of the network's input."""
    counts: NDArray[np.int64]
    """(squares down, squares across, classes): pixels that are learned from; one class where there are none."""
    moments: Moments
    """Of the image's valid pixels."""
    value_range: ValueRange | None
    """Percentiles of the image, where it is normalised by them."""
    likeness: int | None
    digest: str
    """Of the image's pixels."""
    footprint: Footprint | None
    num_bytes: int
    """Decoded, image and target."""
    whole: bool
    """Image or target is of a format without windows: a reader decodes and keeps all of it."""

    def least_known(self, share: float) -> float:
        """This share of the pixels of a window, as far as it is not beyond a smaller image."""
        rows, cols = (
            min(window, side // self.scale)
            for window, side in zip(
                (self.lattice.rows, self.lattice.cols), (self.region.height, self.region.width), strict=True
            )
        )
        return max(1.0, share * rows * cols * self.scale**2)

    @property
    def class_pixels(self) -> NDArray[np.int64]:
        """Of each class."""
        total: NDArray[np.int64] = self.counts.sum(axis=(0, 1))
        return total


def inspect(pair: Pair, data: DataSpec, *, num_bands: int | None = None, learns: bool = True) -> Inspected | Aside:
    """What a pair is, or why it cannot be used.

    Args:
        pair: image and target.
        data: what is wanted of it.
        num_bands: of the other images, where one band may stand for all.
        learns: windows are drawn from it, which must fit in.

    Raises:
        StoreError: the store does not answer: nothing is said against the file.
    """
    try:
        with PairReader(pair, data, num_bands=num_bands) as reader:
            return _looked_through(reader, data, learns=learns)
    except SceneError as error:
        uri = str(error.context.get("uri", pair.image.uri))
        return Aside(uri=uri, reason=error.message.removeprefix(f"{uri}: "), hint=error.hint)


def scale_of(data: DataSpec) -> int:
    """Pixels of the target for each of the network's input."""
    return data.target.scale if isinstance(data.target, HighResolutionTarget) else 1


def _looked_through(reader: PairReader, data: DataSpec, *, learns: bool) -> Inspected:
    pair, header = reader.pair, reader.header
    if reader.target_header is not None and pair.target is not None:
        check_fits(header, reader.target_header, image_uri=pair.image.name, target_uri=pair.target.uri)
    region = _region(reader, scale_of(data))
    lattice = _lattice(region, data, pair.image.uri, learns=learns)
    tally = _Tally(region, lattice, data)
    for window in _windows(region, lattice.side * scale_of(data)):
        tally.add(reader.read(window), window.shift(-region.row_off, -region.col_off))
    if not tally.counts.any():
        raise UnsupportedScene(
            f"{pair.image.uri}: no pixel of it can be learned from", hint="leave it out", uri=pair.image.uri
        )
    return Inspected(
        pair=pair,
        version=reader.version,
        bands=reader.bands,
        dtype=header.dtype,
        value_dtype="float32" if data.values == "physical" else header.dtype,
        target_bands=tally.target_bands,
        region=region,
        lattice=lattice,
        scale=scale_of(data),
        counts=tally.counts,
        moments=merged(tally.moments),
        value_range=_value_range(reader, data),
        likeness=tally.small.likeness(),
        digest=tally.digest.hexdigest(),
        footprint=footprint_of(header, region),
        num_bytes=tally.num_bytes,
        whole="whole" in (header.layout, reader.target_header.layout if reader.target_header else ""),
    )


class _Tally:
    """All that is counted of one pair, window by window."""

    def __init__(self, region: Window, lattice: Lattice, data: DataSpec) -> None:
        self._side = lattice.side * scale_of(data)
        self._classes = len(data.target.classes) if isinstance(data.target, MaskTarget) else 1
        self._is_label = isinstance(data.input, LabelsInput)
        self._is_image = isinstance(data.target, ImageTarget)
        self.counts = np.zeros((*lattice.squares, self._classes), np.int64)
        self.moments: list[Moments] = []
        self.small = SmallImage(region.height, region.width)
        self.digest = hashlib.sha256(f"{region.height} {region.width}".encode())
        self.target_bands = self.num_bytes = 0

    def add(self, raw: Raw, window: Window) -> None:
        """One window more, by its place in the region."""
        channels = np.where(raw.counts, 0, 255).astype(np.uint8)
        if raw.target is not None and not self._is_image:
            channels = np.where(raw.counts, raw.target, 255).astype(np.uint8)
        squares = count_squares(channels, self._side, self._classes)
        row, col = window.row_off // self._side, window.col_off // self._side
        self.counts[row : row + squares.shape[0], col : col + squares.shape[1]] += squares
        if not self._is_label:
            self.moments.append(moments_of(raw.pixels, raw.valid))
        # Masks of one film are all alike; what they are masks of is the picture.
        photo = raw.target if self._is_label and self._is_image else None
        self.small.add(raw.pixels if photo is None else photo, raw.valid, window)
        self.digest.update(np.ascontiguousarray(raw.pixels).data)
        self.num_bytes += raw.num_bytes
        self.target_bands = len(raw.target) if self._is_image and raw.target is not None else 0


def _region(reader: PairReader, scale: int) -> Window:
    header, asked, uri = reader.header, reader.pair.region, reader.pair.image.uri
    whole = Window(0, 0, header.width, header.height)
    if asked is not None and not whole.contains(asked):
        raise UnsupportedScene(
            f"{uri}: has {header.width} x {header.height} px, and the region reaches to column {asked.col_stop}, "
            f"row {asked.row_stop}",
            hint="correct the region",
            uri=uri,
        )
    region = asked or whole
    if min(region.width, region.height) < scale:
        raise UnsupportedScene(f"{uri}: {region.width} x {region.height} px are too few", hint="leave it out", uri=uri)
    return Window(region.col_off, region.row_off, region.width // scale * scale, region.height // scale * scale)


def _lattice(region: Window, data: DataSpec, uri: str, *, learns: bool) -> Lattice:
    rows, cols = data.sampling.sides
    height, width = region.height // scale_of(data), region.width // scale_of(data)
    if learns and data.sampling.small == "refuse" and (rows > height or cols > width):
        raise UnsupportedScene(
            f"{uri}: the window of {cols} x {rows} px is larger than the image, {width} x {height}",
            hint="lower data.sampling.crop, or set data.sampling.small: pad",
            uri=uri,
        )
    side = max(8, min(rows, cols) // 4)
    return Lattice(height=max(height, rows), width=max(width, cols), rows=rows, cols=cols, side=side)


def _windows(region: Window, side: int) -> Iterator[Window]:
    """Windows that cover the region once, row after row, each beginning at a corner of the lattice's squares."""
    stride = max(side, _STRIDE // side * side)
    for row, col in product(range(0, region.height, stride), range(0, region.width, stride)):
        rows = (row + region.row_off, min(row + stride, region.height) + region.row_off)
        cols = (col + region.col_off, min(col + stride, region.width) + region.col_off)
        yield Window.from_bounds(rows, cols)


def _value_range(reader: PairReader, data: DataSpec) -> ValueRange | None:
    wanted = data.normalization
    if not isinstance(wanted, PercentilesNormalization):
        return None

    def patches() -> Iterator[Patch]:
        # Of the whole image, as the main job takes them.
        for window in _windows(Window(0, 0, reader.header.width, reader.header.height), _STRIDE):
            pixels, valid = reader.image(window)
            yield Patch(pixels=pixels, valid_mask=valid)

    found = scene_percentiles(patches, reader.header.dtype, len(reader.bands), (wanted.lower, wanted.upper))
    return tuple((low, high) for low, high in found)
