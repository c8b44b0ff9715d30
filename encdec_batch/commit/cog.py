"""A cloud-optimised GeoTIFF from encoded tiles: no tile is decoded, nothing lies on a local disk.

All directories come first, then the tiles: the smallest overview first, row-major, each between its size
and its last four bytes (GDAL's leader and trailer). No tile is left out, though GDAL would read nodata for
it: other readers do not, and an empty tile of 256 KiB costs some 300 bytes.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.geo import Geo, image_tags
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.errors import CommitError
from encdec_batch.write.sink import CountingSink, Sink, Written
from encdec_batch.write.tiff import LEADER, Tag, header_bytes, long8_tag, long_tag

_CLASSIC_LIMIT = 2**32


def write_cog(sink: Sink, tiles: SceneTiles, geo: Geo) -> Written:
    """Writes the file of one product; memory holds one row of encoded tiles.

    Raises:
        PartMissing: names every part that is gone or damaged.
        UnsupportedScene: GDAL does not know the CRS.
    """
    counting = CountingSink(sink)
    header, size = _header(tiles, geo)
    counting.write(header)
    for level in reversed(range(len(tiles.shapes))):
        for row in range(tiles.num_rows(level)):
            counting.write(b"".join(_framed(tile) for tile in tiles.encoded_row(level, row)))
    if counting.size_bytes != size:
        raise CommitError(f"{tiles.product.name}: {counting.size_bytes} bytes written, the header was made for {size}")
    return counting.written


def _framed(tile: bytes) -> bytes:
    return struct.pack("<I", len(tile)) + tile + tile[-LEADER:]


def _header(tiles: SceneTiles, geo: Geo) -> tuple[bytes, int]:
    """The bytes before the first tile, and the size of the whole file."""
    tags = image_tags(tiles.product, geo, tiles.codec)
    lengths = [tiles.lengths(level) for level in range(len(tiles.shapes))]
    pixels = sum(int(level.sum()) + 2 * LEADER * level.size for level in lengths)
    # A header's size does not depend on the offsets in it: it is laid out once to know where tiles begin.
    zeros = [np.zeros_like(level) for level in lengths]
    start = len(_lay_out(tiles, lengths, zeros, tags, big=False))
    big = start + pixels >= _CLASSIC_LIMIT
    if big:
        start = len(_lay_out(tiles, lengths, zeros, tags, big=True))
    return _lay_out(tiles, lengths, _offsets(lengths, start), tags, big=big), start + pixels


def _offsets(lengths: list[NDArray[np.int64]], start: int) -> list[NDArray[np.int64]]:
    """Where each tile begins when the first leader, of the smallest overview, is at `start`."""
    offsets: list[NDArray[np.int64]] = []
    for level in reversed(lengths):
        ends = start + np.cumsum(level + 2 * LEADER)
        offsets.append(ends - level - LEADER)
        start = int(ends[-1])
    return offsets[::-1]


def _lay_out(
    tiles: SceneTiles,
    lengths: list[NDArray[np.int64]],
    offsets: list[NDArray[np.int64]],
    tags: tuple[tuple[Tag, ...], tuple[Tag, ...]],
    *,
    big: bool,
) -> bytes:
    full, overview = tags
    place = long8_tag if big else long_tag
    directories = []
    for number, (height, width) in enumerate(tiles.shapes):
        size = [long_tag(256, [width]), long_tag(257, [height])]
        data = [place(324, offsets[number]), long_tag(325, lengths[number])]
        directories.append([*([long_tag(254, [1]), *overview] if number else full), *size, *data])
    return header_bytes(directories, big=big)
