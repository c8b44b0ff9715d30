"""The contract of a store. tests/contracts/store.py holds every implementation to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from encdec_batch.store.object import Capabilities, ObjectInfo


class Writer(Protocol):
    """One object being written, create-only. Nothing is visible before `finish`.

    Leaving the `with` block without `finish`, or by an exception, aborts: nothing stays behind.
    """

    def write(self, data: bytes) -> None:
        """Appends. The writer keeps at most a few upload parts in memory."""

    def finish(self) -> bool:
        """Publishes all bytes at once. False: the name existed already; nothing was overwritten."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Store(Protocol):
    """Objects below one uri.

    Constructing does no I/O: connections are made on first use, one per process, so that a store can be
    pickled and survives a fork. Methods are thread-safe. Every request is repeated under the store's
    `RetryPolicy` while it fails in a transient way; "missing" and "forbidden" are never retried.
    Pickle, repr and errors hold no secret.

    Raises, from every method: TransientStoreError, ObjectForbidden, PermanentStoreError.
    """

    @property
    def uri(self) -> str:
        """Normalised, without a trailing slash."""

    def info(self, path: str) -> ObjectInfo:
        """Size, etag and time of an object.

        Raises:
            ObjectMissing: there is none.
        """

    def get(self, path: str, *, etag: str | None = None) -> bytes:
        """The whole object; with `etag`, of that very version.

        Raises:
            ObjectMissing: there is none.
            PreconditionFailed: it is not the one that `etag` names.
        """

    def get_with_info(self, path: str) -> tuple[bytes, ObjectInfo]:
        """The whole object, and the info of these very bytes.

        Raises:
            ObjectMissing: there is none.
        """

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:
        """Bytes of half-open ranges, in their order, fetched concurrently; never shorter than asked for.

        Raises:
            ObjectMissing: there is none.
            PreconditionFailed: it is not the one that `etag` names.
            PermanentStoreError: a range reaches beyond the object's end.
        """

    def put(self, path: str, data: bytes) -> ObjectInfo:
        """Writes or replaces an object at once: readers see the old bytes or the new ones."""

    def create(self, path: str, data: bytes, *, retry_unknown: bool = True) -> ObjectInfo:
        """Writes an object that must not exist.

        A request without an answer may have been carried out. It is repeated, and when the repetition finds
        exactly these bytes there it has succeeded. With `retry_unknown` false it is not repeated: for callers
        that must look at something else first.

        Raises:
            PreconditionFailed: it exists (with other bytes, if an answer was lost).
            TransientStoreError: `context["outcome_unknown"]` is true if it may have been carried out.
        """

    def replace(self, path: str, data: bytes, *, etag: str, retry_unknown: bool = True) -> ObjectInfo:
        """Replaces the very object that `etag` names. Lost answers: as for `create`.

        Raises:
            PreconditionFailed: it changed or is gone.
            TransientStoreError: `context["outcome_unknown"]` is true if it may have been carried out.
        """

    def open_writer(self, path: str, *, expected_size: int = 0) -> Writer:
        """A streaming, create-only writer.

        Args:
            path: name of the object.
            expected_size: bytes, an upper estimate; above 140 GiB it is needed to choose the upload's part size.
        """

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects below a prefix ("" or ending in "/"), page by page, sorted by path as UTF-8 bytes."""

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes objects. One that is missing is as good as deleted."""

    def delete_if_match(self, path: str, etag: str) -> None:
        """Deletes the very object that `etag` names. One that is missing is as good as deleted.

        Raises:
            PreconditionFailed: it is another one.
        """

    def now(self) -> float:
        """The store's clock, seconds since the epoch."""

    def abort_uploads(self, prefix: str, *, before: float) -> int:
        """Drops what unfinished writers left below a prefix before that time; says how many."""

    def probe(self) -> Capabilities:
        """What this store can do, by really trying it under a throw-away name."""
