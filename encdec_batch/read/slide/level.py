"""The stored images of one level of a slide: where their tiles lie, and what they give of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.gdal.tiff_index import TilePage, TileRef, tile_page
from encdec_batch.read.ranges import PinnedObject, Span
from encdec_batch.read.slide.directory import as_damaged
from encdec_batch.read.slide.layout import Level
from encdec_batch.read.slide.tile import NAMES, TileFormat, decode_tile, tile_format
from encdec_batch.window import Window

There = NDArray[np.bool_] | None
"""(bands, height, width): where a tile for a pixel is in the file; None: everywhere."""
_Tile = tuple[Window, Span | None]
"""Place and bytes of a tile; None: it is not in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLevel:
    """A level, and where its tiles lie."""

    level: Level
    pages: tuple[tuple[TilePage, TileFormat], ...]
    """As `level.directories`: one that has all bands, or one for each channel."""

    def bands(self) -> list[tuple[int, int]]:
        """Number of page and of sample in it, by band."""
        return [(number, sample) for number, (page, _) in enumerate(self.pages) for sample in range(page.num_samples)]

    def refs(self, window: Window, bands: Sequence[int]) -> list[TileRef]:
        """What must be fetched for 1-based bands; each tile once."""
        found: list[TileRef] = []
        for number, samples in self._by_page(bands):
            found += self.pages[number][0].tiles(window, [sample + 1 for sample, _ in samples])
        return found

    def decode(self, window: Window, bands: Sequence[int], source: PinnedObject) -> tuple[NDArray[Any], There]:
        """(bands, height, width) of pixels, 0 where there is no tile for them, and where there is."""
        shape = len(bands), window.height, window.width
        pixels, there = np.empty(shape, self.pages[0][1].dtype), None
        for number, samples in self._by_page(bands):
            page, tile = self.pages[number]
            decoder = _Decoder(source, tile, np.empty((page.tile_height, page.tile_width, tile.samples), tile.dtype))
            # Bands that lie apart have tiles of their own.
            for group in [[one] for one in samples] if page.planar else [samples]:
                for tiles in _rows_of_tiles(page, window, group[0][0] if page.planar else 0):
                    rows, line, missing = decoder.row(tiles, window)
                    for sample, band in group:
                        pixels[band, rows] = line[..., 0 if page.planar else sample]
                    for cols in missing:
                        there = np.ones(shape, np.bool_) if there is None else there
                        there[[band for _, band in group], rows, cols] = False
        return pixels, there

    def _by_page(self, bands: Sequence[int]) -> Iterator[tuple[int, list[tuple[int, int]]]]:
        """By number of page: samples, and at which place of those asked for."""
        all_bands = self.bands()
        places = [all_bands[band - 1] for band in bands]
        for number in sorted({number for number, _ in places}):
            yield number, [(sample, at) for at, (page, sample) in enumerate(places) if page == number]


@dataclass(frozen=True, slots=True)
class _Decoder:
    """Of the tiles of one image, for one window."""

    source: PinnedObject
    tile: TileFormat
    room: NDArray[Any]
    """For one tile, used again for each."""

    def row(self, tiles: list[_Tile], window: Window) -> tuple[slice, NDArray[Any], list[slice]]:
        """What a row of tiles gives: its rows of the window, (height, width, samples), and columns that are missing.

        Samples are parted by row of tiles, which a cache holds, not by tile: that would cost a fifth of the decoding.
        """
        first = tiles[0][0]
        rows = max(first.row_off, window.row_off), min(first.row_stop, window.row_stop)
        line = np.empty((rows[1] - rows[0], window.width, self.tile.samples), self.tile.dtype)
        missing = []
        for place, span in tiles:
            common = place.intersection(window)
            inside = common.shift(-place.row_off, -place.col_off)
            cols = common.shift(0, -window.col_off).cols
            if span is None:
                line[:, cols] = 0
                missing.append(cols)
                continue
            data = self.source.bytes_at(*span)
            decoded = decode_tile(data, self.tile, self.room[: place.height], source=self.source)
            line[:, cols] = decoded[inside.rows, inside.cols]
        return slice(rows[0] - window.row_off, rows[1] - window.row_off), line, missing


def stored_level(source: PinnedObject, level: Level) -> StoredLevel:
    """Reads where the tiles of a level lie.

    Raises:
        SceneUnreadable: its directories contradict each other, or the file.
        UnsupportedScene: beyond the limits, or of a kind that is not read.
    """
    with as_damaged(source, "TIFF header"):
        pages = []
        for directory in level.directories:
            page = tile_page(directory, source, compressions=NAMES)
            pages.append((page, tile_format(directory, page, source)))
        if len({tile.dtype for _, tile in pages}) > 1:
            raise ValueError("channels of several types")
    if sum(page.num_samples for page, _ in pages) > source.limits.max_bands:
        raise UnsupportedScene(
            f"{source.uri}: more than {source.limits.max_bands:,} bands", hint="split it", uri=source.uri
        )
    return StoredLevel(level=level, pages=tuple(pages))


def _rows_of_tiles(page: TilePage, window: Window, plane: int) -> Iterator[list[_Tile]]:
    """The tiles that hold pixels of a window. A tile has its full size at the border too; a last strip has not."""
    down, across = page.grid
    for row in range(window.row_off // page.tile_height, (window.row_stop - 1) // page.tile_height + 1):
        top = row * page.tile_height
        height = page.tile_height if page.tiled else min(page.tile_height, page.height - top)
        tiles: list[_Tile] = []
        for column in range(window.col_off // page.tile_width, (window.col_stop - 1) // page.tile_width + 1):
            number = (plane * down + row) * across + column
            size, start = int(page.sizes[number]), int(page.offsets[number])
            place = Window(column * page.tile_width, top, page.tile_width, height)
            tiles.append((place, (start, start + size) if size else None))
        yield tiles
