"""Which bytes of an object are fetched, counted and kept. All of them from one version of it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Self

from encdec_batch.errors import (
    HeaderTooLarge,
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    SceneChanged,
    SceneForbidden,
    SceneUnreadable,
)
from encdec_batch.read.limits import Limits
from encdec_batch.store.object import ObjectInfo, join_uri
from encdec_batch.store.store import Store

Span = tuple[int, int]

PAGE_BYTES = 64 << 10
"""Headers are read by pages of this size, aligned to it."""
GAP_BYTES = 64 << 10
"""A gap up to this is read along rather than asked around."""
LONGEST_BYTES = 8 << 20
"""One get asks for no more, so that several run side by side."""


def coalesce(ranges: Iterable[Span]) -> list[Span]:
    """The half-open ranges to get so that each given one lies within one of them, in order."""
    gets: list[Span] = []
    for start, stop in sorted(set(ranges)):
        if gets:
            first, last = gets[-1]
            if start <= last + GAP_BYTES and (stop <= last or stop - first <= LONGEST_BYTES):
                gets[-1] = first, max(last, stop)
                continue
        gets.append((start, stop))
    return gets


class _FirstPages:
    """Of the objects that were opened last. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._pages: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()

    def get(self, version: tuple[str, str, int]) -> bytes | None:
        with self._lock:
            return self._pages.get(version)

    def put(self, version: tuple[str, str, int], page: bytes) -> None:
        with self._lock:
            self._pages[version] = page
            while len(self._pages) > self._most:
                self._pages.popitem(last=False)


_first_pages = _FirstPages(32)


