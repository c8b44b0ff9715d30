"""One shard of Zarr: chunks one after the other, then where each lies.

Source: Zarr v3, codec `sharding_indexed` 1.0; crc32c: RFC 3720, appendix B.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from encdec_batch.write.sink import CountingSink, Sink, Written


class ShardWriter:
    """Takes chunks in any order; those that never come are read as the array's fill value."""

    def __init__(self, sink: Sink, chunks: Sequence[int]) -> None:
        """`chunks`: how many there are along each axis."""
        self._sink = CountingSink(sink)
        # Both 2**64 - 1: no chunk.
        self._index = np.full((*chunks, 2), np.iinfo(np.uint64).max, "<u8")

    def put(self, place: tuple[int, ...], data: bytes) -> None:
        """One encoded chunk, by its place in the shard."""
        self._index[place] = self._sink.size_bytes, len(data)
        self._sink.write(data)

    def finish(self) -> Written:
        """Writes the index and its check sum."""
        index = self._index.tobytes()
        self._sink.write(index + crc32c(index).to_bytes(4, "little"))
        return self._sink.written


def crc32c(data: bytes) -> int:
    """The check sum of Castagnoli's polynomial. Of indices, which are small: a megabyte takes a tenth of a second."""
    table, found = _table(), 0xFFFFFFFF
    for byte in data:
        found = (found >> 8) ^ table[(found ^ byte) & 0xFF]
    return found ^ 0xFFFFFFFF


@cache
def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return tuple(table)
