"""Where chunks lie within the shards of a Zarr array.

Source: Zarr specification version 3, "Sharding codec", https://zarr-specs.readthedocs.io.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import HeaderTooLarge, SceneUnreadable
from encdec_batch.read.folder import Piece, PinnedFolder
from encdec_batch.read.zarr.array import Shards, ZarrArray
from encdec_batch.read.zarr.codecs import CODECS, DAMAGED

Indices = tuple[int, ...]
"""Of a chunk or a shard, along each axis."""
_NOWHERE = np.uint64(2**64 - 1)
"""Offset and length of a chunk that a shard does not hold."""


class ShardIndexes:
    """Indexes of an array's shards, each fetched when it is first looked up, and kept: they belong to the header."""

    def __init__(self, folder: PinnedFolder, array: ZarrArray, layout: Shards) -> None:
        self._folder, self._array, self._layout = folder, array, layout
        self._known: dict[Indices, tuple[str, int, NDArray[np.uint64]] | None] = {}
        self._num_read = 0

    def look_up(self, chunks: Iterable[Indices]) -> None:
        """Fetches the indexes that tell of these chunks, those that are missing side by side.

        Raises:
            SceneUnreadable: a shard is damaged.
            HeaderTooLarge: together indexes are more than a header may be.
        """
        shards = {self._shard_of(chunk) for chunk in chunks} - self._known.keys()
        there: list[tuple[Indices, str, int]] = []
        for shard in sorted(shards):
            path = self._array.path(shard)
            size = self._folder.size_of(path)
            if size is None:
                self._known[shard] = None
            elif size < self._layout.index_bytes:
                raise self._damaged(f"a shard has {size:,} bytes, fewer than its index")
            else:
                there.append((shard, path, size))
        self._check_limit(len(there))
        pieces = [self._index_of(path, size) for _, path, size in there]
        for (shard, path, size), data in zip(there, self._folder.get(pieces), strict=True):
            self._known[shard] = path, size, self._parsed(shard, data)
        self._num_read += len(there)

    def find(self, chunk: Indices) -> Piece | None:
        """Where a chunk lies whose index was looked up; None: it is missing.

        Raises:
            SceneUnreadable: the index leads out of the shard.
        """
        known = self._known[self._shard_of(chunk)]
        if known is None:
            return None
        path, size, index = known
        place = tuple(at % count for at, count in zip(chunk, self._layout.chunks, strict=True))
        start, length = index[place]
        if start == length == _NOWHERE:
            return None
        stop = int(start) + int(length)
        if stop > size:
            raise self._damaged(f"the chunk at {chunk} lies beyond the end of its shard")
        return Piece(path, int(start), stop)

    def _shard_of(self, chunk: Indices) -> Indices:
        return tuple(at // count for at, count in zip(chunk, self._layout.chunks, strict=True))

    def _index_of(self, path: str, size: int) -> Piece:
        start = 0 if self._layout.index_first else size - self._layout.index_bytes
        return Piece(path, start, start + self._layout.index_bytes)

    def _parsed(self, shard: Indices, data: bytes) -> NDArray[np.uint64]:
        try:
            plain = CODECS["crc32c"](data, len(data)) if self._layout.index_checked else data
        except DAMAGED as error:
            raise self._damaged(f"the index of the shard at {shard} has another check sum") from error
        return np.frombuffer(plain, "<u8").astype(np.uint64).reshape(*self._layout.chunks, 2)

    def _check_limit(self, num_more: int) -> None:
        limit = self._folder.limits.max_header_bytes
        if (self._num_read + num_more) * self._layout.index_bytes > limit:
            raise HeaderTooLarge(
                f"{self._folder.uri}: the indexes of its shards have more than {limit:,} bytes",
                hint="write it anew with larger chunks",
                uri=self._folder.uri,
            )

    def _damaged(self, what: str) -> SceneUnreadable:
        return SceneUnreadable(
            f"{self._folder.uri}: {what}",
            hint="the object is damaged or truncated; write it anew",
            uri=self._folder.uri,
        )
