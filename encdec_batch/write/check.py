"""What a check window leaves: the network's verdict on each of its pixels, from a tile of its own.

    Arrow IPC stream | end

The stream has a column for each band of each raster, a row per pixel, row by row; its schema's metadata say which
window it is. The last 8 bytes: crc32 of the stream (uint32), `EDC1`; little-endian. No time, host or name: equal work,
equal bytes.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encdec_batch.errors import PartMissing
from encdec_batch.window import Window
from encdec_batch.write.part import read_table, table_bytes

FORMAT = 1
_END = struct.Struct("<I4s")
_MAGIC = b"EDC1"
_KEY = b"encdec_check"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Check:
    """The result of one check window."""

    window: Window
    """In output pixels of the scene."""
    rasters: Mapping[str, NDArray[np.generic]]
    """(bands, height, width): of classes `mask` and `margin`, by how much the first was ahead of the second; of images
    `image`, the network's own values in float32. Nodata is written in, NaN for float32.
    """


def encode_check(check: Check) -> bytes:
    """The object that a check leaves beside the parts."""
    window = check.window
    about = {
        "format": FORMAT,
        "window": [window.col_off, window.row_off, window.width, window.height],
        "bands": {name: len(raster) for name, raster in check.rasters.items()},
    }
    columns = {
        f"{name}_{band}": pa.array(pixels.ravel())
        for name, raster in check.rasters.items()
        for band, pixels in enumerate(raster)
    }
    metadata = {_KEY: json.dumps(about, sort_keys=True, separators=(",", ":")).encode()}
    stream = table_bytes(pa.table(columns).replace_schema_metadata(metadata))
    return stream + _END.pack(zlib.crc32(stream), _MAGIC)


def decode_check(data: bytes) -> Check:
    """What `encode_check` was given.

    Raises:
        PartMissing: the bytes are not those of a whole check of this format.
    """
    stream, end = data[: -_END.size], data[-_END.size :]
    if len(end) != _END.size or _END.unpack(end) != (zlib.crc32(stream), _MAGIC):
        raise PartMissing(f"a check of {len(data)} bytes is damaged")
    table = read_table(stream)
    about = json.loads(table.schema.metadata[_KEY])
    if about["format"] != FORMAT:
        raise PartMissing(f"a check of format {about['format']}, this version reads {FORMAT}")
    window = Window(*about["window"])
    shape = -1, window.height, window.width
    return Check(
        window=window,
        rasters={
            name: np.stack([table[f"{name}_{band}"].to_numpy() for band in range(bands)]).reshape(shape)
            for name, bands in about["bands"].items()
        },
    )
