"""A prediction becomes a part."""

from __future__ import annotations

import io
import math
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encdec_batch.plan.product import Product
from encdec_batch.predict.prediction import CoreSummary, Prediction
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec, encode_tile
from encdec_batch.write.layout import PartLayout
from encdec_batch.write.overview import TILE, reduce
from encdec_batch.write.part import PartWriter, Reduction, table_bytes
from encdec_batch.write.png import encode_mask
from encdec_batch.write.statistics import measure


def encode_part(prediction: Prediction, layout: PartLayout) -> bytes:
    """The bytes of one part: equal predictions give equal bytes.

    Raises:
        ValueError: a raster is not of the shape or dtype that its product and the layout say.
    """
    buffer = io.BytesIO()
    writer = PartWriter(buffer)
    tops = {}
    for product in layout.products:
        pixels = _raster(prediction, product, layout.out_window)
        tops[product.name] = _write_levels(writer, pixels, product, layout)
    rows = writer.section(table_bytes(_rows(prediction, layout)))
    reductions = {}
    for product in layout.products if layout.passes_reduction else ():
        reduced = reduce(tops[product.name], product)
        reductions[product.name] = Reduction(reduced.shape[1], reduced.shape[2], writer.section(reduced.tobytes()))
    sections = {
        "cores": [_numbers(core.window) for core in prediction.cores],
        "rows": rows,
        "reductions": reductions,
        "statistics": {p.name: asdict(measure(prediction.rasters[p.name], p)) for p in layout.products},
        "notes": list(prediction.notes),
    }
    writer.finish(layout, sections)
    return buffer.getvalue()


def write_tile_row(
    writer: PartWriter,
    pixels: NDArray[np.generic],
    product: Product,
    codec: Codec,
    *,
    place: tuple[int, int, int],
) -> None:
    """Encodes up to 512 rows of pixels (bands, rows, width) as tiles beginning at `place`: (level, row, col)."""
    level, row, col = place
    for number, left in enumerate(range(0, pixels.shape[2], TILE)):
        data = encode_tile(pixels[:, :, left : left + TILE], product, codec)
        writer.tile(product.name, level, row, col + number, data)


def _write_levels(
    writer: PartWriter, pixels: NDArray[np.generic], product: Product, layout: PartLayout
) -> NDArray[np.generic]:
    """Writes the block's own levels and gives the last of them."""
    for level in range(layout.own_levels + 1):
        if level:
            pixels = reduce(pixels, product)
        row, col = (layout.out_window.row_off >> level) // TILE, (layout.out_window.col_off >> level) // TILE
        for number, top in enumerate(range(0, pixels.shape[1], TILE)):
            strip = pixels[:, top : top + TILE]
            write_tile_row(writer, strip, product, layout.codec, place=(level, row + number, col))
    return pixels


def _raster(prediction: Prediction, product: Product, window: Window) -> NDArray[np.generic]:
    pixels = prediction.rasters[product.name]
    wanted = (product.num_bands, window.height, window.width)
    if pixels.shape != wanted or pixels.dtype != np.dtype(product.dtype):
        raise ValueError(
            f"{product.name}: predicted {pixels.dtype} {pixels.shape}, the layout wants {product.dtype} {wanted}"
        )
    return pixels


def _rows(prediction: Prediction, layout: PartLayout) -> pa.Table:
    """One row a core; `mask` is null where no PNG was asked for or there is no class mask."""
    mask = next((p for p in layout.products if p.kind == "classes"), None) if layout.cells else None
    cores = prediction.cores
    return pa.table(
        {
            "window": pa.array([_numbers(core.window) for core in cores], pa.list_(pa.int64(), 4)),
            "class_counts": pa.array([core.class_counts for core in cores], pa.list_(pa.int64())),
            "mean_probability": pa.array([_known(core.mean_probability) for core in cores], pa.float64()),
            "valid_fraction": pa.array([core.valid_fraction for core in cores], pa.float64()),
            "mask": pa.array([_cell(core, mask, prediction, layout.out_window) for core in cores], pa.binary()),
        }
    )


def _cell(core: CoreSummary, mask: Product | None, prediction: Prediction, block: Window) -> bytes | None:
    if mask is None:
        return None
    inside = core.window.shift(-block.row_off, -block.col_off)
    return encode_mask(prediction.rasters[mask.name][0, inside.rows, inside.cols], mask)


def _numbers(window: Window) -> list[int]:
    return [window.col_off, window.row_off, window.width, window.height]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
