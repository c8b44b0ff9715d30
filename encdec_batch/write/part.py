"""The object a worker writes for a block, and the coarse levels of a scene: one form for both.

    tiles, rows, reductions | index | end

The index is an Arrow IPC stream: a row per tile (product, level, row, col, offset, length, crc32),
`row` and `col` in tiles of that level of the scene; its schema's metadata hold the rest as canonical
JSON: window, layout, where the other sections lie and their crc32, statistics, notes, and the sha256
of all bytes before the index. So the digest of a part is the sha256 of its index alone, and whoever
assembles a scene reads a few kilobytes of each part. The last 16 bytes: offset of the index (uint64),
its crc32 (uint32), `EDP1`; little-endian. No time, host or name is in a part: equal work, equal bytes.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from encdec_batch.errors import PartMissing
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.layout import PartLayout
from encdec_batch.write.sink import CountingSink, Sink
from encdec_batch.write.statistics import Statistics

FORMAT = 1
END_SIZE = 16
_END = struct.Struct("<QI4s")
_MAGIC = b"EDP1"
_TAIL_GUESS = 32 * 1024
_KEY = b"encdec_part"
TILE_FIELDS = np.dtype(
    [("level", "i4"), ("row", "i4"), ("col", "i4"), ("offset", "i8"), ("length", "i8"), ("crc32", "u4")]
)


class Span(NamedTuple):
    """A section of a part and the check sum of its bytes."""

    offset: int
    length: int
    crc32: int

    @property
    def stop(self) -> int:
        return self.offset + self.length


class Reduction(NamedTuple):
    """Level L + 1 of a block as plain pixels, C order (bands, height, width), little-endian."""

    height: int
    width: int
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartIndex:
    """All that a part says of itself but its pixels."""

    digest: str
    """sha256 of the index, which names by check sums everything else in the part."""
    window: Window
    """In output pixels of the scene; the whole scene for coarse levels."""
    scene_shape: tuple[int, int]
    levels: int
    codec: Codec
    tiles: Mapping[str, NDArray[np.void]]
    """Product name to the TILE_FIELDS of its tiles, by level, row, col."""
    cores: tuple[Window, ...]
    """The cores of the rows, in their order."""
    rows: Span | None
    """An Arrow IPC stream, one row a core."""
    reductions: Mapping[str, Reduction]
    statistics: Mapping[str, Statistics]
    notes: tuple[str, ...]


class PartWriter:
    """Writes a part in one pass; sections may come in any order, the index is sorted."""

    def __init__(self, sink: Sink) -> None:
        self._sink = CountingSink(sink)
        self._tiles: list[tuple[str, int, int, int, Span]] = []

    def section(self, data: bytes) -> Span:
        """Appends bytes and says where they lie."""
        span = Span(self._sink.size_bytes, len(data), zlib.crc32(data))
        self._sink.write(data)
        return span

    def tile(self, product: str, level: int, row: int, col: int, data: bytes) -> None:
        self._tiles.append((product, level, row, col, self.section(data)))

    def finish(
        self,
        layout: PartLayout,
        sections: Mapping[str, Any],
    ) -> None:
        """Writes the index and the end; `sections` are the fields of a PartIndex that the layout does not say."""
        window = layout.out_window
        products = [product.name for product in layout.products]
        about = {
            "format": FORMAT,
            "window": [window.col_off, window.row_off, window.width, window.height],
            "scene_shape": list(layout.scene_shape),
            "levels": layout.levels,
            "codec": asdict(layout.codec),
            "products": products,
            "sha256": self._sink.sha256,
            **sections,
        }
        order = {name: number for number, name in enumerate(products)}
        index = _index_bytes(sorted(self._tiles, key=lambda tile: (order[tile[0]], *tile[1:4])), about)
        offset = self._sink.size_bytes
        self._sink.write(index + _END.pack(offset, zlib.crc32(index), _MAGIC))


def read_index(read: Callable[[int, int], bytes], size: int) -> PartIndex:
    """The index of a part of `size` bytes, by one or two calls of `read(start, stop)`.

    Raises:
        PartMissing: the bytes are not those of a whole part of this format.
    """
    if size < END_SIZE:
        raise PartMissing(f"a part of {size} bytes is none")
    start = max(0, size - _TAIL_GUESS)
    tail = read(start, size)
    if len(tail) != size - start:
        raise PartMissing(f"a part of {size} bytes gave {len(tail)} of its last {size - start}")
    offset, crc32, magic = _END.unpack(tail[-END_SIZE:])
    if magic != _MAGIC or offset > size - END_SIZE:
        raise PartMissing("the end of a part is damaged")
    if offset < start:
        tail = read(offset, start) + tail
        start = offset
    index = tail[offset - start : -END_SIZE]
    if zlib.crc32(index) != crc32:
        raise PartMissing("the index of a part fails its check sum")
    return _parse(index)


def table_bytes(table: pa.Table) -> bytes:
    """An Arrow IPC stream of one batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return bytes(sink.getvalue())


def read_table(data: bytes) -> pa.Table:
    """What `table_bytes` was given."""
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def _index_bytes(tiles: Sequence[tuple[str, int, int, int, Span]], about: Mapping[str, Any]) -> bytes:
    fields = {
        "product": pa.array([tile[0] for tile in tiles], pa.string()),
        "level": pa.array([tile[1] for tile in tiles], pa.int32()),
        "row": pa.array([tile[2] for tile in tiles], pa.int32()),
        "col": pa.array([tile[3] for tile in tiles], pa.int32()),
        "offset": pa.array([tile[4].offset for tile in tiles], pa.int64()),
        "length": pa.array([tile[4].length for tile in tiles], pa.int64()),
        "crc32": pa.array([tile[4].crc32 for tile in tiles], pa.uint32()),
    }
    text = json.dumps(about, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return table_bytes(pa.table(fields).replace_schema_metadata({_KEY: text.encode()}))


def _parse(index: bytes) -> PartIndex:
    table = read_table(index)
    about = json.loads(table.schema.metadata[_KEY])
    if about["format"] != FORMAT:
        raise PartMissing(f"a part of format {about['format']}, this version reads {FORMAT}")
    names = np.array(table["product"].to_pylist(), dtype=object)
    entries = np.empty(table.num_rows, TILE_FIELDS)
    for field in TILE_FIELDS.names or ():
        entries[field] = table[field].to_numpy()
    return PartIndex(
        digest=hashlib.sha256(index).hexdigest(),
        window=Window(*about["window"]),
        scene_shape=(about["scene_shape"][0], about["scene_shape"][1]),
        levels=about["levels"],
        codec=Codec(**about["codec"]),
        tiles={name: entries[names == name] for name in about["products"]},
        cores=tuple(Window(*core) for core in about.get("cores", [])),
        rows=Span(*about["rows"]) if about.get("rows") else None,
        reductions={name: Reduction(h, w, Span(*span)) for name, (h, w, span) in about.get("reductions", {}).items()},
        statistics={name: _statistics(values) for name, values in about.get("statistics", {}).items()},
        notes=tuple(about.get("notes", [])),
    )


def _statistics(values: Mapping[str, Any]) -> Statistics:
    lists = {key: tuple(value) for key, value in values.items() if key != "valid_pixels"}
    return Statistics(valid_pixels=values["valid_pixels"], **lists)
