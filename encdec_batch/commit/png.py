"""PNG of a product, row by row from decoded tiles: pictures for people, of a scene of any height.

Classes keep their ids, under a palette. An image of one band is grey, of three or more RGB from the first
three, of two grey from the first; 8 or 16 bits as it is stored, or 8 bits when it is stretched over a range
of values, as float32 must be. Nodata is transparent.

Source: PNG (third edition), W3C, section 9 (filters).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.parts import SceneTiles
from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.product import Product
from encdec_batch.write.png import END, PngFormat, chunk, mask_format, unfiltered
from encdec_batch.write.sink import CountingSink, Sink, Written

MAX_SIDE = 16384
"""Sides above it are shown by the quicklook alone, unless the spec says otherwise; pixels of the output."""
QUICKLOOK_SIDE = 2048
_LEVEL = 6
_IDAT_BYTES = 1 << 20

Range = tuple[float, float]


def write_png(sink: Sink, tiles: SceneTiles, *, level: int = 0, value_range: Range | None = None) -> Written:
    """One level of a product as PNG; memory holds one row of decoded tiles.

    Args:
        sink: takes the file.
        tiles: the product.
        level: 0 is the full size.
        value_range: (lowest, highest) of an image to show as black and white; required for float32.

    Raises:
        PartMissing: names every part that is gone or damaged.
        UnsupportedScene: float32 without a range.
    """
    product = tiles.product
    counting = CountingSink(sink)
    form = _image_format(product, value_range) if product.kind == "image" else mask_format(product)
    counting.write(form.head(*tiles.shapes[level]))
    rows = (_picture(strip, product, form, value_range) for strip in tiles.pixel_rows(level))
    for data in _compressed(_filtered(rows, form)):
        counting.write(chunk(b"IDAT", data))
    counting.write(END)
    return counting.written


def write_quicklook(
    sink: Sink, tiles: SceneTiles, *, max_side: int = QUICKLOOK_SIDE, value_range: Range | None = None
) -> Written:
    """The largest level of at most `max_side` pixels a side, as `write_png`; `max_side` is at least 512."""
    level = next(number for number, shape in enumerate(tiles.shapes) if max(shape) <= max_side)
    return write_png(sink, tiles, level=level, value_range=value_range)


def _image_format(product: Product, value_range: Range | None) -> PngFormat:
    color_type = 2 if product.num_bands >= 3 else 0
    samples = 3 if color_type == 2 else 1
    if value_range is not None:
        # Zero is kept for nodata, values take 1 to 255.
        return PngFormat(bit_depth=8, color_type=color_type, transparency=struct.pack(">H", 0) * samples)
    dtype = np.dtype(product.dtype)
    if dtype.kind == "f":
        raise UnsupportedScene(
            f"{product.name}: a PNG cannot hold {product.dtype}", hint="give the card an output range to stretch over"
        )
    nodata = b"" if product.nodata is None else struct.pack(">H", int(product.nodata)) * samples
    return PngFormat(bit_depth=8 * dtype.itemsize, color_type=color_type, transparency=nodata)


def _picture(
    strip: NDArray[np.generic], product: Product, form: PngFormat, value_range: Range | None
) -> NDArray[np.generic]:
    """(rows, width) or (rows, width, 3) as the PNG stores them."""
    bands = strip[: form.samples]
    if product.kind == "image" and value_range is not None:
        bands = _stretched(bands, product.nodata, value_range)
    return bands[0] if form.samples == 1 else bands.transpose(1, 2, 0)


def _stretched(bands: NDArray[np.generic], nodata: float | None, value_range: Range) -> NDArray[np.uint8]:
    """Values of the range to 1..255, beyond it clipped; nodata and NaN to 0."""
    low, high = value_range
    values = bands.astype(np.float32)
    invalid = np.isnan(values)
    if nodata is not None:
        invalid |= bands == nodata
    span = np.float32(max(high - low, float(np.finfo(np.float32).tiny)))
    with np.errstate(over="ignore", invalid="ignore"):
        shares = np.clip((values - np.float32(low)) / span, 0, 1)
        grey = np.floor(shares * np.float32(254) + np.float32(1.5))
    return np.where(invalid, 0, np.nan_to_num(grey)).astype(np.uint8)


def _filtered(strips: Iterable[NDArray[np.generic]], form: PngFormat) -> Iterator[bytes]:
    """Rows behind their filter byte: "none" for a palette, "up" for what has gradients."""
    if form.color_type == 3:
        for strip in strips:
            yield unfiltered(strip)
        return
    above: NDArray[np.uint8] | None = None
    for strip in strips:
        framed = np.frombuffer(unfiltered(np.ascontiguousarray(strip)), np.uint8).reshape(strip.shape[0], -1)
        before = np.zeros_like(framed[:1]) if above is None else above
        # The row above the strip goes first: each row less the one above it, modulo 256.
        differences = framed - np.concatenate([before, framed[:-1]])
        differences[:, 0] = 2
        above = framed[-1:]
        yield differences.tobytes()


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One zlib stream, in chunks of about 1 MiB."""
    packer = zlib.compressobj(_LEVEL)
    waiting = bytearray()
    for piece in pieces:
        waiting += packer.compress(piece)
        if len(waiting) >= _IDAT_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting) + packer.flush()