class PinnedObject:
    """One version of one object: pages of its header, and encoded tiles while they are wanted.

    Not thread-safe. `failure` is the first error raised inside a callback of GDAL, which swallows it.

    Args:
        store: where it lies.
        path: in the store.
        info: which version of it.
        limits: what its header may ask for.
        is_shared: readers of other images in it are opened as well, and want the same header: its first page is kept
            in this process.
    """

    def __init__(self, store: Store, path: str, info: ObjectInfo, limits: Limits, *, is_shared: bool = False) -> None:
        self._is_shared = is_shared
        self.uri = join_uri(store.uri, path)
        self.size = info.size
        self.etag = info.etag
        self.limits = limits
        self.bytes_read = 0
        self.failure: Exception | None = None
        self._store = store
        self._path = path
        self._pages: dict[int, bytes] = {}
        self._held: dict[Span, bytes] = {}
        self._order: list[Span] = []
        self._whole: bytes | None = None

    def bytes_at(self, start: int, stop: int) -> bytes:
        """Any bytes: from what is held, else by pages, which are kept. Short at the object's end."""
        stop = min(stop, self.size)
        if start >= stop:
            return b""
        if self._whole is not None:
            return self._whole[start:stop]
        index = bisect_right(self._order, (start, self.size)) - 1
        if index >= 0 and stop <= self._order[index][1]:
            found = self._order[index]
            return self._held[found][start - found[0] : stop - found[0]]
        pages = range(start // PAGE_BYTES, (stop - 1) // PAGE_BYTES + 1)
        self._load_pages(pages)
        joined = b"".join(self._pages[page] for page in pages)
        return joined[start - pages.start * PAGE_BYTES : stop - pages.start * PAGE_BYTES]

    def hold(self, ranges: Sequence[Span]) -> None:
        """Fetches what is missing of these ranges."""
        wanted = sorted(self._missing(ranges, self._held))
        gets = coalesce(wanted)
        bodies = self._get(gets)
        index = 0
        for start, stop in wanted:
            while stop > gets[index][1]:
                index += 1
            first = gets[index][0]
            self._held[start, stop] = bodies[index][start - first : stop - first]
        self._order = sorted(self._held)

    def keep(self, ranges: Collection[Span]) -> None:
        """Forgets all held ranges but these."""
        kept = set(ranges)
        self._held = {key: data for key, data in self._held.items() if key in kept}
        self._order = sorted(self._held)

    def cost(self, ranges: Sequence[Span], held: Collection[Span]) -> int:
        """Bytes that `hold` will fetch for these ranges when those are held."""
        return sum(stop - start for start, stop in coalesce(self._missing(ranges, held)))

    @property
    def held(self) -> Collection[Span]:
        return self._held.keys()

    def whole(self) -> bytes:
        """All bytes, by as few gets as what is missing allows."""
        if self._whole is None:
            missing = self._missing_runs()
            bodies = dict(zip((start for start, _ in missing), self._get(missing), strict=True))
            pieces = bodies | {page * PAGE_BYTES: data for page, data in self._pages.items()}
            self._whole = b"".join(pieces[start] for start in sorted(pieces))
            self._pages.clear()
        return self._whole

    def stream(self) -> Iterator[bytes]:
        """All bytes, first to last, in pieces; what is fetched for it is not kept. It costs as much as `whole`."""
        position = 0
        for start, stop in self._missing_runs() if self._whole is None else ():
            yield self.bytes_at(position, start)
            yield self._get([(start, stop)])[0]
            position = stop
        yield self.bytes_at(position, self.size)

    def whole_cost(self) -> int:
        """Bytes that `whole` will fetch."""
        return 0 if self._whole is not None else sum(stop - start for start, stop in self._missing_runs())

    def check_unchanged(self) -> None:
        """Asks the store, where somebody else reads the object by its name.

        Raises:
            SceneChanged: it is another version by now.
            SceneUnreadable: it is gone.
        """
        try:
            info = self._store.info(self._path)
        except ObjectMissing as error:
            raise SceneUnreadable(f"{self.uri}: the object is gone", hint="put it back", uri=self.uri) from error
        if info.etag != self.etag:
            raise scene_changed(self.uri)

    def forget(self) -> None:
        """Drops all that is held; what is asked for again is fetched again."""
        self._pages.clear()
        self.keep(())
        self._whole = None

    def _missing(self, ranges: Iterable[Span], held: Collection[Span]) -> set[Span]:
        if self._whole is not None:
            return set()
        return {span for span in ranges if span not in held and not self._in_pages(span)}

    def _in_pages(self, span: Span) -> bool:
        return all(page in self._pages for page in range(span[0] // PAGE_BYTES, (span[1] - 1) // PAGE_BYTES + 1))

    def _missing_runs(self) -> list[Span]:
        num_pages = -(-self.size // PAGE_BYTES)
        return self._runs(page for page in range(num_pages) if page not in self._pages)

    def _runs(self, pages: Iterable[int]) -> list[Span]:
        runs: list[Span] = []
        for page in pages:
            start, stop = page * PAGE_BYTES, min((page + 1) * PAGE_BYTES, self.size)
            if runs and runs[-1][1] == start and stop - runs[-1][0] <= LONGEST_BYTES:
                runs[-1] = runs[-1][0], stop
            else:
                runs.append((start, stop))
        return runs

    def _load_pages(self, pages: Iterable[int]) -> None:
        version = self.uri, self.etag, self.size
        if self._is_shared and (kept := _first_pages.get(version)) is not None:
            self._pages.setdefault(0, kept)
        missing = [page for page in pages if page not in self._pages]
        if (len(self._pages) + len(missing)) * PAGE_BYTES > self.limits.max_header_bytes + PAGE_BYTES:
            raise HeaderTooLarge(
                f"{self.uri}: its header needs more than {self.limits.max_header_bytes:,} bytes",
                hint="the file is damaged, or has too many tiles: rewrite it with larger ones",
                uri=self.uri,
            )
        runs = self._runs(missing)
        for (start, stop), body in zip(runs, self._get(runs), strict=True):
            for first in range(start, stop, PAGE_BYTES):
                self._pages[first // PAGE_BYTES] = body[first - start : min(first - start + PAGE_BYTES, stop - start)]
        if self._is_shared and 0 in missing:
            _first_pages.put(version, self._pages[0])

    def _get(self, ranges: Sequence[Span]) -> list[bytes]:
        if not ranges:
            return []
        bodies = get_pinned(self._store, self._path, ranges, etag=self.etag)
        self.bytes_read += sum(stop - start for start, stop in ranges)
        return bodies


def get_pinned(store: Store, path: str, ranges: Sequence[Span], *, etag: str) -> list[bytes]:
    """Bytes of one version of an object.

    Raises:
        SceneChanged: it is another version.
        SceneUnreadable: it is gone.
        SceneForbidden: it may not be read.
    """
    uri = join_uri(store.uri, path)
    try:
        return store.get_ranges(path, ranges, etag=etag)
    except PreconditionFailed as error:
        raise scene_changed(uri) from error
    except ObjectMissing as error:
        raise SceneUnreadable(f"{uri}: the object is gone", hint="put it back", uri=uri) from error
    except ObjectForbidden as error:
        raise SceneForbidden(f"{uri}: reading it is forbidden", hint=error.hint, uri=uri) from error
    except PermanentStoreError as error:
        # A store that does not know If-Match says of an object that shrank only that the range is not there.
        if store.info(path).etag != etag:
            raise scene_changed(uri) from error
        raise


def scene_changed(uri: str) -> SceneChanged:
    """The error for an object that is no longer the one that was planned or opened."""
    return SceneChanged(
        f"{uri}: the object was replaced while it was being read",
        hint="it is planned again; keep inputs as they are while a job runs",
        uri=uri,
    )


class View:
    """A read-only file over a `PinnedObject`, as tifffile and GDAL want one; each has its own position."""

    closed = False
    name = ""

    def __init__(self, source: PinnedObject) -> None:
        self._source = source
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; after an error, none, and the error stands in the source's `failure`."""
        stop = self._source.size if size < 0 else self._position + size
        try:
            data = self._source.bytes_at(self._position, stop)
        except Exception as error:  # noqa: BLE001  GDAL's callback would print it and go on; the caller raises it
            self._source.failure = self._source.failure or error
            return b""
        self._position += len(data)
        return data

    def readinto(self, buffer: bytearray) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = (0, self._position, self._source.size)[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing: the bytes are the source's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
