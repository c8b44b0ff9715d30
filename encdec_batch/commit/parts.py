"""The parts of one scene: their indexes, and bytes of them that are what the index says."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from threading import Lock
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import CommitError, ObjectMissing, PartMissing, PreconditionFailed
from encdec_batch.plan.product import Product
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store
from encdec_batch.window import Window
from encdec_batch.write.codec import decode_tile
from encdec_batch.write.overview import TILE, overview_shapes
from encdec_batch.write.part import PartIndex, Span, read_index

_CONCURRENCY = 8
_READ_AHEAD = 256 * 1024
_T = TypeVar("_T")
_R = TypeVar("_R")


class Request(NamedTuple):
    """Half-open bytes of one part."""

    part: int
    """Its position in `indexes`."""
    start: int
    stop: int


class Parts(Protocol):
    """Some parts of one scene, in a fixed order. Thread-safe; `indexes` may do I/O the first time."""

    @property
    def indexes(self) -> Sequence[PartIndex]:
        """One per part.

        Raises:
            PartMissing: `context["blocks"]` names all that are gone or damaged.
        """

    def read(self, requests: Sequence[Request]) -> list[bytes]:
        """Bytes of the very objects whose indexes were read.

        Raises:
            PartMissing: an object is gone or was replaced.
        """

    def damaged(self, numbers: Iterable[int]) -> PartMissing:
        """The error to raise for parts that fail a check sum; drops them, so that their blocks run once more."""


class MemoryParts:
    """Parts that were never stored: a small scene, or its coarse levels."""

    def __init__(self, parts: Sequence[bytes], blocks: Sequence[str]) -> None:
        self._parts = tuple(parts)
        self._blocks = tuple(blocks)
        self.indexes: Sequence[PartIndex] = tuple(
            read_index(lambda start, stop, part=part: part[start:stop], len(part))  # type: ignore[misc]
            for part in self._parts
        )

    def read(self, requests: Sequence[Request]) -> list[bytes]:
        return [self._parts[request.part][request.start : request.stop] for request in requests]

    def damaged(self, numbers: Iterable[int]) -> PartMissing:
        return _missing([self._blocks[number] for number in sorted(set(numbers))])


class StoredParts:
    """Parts under a prefix of a store, one object a block; every get is pinned to the etag first seen."""

    def __init__(self, store: Store, prefix: str, blocks: Sequence[str]) -> None:
        """`prefix` is empty or ends in "/"; the object of a block is `prefix + block`."""
        self._store = store
        self._paths = tuple(prefix + block for block in blocks)
        self._prefix = prefix
        self._blocks = tuple(blocks)
        self._infos: Sequence[ObjectInfo] = ()
        self._indexes: Sequence[PartIndex] = ()
        self._lock = Lock()

    @property
    def indexes(self) -> Sequence[PartIndex]:
        with self._lock:
            if not self._indexes and self._paths:
                self._infos = self._locate()
                found = _concurrently(self._open, range(len(self._paths)))
                bad = [number for number, index in enumerate(found) if index is None]
                if bad:
                    raise self.damaged(bad)
                self._indexes = tuple(index for index in found if index is not None)
            return self._indexes

    def read(self, requests: Sequence[Request]) -> list[bytes]:
        pieces = _concurrently(self._get, requests)
        gone = [request.part for request, piece in zip(requests, pieces, strict=True) if piece is None]
        if gone:
            raise _missing([self._blocks[number] for number in sorted(set(gone))])
        return [piece for piece in pieces if piece is not None]

    def damaged(self, numbers: Iterable[int]) -> PartMissing:
        numbers = sorted(set(numbers))
        for number in numbers:
            # Another committer may have dropped it already, and its block may have run again.
            with contextlib.suppress(ObjectMissing, PreconditionFailed):
                self._store.delete_if_match(self._paths[number], self._infos[number].etag)
        return _missing([self._blocks[number] for number in numbers])

    def _locate(self) -> Sequence[ObjectInfo]:
        """One listing instead of a request a part; asks for what a late listing does not show."""
        listed = {info.path: info for info in self._store.list(self._prefix)} if len(self._paths) > 1 else {}
        found = _concurrently(lambda path: listed.get(path) or self._info(path), self._paths)
        gone = [block for block, info in zip(self._blocks, found, strict=True) if info is None]
        if gone:
            raise _missing(gone)
        return tuple(info for info in found if info is not None)

    def _info(self, path: str) -> ObjectInfo | None:
        try:
            return self._store.info(path)
        except ObjectMissing:
            return None

    def _open(self, number: int) -> PartIndex | None:
        def read(start: int, stop: int) -> bytes:
            return self._get(Request(number, start, stop)) or b""

        try:
            return read_index(read, self._infos[number].size)
        except PartMissing:
            return None

    def _get(self, request: Request) -> bytes | None:
        path, etag = self._paths[request.part], self._infos[request.part].etag
        try:
            return self._store.get_ranges(path, [(request.start, request.stop)], etag=etag)[0]
        except (ObjectMissing, PreconditionFailed):
            return None


def digest_d(parts: Parts, versions: Mapping[str, str]) -> str:
    """The `d` of a scene's folder: 8 hex over the parts' digests, in order, and the versions of what encodes."""
    text = json.dumps(
        [[index.digest for index in parts.indexes], dict(versions)], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def read_spans(parts: Parts, spans: Sequence[tuple[int, Span]]) -> list[bytes]:
    """Sections of parts, (part, span) each, their check sums compared.

    Raises:
        PartMissing: names every part that is gone or damaged.
    """
    pieces = parts.read([Request(number, span.offset, span.stop) for number, span in spans])
    bad = [number for (number, span), piece in zip(spans, pieces, strict=True) if zlib.crc32(piece) != span.crc32]
    if bad:
        raise parts.damaged(bad)
    return pieces


class SceneTiles:
    """The tiles of one product of one scene, wherever they lie; one thread's own, it holds a row of encoded tiles."""

    def __init__(self, product: Product, scene_shape: tuple[int, int], parts: Parts, coarse: Parts | None) -> None:
        """`coarse` holds the levels above L in one part; None where the scene has none.

        Raises:
            CommitError: a tile of the scene is in no part, or in two.
        """
        self.product = product
        self.shapes = overview_shapes(*scene_shape)
        self._sources = [parts] if coarse is None else [parts, coarse]
        self._ahead: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.codec = parts.indexes[0].codec
        self._tables = self._tabulate()

    def lengths(self, level: int) -> NDArray[np.int64]:
        """Encoded bytes of each tile of a level, row-major."""
        return self._tables[level]["length"].ravel()

    def num_rows(self, level: int) -> int:
        return len(self._tables[level])

    def encoded_row(self, level: int, row: int) -> list[bytes]:
        """The encoded tiles of one row, left to right: at most one ranged get a part.

        Raises:
            PartMissing: names every part that is gone or damaged.
        """
        return self._encoded(level, self._tables[level][row])

    def window(self, window: Window) -> NDArray[np.generic]:
        """Full-size pixels of a window, (bands, height, width); decodes the tiles that it touches, a row at a time."""
        first, last = window.col_off // TILE, (window.col_stop - 1) // TILE
        strips = []
        for row in range(window.row_off // TILE, (window.row_stop - 1) // TILE + 1):
            encoded = self._encoded(0, self._tables[0][row, first : last + 1])
            pixels = np.concatenate([decode_tile(data, self.product, self.codec) for data in encoded], axis=2)
            rows = slice(max(0, window.row_off - row * TILE), window.row_stop - row * TILE)
            strips.append(pixels[:, rows, window.col_off - first * TILE : window.col_stop - first * TILE])
        return np.concatenate(strips, axis=1)

    def _encoded(self, level: int, entries: NDArray[np.void]) -> list[bytes]:
        """The encoded tiles of neighbours in a row."""
        tiles: list[bytes] = []
        for source, group in groupby(entries, key=lambda entry: int(entry["source"])):
            tiles += self._fetch(source, np.array(list(group), entries.dtype), level)
        row_keys = {(int(entry["source"]), int(entry["part"])) for entry in entries}
        self._ahead = {key: held for key, held in self._ahead.items() if key in row_keys}
        return tiles

    def pixel_rows(self, level: int) -> Iterable[NDArray[np.generic]]:
        """A level from top to bottom, decoded: (bands, up to 512, width) at a time, without the tiles' padding."""
        height, width = self.shapes[level]
        for row in range(self.num_rows(level)):
            tiles = [decode_tile(data, self.product, self.codec) for data in self.encoded_row(level, row)]
            yield np.concatenate(tiles, axis=2)[:, : height - row * TILE, :width]

    def _tabulate(self) -> list[NDArray[np.void]]:
        """Per level, (tile rows, tile columns) of where each tile lies."""
        fields = np.dtype([("source", "i4"), ("part", "i4"), ("offset", "i8"), ("length", "i8"), ("crc32", "u4")])
        tables = [np.zeros((-(-h // TILE), -(-w // TILE)), fields) for h, w in self.shapes]
        seen = 0
        for source, parts in enumerate(self._sources):
            for number, index in enumerate(parts.indexes):
                tiles = index.tiles[self.product.name]
                seen += len(tiles)
                for level in np.unique(tiles["level"]):
                    own = tiles[tiles["level"] == level]
                    values = np.empty(len(own), fields)
                    values["source"], values["part"] = source, number
                    for name in ("offset", "length", "crc32"):
                        values[name] = own[name]
                    tables[level][own["row"], own["col"]] = values
        if seen != sum(table.size for table in tables) or not all(table["length"].all() for table in tables):
            raise CommitError(f"{self.product.name}: the parts do not hold every tile of {self.shapes[0]} px once")
        return tables

    def _fetch(self, source: int, entries: NDArray[np.void], level: int) -> list[bytes]:
        """Tiles of one source that lie side by side in a row of the scene."""
        parts = self._sources[source]
        groups = [(part, list(group)) for part, group in groupby(entries, key=lambda entry: int(entry["part"]))]
        spans = {
            part: (int(group[0]["offset"]), int(group[-1]["offset"] + group[-1]["length"])) for part, group in groups
        }
        wanted = [Request(part, *span) for part, span in spans.items() if not self._holds(source, part, span)]
        wanted = [Request(part, start, self._extend(source, part, stop, level)) for part, start, stop in wanted]
        for request, data in zip(wanted, parts.read(wanted), strict=True):
            self._ahead[source, request.part] = request.start, data
        tiles, bad = [], []
        for part, group in groups:
            start, data = self._ahead[source, part]
            for entry in group:
                tile = data[int(entry["offset"]) - start :][: int(entry["length"])]
                tiles.append(tile)
                if zlib.crc32(tile) != entry["crc32"]:
                    bad.append(part)
        if bad:
            raise parts.damaged(bad)
        return tiles

    def _holds(self, source: int, part: int, span: tuple[int, int]) -> bool:
        start, data = self._ahead.get((source, part), (0, b""))
        return start <= span[0] and span[1] <= start + len(data)

    def _extend(self, source: int, part: int, stop: int, level: int) -> int:
        """Where a get that must reach `stop` should end: small tiles of the next rows of the level come along."""
        tiles = self._sources[source].indexes[part].tiles[self.product.name]
        ends = (tiles["offset"] + tiles["length"])[tiles["level"] == level]
        near = ends[(ends > stop) & (ends <= stop + _READ_AHEAD)]
        return int(near.max()) if near.size else stop


def _concurrently(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """Results in order; threads only where there is more than one request to wait for."""
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_CONCURRENCY, len(items))) as pool:
        return list(pool.map(function, items))


def _missing(blocks: Sequence[str]) -> PartMissing:
    shown = ", ".join(blocks[:5]) + (f" and {len(blocks) - 5} more" if len(blocks) > 5 else "")
    return PartMissing(
        f"parts are gone or damaged: {shown}", hint="their blocks are computed once more", blocks=list(blocks)
    )
