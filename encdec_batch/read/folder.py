"""A scene that is a folder of objects (OME-Zarr): one version of all of them, told by one listing."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from encdec_batch.errors import (
    HeaderTooLarge,
    ObjectForbidden,
    ObjectMissing,
    SceneChanged,
    SceneForbidden,
    SceneUnreadable,
    UnsupportedScene,
)
from encdec_batch.read.kept import Kept
from encdec_batch.read.limits import Limits
from encdec_batch.read.ranges import Span, coalesce, get_pinned, scene_changed
from encdec_batch.store.object import ObjectInfo, join_uri
from encdec_batch.store.store import Store

ENDING = ".zarr"
GETS = 16
"""Objects that are fetched side by side."""


class Piece(NamedTuple):
    """A half-open range of bytes of one object."""

    path: str
    """Below the folder."""
    start: int
    stop: int


class FolderVersion:
    """Etag, size and time of the last change of a folder, as its objects are listed.

    The etag is a digest of path and etag of each object, so it changes when one comes, goes or is replaced.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.size = 0
        self.modified = 0.0

    def add(self, path: str, info: ObjectInfo) -> None:
        """One object more; they come in the order of a store's listing.

        Args:
            path: below the folder.
            info: of the object.
        """
        self._digest.update(f"{path}\0{info.etag}\n".encode())
        self.size += info.size
        self.modified = max(self.modified, info.modified)

    @property
    def etag(self) -> str:
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Listing:
    version: FolderVersion
    objects: Mapping[str, tuple[int, str]]
    """Path below the folder to size and etag."""


_listings: Kept[_Listing] = Kept()


def folder_of(path: str) -> str | None:
    """The path of the folder that an object belongs to, if it is part of a scene that is one: the outermost *.zarr."""
    parts = path.split("/")[:-1]
    number = next((number for number, part in enumerate(parts) if part.lower().endswith(ENDING)), None)
    return None if number is None else "/".join(parts[: number + 1])


def is_folder(uri: str) -> bool:
    """Whether a scene of this URI is a folder: a *.zarr, or an image that lies in one (plate.zarr/A/1/0), whose name
    has no dot.
    """
    *above, name = uri.rstrip("/").lower().split("/")
    return name.endswith(ENDING) or ("." not in name and any(part.endswith(ENDING) for part in above))


