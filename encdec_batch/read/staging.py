"""A scene of whole-width strips, cut once into tiles, so that its windows cost what they should.

The staged object is: the tiles, zstd, row by row; an index; 16 bytes that say where the index begins. A tile is its
pixels (bands, height, width), little-endian, then, where validity does not follow from the pixels, its mask as bits.
It is private to a run, and can be made again at any time. staged.py reads it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import zlib
from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.store.store import Store, Writer
from encdec_batch.window import Window

TILE = 512
TAIL = struct.Struct("<8sQ")
MAGIC = b"ENCDSTG1"
_LEVEL = 1  # of zstd: written and read once


def stage_scene(reader: Reader, store: Store, path: str) -> bool:
    """Cuts a scene into tiles, streaming; in memory are one row of tiles and whatever strips it touches.

    Args:
        reader: of the scene; every band of it is read once, from top to bottom.
        store: where to.
        path: of the staged object, create-only.

    Returns:
        False if there was one already: it is left as it is.

    Raises:
        SceneError, StoreError: reading or writing failed; nothing stays behind.
    """
    header = reader.header
    has_mask = header.mask in ("alpha", "internal") or (
        header.mask == "nodata" and all(value is None for value in header.nodata)
    )
    places: list[tuple[int, int, int]] = []
    position = 0
    with store.open_writer(path, expected_size=2 * header.encoded_bytes) as writer:
        for window in strips_of(header):
            patch = reader.read(window, range(1, header.num_bands + 1), rule="all", nan_is_nodata=False)
            for data in _tiles(patch, has_mask=has_mask):
                writer.write(data)
                places.append((position, len(data), zlib.crc32(data)))
                position += len(data)
        _write_index(writer, reader, np.array(places, dtype=np.int64), has_mask=has_mask)
        return writer.finish()


def strips_of(header: SceneHeader) -> Iterator[Window]:
    """Windows of the whole width, top to bottom, that suit a file's strips and tiles of ours."""
    # No lower than a strip of the file, which is decoded whole whatever is wanted of it.
    rows = TILE * -(-header.tile_height // TILE) if header.layout == "striped" else TILE
    for first in range(0, header.height, rows):
        yield Window(0, first, header.width, min(rows, header.height - first))


def _tiles(patch: Patch, *, has_mask: bool) -> Iterator[bytes]:
    height, width = patch.valid_mask.shape
    dtype = patch.pixels.dtype.newbyteorder("<")
    for row in range(0, height, TILE):
        for column in range(0, width, TILE):
            place = slice(row, row + TILE), slice(column, column + TILE)
            raw = patch.pixels[:, *place].astype(dtype, copy=False).tobytes()
            if has_mask:
                raw += np.packbits(patch.valid_mask[place]).tobytes()
            yield bytes(imagecodecs.zstd_encode(raw, level=_LEVEL))


def _write_index(writer: Writer, reader: Reader, places: NDArray[np.int64], *, has_mask: bool) -> None:
    staged = dataclasses.replace(
        reader.header,
        layout="tiled",
        tile_height=TILE,
        tile_width=TILE,
        planar=False,
        encoded_bytes=int(places[:, 1].sum()),
    )
    values = {
        "header": dataclasses.asdict(staged),
        "source_etag": reader.etag,
        "source_size": reader.size_bytes,
        "has_mask": has_mask,
    }
    index = io.BytesIO()
    np.savez(index, header=np.frombuffer(json.dumps(values).encode(), dtype=np.uint8), places=places)
    writer.write(index.getvalue() + TAIL.pack(MAGIC, int(places[:, 1].sum())))
