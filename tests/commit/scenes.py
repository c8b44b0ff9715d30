"""Scenes made of parts, as workers would have left them."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.parts import MemoryParts, SceneTiles
from encdec_batch.commit.pyramid import COARSE, has_coarse, write_coarse
from encdec_batch.plan.product import Product
from encdec_batch.predict.prediction import CoreSummary, Prediction
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.encode import encode_part
from encdec_batch.write.layout import PartLayout

Array = NDArray[np.generic]
DEFLATE = Codec(name="deflate", level=6)
ZSTD = Codec(name="zstd", level=3)

MASK = Product(
    name="mask",
    kind="classes",
    dtype="uint8",
    band_names=("class",),
    nodata=255,
    class_ids=(0, 1, 2, 7),
    class_names=("ground", "water & <ice>", "forêt", "road"),
    class_colors=((0, 0, 0), (0, 0, 255), (0, 128, 0), (200, 200, 200)),
)


MANY = Product(
    name="mask",
    kind="classes",
    dtype="uint16",
    band_names=("class",),
    nodata=65535,
    class_ids=(0, 1, 300, 9),
    class_names=("a", "b", "c", "d"),
    class_colors=((0, 0, 0), (0, 0, 255), (0, 128, 0), (200, 200, 200)),
)
"""More classes than a byte holds."""


def image_product(dtype: str, num_bands: int, nodata: float | None = None) -> Product:
    names = tuple(f"band {number}" for number in range(num_bands))
    return Product(name="image", kind="image", dtype=dtype, band_names=names, nodata=nodata)


FLOAT = image_product("float32", 1, math.nan)


def patches(product: Product, height: int, width: int, seed: int = 0) -> Array:
    """(bands, height, width): flat patches, a gradient in images, and nodata in a corner and at random."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 4, (product.num_bands, -(-height // 16), -(-width // 16)))
    pixels = np.kron(coarse, np.ones((1, 16, 16), np.int64))[:, :height, :width]
    if product.kind == "classes":
        pixels = np.array(product.class_ids)[pixels]
    else:
        pixels = 1 + pixels * 40 + (np.arange(width) % 37) + (np.arange(height) % 11)[:, None]
    pixels = pixels.astype(product.dtype)
    if product.nodata is not None:
        pixels[:, : height // 5, : width // 3] = product.nodata
        pixels[:, rng.random((height, width)) < 0.1] = product.nodata
    return pixels


def block_windows(shape: tuple[int, int], side: int) -> list[Window]:
    return [
        Window.from_bounds((row, min(row + side, shape[0])), (col, min(col + side, shape[1])))
        for row in range(0, shape[0], side)
        for col in range(0, shape[1], side)
    ]


def core_summaries(window: Window, core: int, mask: Array | None = None) -> tuple[CoreSummary, ...]:
    summaries = []
    for inner in block_windows((window.height, window.width), core):
        place = inner.shift(window.row_off, window.col_off)
        counts: tuple[int, ...] = ()
        if mask is not None:
            counts = tuple(int((mask[0, place.rows, place.cols] == number).sum()) for number in MASK.class_ids)
        probability = 0.75 if sum(counts) else math.nan
        fraction = sum(counts) / place.num_pixels
        summaries.append(
            CoreSummary(window=place, class_counts=counts, mean_probability=probability, valid_fraction=fraction)
        )
    return tuple(summaries)


def encode_blocks(pixels: Array, product: Product, *, side: int, levels: int, **options: Any) -> list[bytes]:
    """The parts of a scene; options: codec, core (side of cores, with their masks)."""
    shape = (pixels.shape[1], pixels.shape[2])
    core = options.get("core")
    parts = []
    for window in block_windows(shape, side):
        layout = PartLayout(
            products=(product,),
            out_window=window,
            scene_shape=shape,
            levels=levels,
            codec=options.get("codec", DEFLATE),
            cells=core is not None,
        )
        cores = core_summaries(window, core, pixels if product.kind == "classes" else None) if core else ()
        block = np.ascontiguousarray(pixels[:, window.rows, window.cols])
        parts.append(encode_part(Prediction(rasters={product.name: block}, cores=cores), layout))
    return parts


def in_memory(parts: list[bytes]) -> MemoryParts:
    return MemoryParts(parts, [f"block-{number}" for number in range(len(parts))])


def coarse_of(parts: MemoryParts, product: Product) -> MemoryParts | None:
    first = parts.indexes[0]
    if not has_coarse(first.scene_shape, first.levels):
        return None
    buffer = io.BytesIO()
    write_coarse(buffer, (product,), parts)
    return MemoryParts([buffer.getvalue()], [COARSE])


def scene_tiles(pixels: Array, product: Product, *, side: int, levels: int, **options: Any) -> SceneTiles:
    parts = in_memory(encode_blocks(pixels, product, side=side, levels=levels, **options))
    return SceneTiles(product, (pixels.shape[1], pixels.shape[2]), parts, coarse_of(parts, product))