class PinnedFolder:
    """One version of the objects of a folder, and ranges of them while they are wanted. Not thread-safe.

    What a listing does not name is not there: an object that came later belongs to another version.
    """

    def __init__(self, store: Store, path: str, listing: _Listing, limits: Limits) -> None:
        self.uri = join_uri(store.uri, path)
        self.etag, self.size, self.modified = listing.version.etag, listing.version.size, listing.version.modified
        self.limits = limits
        self.bytes_read = 0
        self._store, self._path, self._objects = store, path, listing.objects
        self._held: dict[Piece, bytes] = {}

    def size_of(self, path: str) -> int | None:
        """Bytes of an object; None: there is none."""
        found = self._objects.get(path)
        return None if found is None else found[0]

    def read(self, paths: Iterable[str]) -> list[bytes]:
        """Whole objects that are there, in this order; they are not held.

        Raises:
            HeaderTooLarge: together they are larger than a header may be.
        """
        pieces = [Piece(path, 0, self._objects[path][0]) for path in paths]
        if sum(piece.stop for piece in pieces) > self.limits.max_header_bytes:
            raise HeaderTooLarge(
                f"{self.uri}: its metadata have more than {self.limits.max_header_bytes:,} bytes",
                hint="write it anew without what is of no use",
                uri=self.uri,
            )
        return self.get(pieces)

    def get(self, pieces: Collection[Piece]) -> list[bytes]:
        """Ranges, in this order, fetched side by side and not held."""
        by_path: dict[str, list[Span]] = {}
        for piece in pieces:
            by_path.setdefault(piece.path, []).append((piece.start, piece.stop))
        gets = {path: coalesce(spans) for path, spans in by_path.items()}
        bodies = dict(zip(gets, self._fetch(gets), strict=True))
        return [_cut(piece, gets[piece.path], bodies[piece.path]) for piece in pieces]

    def hold(self, pieces: Collection[Piece]) -> None:
        """Fetches what is missing of these."""
        missing = sorted(set(pieces) - self._held.keys())
        self._held.update(zip(missing, self.get(missing), strict=True))

    def keep(self, pieces: Collection[Piece]) -> None:
        """Forgets all held pieces but these."""
        kept = set(pieces)
        self._held = {piece: data for piece, data in self._held.items() if piece in kept}

    def held_bytes(self, piece: Piece) -> bytes:
        return self._held[piece]

    @property
    def held(self) -> Collection[Piece]:
        return self._held.keys()

    def cost(self, pieces: Collection[Piece], held: Collection[Piece]) -> int:
        """Bytes that `hold` will fetch for these when those are held."""
        by_path: dict[str, list[Span]] = {}
        for piece in set(pieces).difference(held):
            by_path.setdefault(piece.path, []).append((piece.start, piece.stop))
        return sum(stop - start for spans in by_path.values() for start, stop in coalesce(spans))

    def _fetch(self, gets: Mapping[str, list[Span]]) -> list[list[bytes]]:
        if len(gets) <= 1:
            bodies = [self._get(path, spans) for path, spans in gets.items()]
        else:
            with ThreadPoolExecutor(min(GETS, len(gets)), thread_name_prefix="chunks") as pool:
                bodies = list(pool.map(self._get, gets.keys(), gets.values()))
        self.bytes_read += sum(stop - start for spans in gets.values() for start, stop in spans)
        return bodies

    def _get(self, path: str, spans: list[Span]) -> list[bytes]:
        try:
            return get_pinned(self._store, f"{self._path}/{path}", spans, etag=self._objects[path][1])
        except SceneChanged as error:
            raise scene_changed(self.uri) from error
        except SceneForbidden as error:
            raise SceneForbidden(f"{self.uri}: reading it is forbidden", hint=error.hint, uri=self.uri) from error
        except SceneUnreadable as error:
            # Listed, and gone since.
            if isinstance(error.__cause__, ObjectMissing):
                raise scene_changed(self.uri) from error
            raise


def _cut(piece: Piece, gets: list[Span], bodies: list[bytes]) -> bytes:
    index = bisect_right(gets, piece.start, key=lambda get: get[0]) - 1
    first = gets[index][0]
    return bodies[index][piece.start - first : piece.stop - first]


def open_folder(store: Store, path: str, *, etag: str | None, limits: Limits) -> PinnedFolder:
    """The folder as it is now, or as `etag` names it.

    A listing that this process made under that etag is used again: what changed since is met by the etags in it.

    Raises:
        SceneUnreadable: there is nothing in it.
        SceneChanged: it is not the version that `etag` names.
        UnsupportedScene: it has too many objects.
    """
    uri = join_uri(store.uri, path)
    listing = _listings.find((uri, etag)) if etag is not None else None
    if listing is None or len(listing.objects) > limits.max_objects:
        found = _list(store, path, limits)
        if etag is not None and found.version.etag != etag:
            raise scene_changed(uri)
        listing = _listings.get((uri, found.version.etag), lambda: found)
    return PinnedFolder(store, path, listing, limits)


def _list(store: Store, path: str, limits: Limits) -> _Listing:
    uri = join_uri(store.uri, path)
    version, objects, prefix = FolderVersion(), dict[str, tuple[int, str]](), f"{path}/"
    try:
        for info in store.list(prefix):
            if info.size < 0:
                continue
            if len(objects) == limits.max_objects:
                raise UnsupportedScene(
                    f"{uri}: more than {limits.max_objects:,} objects",
                    hint="write it anew with larger chunks, or with shards (OME-Zarr 0.5), or raise limits.max_objects",
                    uri=uri,
                )
            below = info.path.removeprefix(prefix)
            version.add(below, info)
            objects[below] = info.size, info.etag
    except ObjectForbidden as error:
        raise SceneForbidden(f"{uri}: listing it is forbidden", hint=error.hint, uri=uri) from error
    except ObjectMissing:
        objects.clear()
    if not objects:
        raise SceneUnreadable(f"{uri}: there is no such folder, or nothing in it", hint="check the list", uri=uri)
    return _Listing(version, objects)
