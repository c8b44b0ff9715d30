"""Chunks of a Zarr array in a folder: where their bytes lie, and what values are in them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable
from encdec_batch.read.folder import Piece, PinnedFolder
from encdec_batch.read.zarr.array import ZarrArray
from encdec_batch.read.zarr.codecs import DAMAGED, unpack
from encdec_batch.read.zarr.shards import Indices, ShardIndexes


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of an array."""

    indices: Indices
    piece: Piece | None
    """Its bytes; None: it is missing."""


class Chunks:
    """The chunks of one array. Which bytes of its objects are held is the folder's to know."""

    def __init__(self, folder: PinnedFolder, array: ZarrArray) -> None:
        self._folder, self._array = folder, array
        self._shards = None if array.shards is None else ShardIndexes(folder, array, array.shards)

    def find(self, grids: Sequence[Sequence[Sequence[int]]]) -> list[list[Chunk]]:
        """For each grid, the chunks in it; a grid is the indices wanted along each axis. Shards are looked up.

        Raises:
            SceneUnreadable: a shard is damaged.
            HeaderTooLarge: the indexes of shards are more than a header may be.
        """
        wanted = [list(itertools.product(*grid)) for grid in grids]
        if self._shards is None:
            return [[Chunk(indices, self._object(indices)) for indices in chunks] for chunks in wanted]
        self._shards.look_up(itertools.chain.from_iterable(wanted))
        return [[Chunk(indices, self._shards.find(indices)) for indices in chunks] for chunks in wanted]

    def values(self, chunk: Chunk) -> NDArray[np.generic] | None:
        """Stored values of a chunk that is held, of the array's chunk shape; None: it is missing.

        Raises:
            SceneUnreadable: it cannot be unpacked.
        """
        if chunk.piece is None:
            return None
        array, uri = self._array, self._folder.uri
        try:
            data = unpack(self._folder.held_bytes(chunk.piece), array.codecs, array.chunk_bytes)
        except DAMAGED as error:
            raise SceneUnreadable(
                f"{uri}: the chunk at {chunk.indices} cannot be unpacked",
                hint="the object is damaged or truncated; write it anew",
                uri=uri,
            ) from error
        stored = np.frombuffer(data, array.dtype).reshape([array.chunk[axis] for axis in array.order])
        return stored.transpose(np.argsort(array.order))

    def _object(self, indices: Indices) -> Piece | None:
        path = self._array.path(indices)
        size = self._folder.size_of(path)
        return None if size is None else Piece(path, 0, size)
