"""The levels above L of a scene, from the last plain level of each block, into one more part.

A level is passed on as strips of 512 rows: encoded, halved, handed to the next level. So memory is a few
rows of tiles, whatever the scene's height. `coarse` has the form of a part; its tiles lie in the order in
which they were finished, those of one tile row side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.parts import Parts, read_spans
from encdec_batch.plan.product import Product
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.encode import write_tile_row
from encdec_batch.write.layout import PartLayout
from encdec_batch.write.overview import TILE, overview_shapes, reduce
from encdec_batch.write.part import PartIndex, PartWriter
from encdec_batch.write.sink import Sink

COARSE = "coarse"
"""Name of the object, beside those of the blocks."""


def has_coarse(scene_shape: tuple[int, int], levels: int) -> bool:
    """Whether the scene has levels that no block makes."""
    return len(overview_shapes(*scene_shape)) - 1 > levels


def write_coarse(sink: Sink, products: Sequence[Product], parts: Parts) -> None:
    """Writes levels L + 1 and above of every product.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    writer = PartWriter(sink)
    about = parts.indexes[0]
    height, width = about.scene_shape
    layout = PartLayout(
        products=tuple(products),
        out_window=Window(0, 0, width, height),
        scene_shape=about.scene_shape,
        levels=about.levels,
        codec=about.codec,
        cells=False,
    )
    last = len(overview_shapes(height, width)) - 1
    for product in products:
        stream = _Level(writer, product, about.codec, level=about.levels + 1, last=last)
        for strip in _strips(product, parts):
            stream.push(strip)
        stream.close()
    writer.finish(layout, {})


def _strips(product: Product, parts: Parts) -> Iterator[NDArray[np.generic]]:
    """Level L + 1 from top to bottom, a row of blocks at a time."""
    order = sorted(enumerate(parts.indexes), key=lambda item: (item[1].window.row_off, item[1].window.col_off))
    for _, group in groupby(order, key=lambda item: item[1].window.row_off):
        row = list(group)
        data = read_spans(parts, [(number, index.reductions[product.name].span) for number, index in row])
        blocks = [_plain(piece, index, product) for piece, (_, index) in zip(data, row, strict=True)]
        yield np.concatenate(blocks, axis=2)


def _plain(data: bytes, index: PartIndex, product: Product) -> NDArray[np.generic]:
    reduction = index.reductions[product.name]
    shape = (product.num_bands, reduction.height, reduction.width)
    return np.frombuffer(data, np.dtype(product.dtype).newbyteorder("<")).reshape(shape)


class _Level:
    """One level as it passes by; owns the level above it."""

    def __init__(self, writer: PartWriter, product: Product, codec: Codec, *, level: int, last: int) -> None:
        self._writer, self._product, self._codec, self._level = writer, product, codec, level
        self._rows_done = 0
        self._waiting: NDArray[np.generic] | None = None
        self._above = _Level(writer, product, codec, level=level + 1, last=last) if level < last else None

    def push(self, strip: NDArray[np.generic]) -> None:
        """Takes the next rows, (bands, any, width)."""
        rows = strip if self._waiting is None else np.concatenate([self._waiting, strip], axis=1)
        whole = rows.shape[1] // TILE * TILE
        for top in range(0, whole, TILE):
            self._emit(rows[:, top : top + TILE])
        self._waiting = rows[:, whole:].copy() if whole < rows.shape[1] else None

    def close(self) -> None:
        """Takes what waits for the last row of tiles."""
        if self._waiting is not None:
            self._emit(self._waiting)
        if self._above is not None:
            self._above.close()

    def _emit(self, rows: NDArray[np.generic]) -> None:
        write_tile_row(self._writer, rows, self._product, self._codec, place=(self._level, self._rows_done, 0))
        self._rows_done += 1
        if self._above is not None:
            # 512 rows are even: an odd last row can only be the scene's own.
            self._above.push(reduce(rows, self._product))
