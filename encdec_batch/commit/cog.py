"""A cloud-optimised GeoTIFF from encoded tiles: no tile is decoded, nothing lies on a local disk.

All directories come first, then the tiles: the smallest overview first, row-major, each between its size
and its last four bytes (GDAL's leader and trailer). No tile is left out, though GDAL would read nodata for
it: other readers do not, and an empty tile of 256 KiB costs some 300 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.geo import Geo, image_tags
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.errors import CommitError
from encdec_batch.write.sink import CountingSink, Sink, Written
from encdec_batch.write.tiff import LEADER, Tag, header_bytes, long8_tag, long_tag

_CLASSIC_LIMIT = 2**32


class LayOut(Protocol):
    """Header and directories of a file."""

    def __call__(self, levels: Sequence[Sequence[Tag]], *, big: bool) -> bytes:
        """`levels` has of each level, the full one first, its size and where its tiles lie."""


def write_cog(sink: Sink, tiles: SceneTiles, geo: Geo) -> Written:
    """Writes the file of one product; memory holds one row of encoded tiles.

    Raises:
        PartMissing: names every part that is gone or damaged.
        UnsupportedScene: GDAL does not know the CRS.
    """
    full, overview = image_tags(tiles.product, geo, tiles.codec)

    def lay_out(levels: Sequence[Sequence[Tag]], *, big: bool) -> bytes:
        reduced = [[long_tag(254, [1]), *overview, *level] for level in levels[1:]]
        return header_bytes([[*full, *levels[0]], *reduced], big=big)

    return write_tiled(sink, tiles, lay_out)


def write_tiled(sink: Sink, tiles: SceneTiles, lay_out: LayOut) -> Written:
    """The same for any order of directories.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    counting = CountingSink(sink)
    header, size = _header(tiles, lay_out)
    counting.write(header)
    for level in reversed(range(len(tiles.shapes))):
        for row in range(tiles.num_rows(level)):
            counting.write(b"".join(_framed(tile) for tile in tiles.encoded_row(level, row)))
    if counting.size_bytes != size:
        raise CommitError(f"{tiles.product.name}: {counting.size_bytes} bytes written, the header was made for {size}")
    return counting.written


def _framed(tile: bytes) -> bytes:
    return struct.pack("<I", len(tile)) + tile + tile[-LEADER:]


def _header(tiles: SceneTiles, lay_out: LayOut) -> tuple[bytes, int]:
    """The bytes before the first tile, and the size of the whole file."""
    lengths = [tiles.lengths(level) for level in range(len(tiles.shapes))]
    pixels = sum(int(level.sum()) + 2 * LEADER * level.size for level in lengths)
    # A header's size does not depend on the offsets in it: it is laid out once to know where tiles begin.
    zeros = [np.zeros_like(level) for level in lengths]
    start = len(lay_out(_places(tiles, lengths, zeros, big=False), big=False))
    big = start + pixels >= _CLASSIC_LIMIT
    if big:
        start = len(lay_out(_places(tiles, lengths, zeros, big=True), big=True))
    return lay_out(_places(tiles, lengths, _offsets(lengths, start), big=big), big=big), start + pixels


def _offsets(lengths: list[NDArray[np.int64]], start: int) -> list[NDArray[np.int64]]:
    """Where each tile begins when the first leader, of the smallest overview, is at `start`."""
    offsets: list[NDArray[np.int64]] = []
    for level in reversed(lengths):
        ends = start + np.cumsum(level + 2 * LEADER)
        offsets.append(ends - level - LEADER)
        start = int(ends[-1])
    return offsets[::-1]


def _places(
    tiles: SceneTiles, lengths: list[NDArray[np.int64]], offsets: list[NDArray[np.int64]], *, big: bool
) -> list[list[Tag]]:
    """Of each level its size and where its tiles lie."""
    place = long8_tag if big else long_tag
    return [
        [
            long_tag(256, [width]),
            long_tag(257, [height]),
            place(324, offsets[number]),
            long_tag(325, lengths[number]),
        ]
        for number, (height, width) in enumerate(tiles.shapes)
    ]
