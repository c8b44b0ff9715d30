"""Objects on any other fsspec file system, `memory://` among them.

Sources can be read from all of them. Outputs need names that are created by one writer only; which file systems do
that is listed below, and a marker is replaced only where its etag can be compared: on `memory://`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from encdec_batch.errors import ObjectMissing, PermanentStoreError, PreconditionFailed, SpecError, TransientStoreError
from encdec_batch.store.generic_errors import fsspec_error
from encdec_batch.store.local import check_ranges
from encdec_batch.store.object import Capabilities, ObjectInfo, checked_path, checked_prefix, join_uri
from encdec_batch.store.probe import probe
from encdec_batch.store.public import public_client, refuse_private
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.secrets import Options, redacted, resolved_options, secret_values

T = TypeVar("T")

CREATE_ONLY = frozenset({"memory", "gs", "gcs", "abfs", "abfss", "az"})
"""Protocols whose `pipe_file(mode="create")` is one conditional request; in others it is "look, then write"."""

_ETAG_KEYS = ("ETag", "etag", "e_tag", "generation", "md5Hash", "content_md5", "checksum", "version")
_TIME_KEYS = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")

_memory_lock = threading.RLock()
"""All that is in `memory://` belongs to this process, so one lock makes every step on it whole."""

_connections: dict[tuple[int, str], Any] = {}


class GenericStore:
    """A folder of an fsspec file system."""

    def __init__(self, uri: str, *, options: Options | None = None, policy: RetryPolicy | None = None) -> None:
        self._uri = uri.rstrip("/")
        self._protocol = uri.partition("://")[0]
        self._options = dict(options or {})
        self._policy = policy or RetryPolicy()
        self._hosts: frozenset[str] | None = None

    def confined(self, hosts: frozenset[str]) -> GenericStore:
        """The same folder, on connections to public addresses and these hosts alone."""
        other = GenericStore(self._uri, options=self._options, policy=self._policy)
        other._hosts = hosts
        return other

    @property
    def uri(self) -> str:
        return self._uri

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"

    def info(self, path: str) -> ObjectInfo:
        return self._do(path, lambda: self._info(path))

    def get(self, path: str, *, etag: str | None = None) -> bytes:
        return self._read(path, self._whole(path), etag=etag)[0]

    def get_with_info(self, path: str) -> tuple[bytes, ObjectInfo]:
        return self._read(path, self._whole(path), etag=None)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:
        where, place = join_uri(self.uri, path), self._place(path)

        def read(size: int) -> list[bytes]:
            check_ranges(ranges, size, where=where)
            full = [pair for pair in ranges if pair[0] < pair[1]]
            starts, stops = [start for start, _ in full], [stop for _, stop in full]
            bodies = self._filesystem.cat_ranges([place] * len(full), starts, stops, on_error="raise") if full else []
            for (start, stop), body in zip(full, bodies, strict=True):
                if len(body) != stop - start:
                    raise TransientStoreError(f"{where}: bytes {start} to {stop}: got {len(body)}", path=path)
            left = iter(bodies)
            return [bytes(next(left)) if start < stop else b"" for start, stop in ranges]

        return self._read(path, read, etag=etag)[0]

    def put(self, path: str, data: bytes) -> ObjectInfo:
        def attempt() -> ObjectInfo:
            self._filesystem.pipe_file(self._place(path), data)
            return self._info(path)

        return self._do(path, attempt)

    def create(self, path: str, data: bytes, *, retry_unknown: bool = True) -> ObjectInfo:  # noqa: ARG002
        if self._protocol not in CREATE_ONLY:
            raise PermanentStoreError(
                f"{self.uri}: names cannot be created safely on {self._protocol}://",
                hint="write outputs to file:// or s3://",
            )
        place = self._place(path)

        def attempt() -> ObjectInfo:
            self._filesystem.pipe_file(place, data, mode="create")
            return self._info(path)

        # Not repeated: an answer that is lost here cannot be told from another writer's.
        return self._do(path, attempt, policy=self._policy.shortened(0.0))

    def replace(self, path: str, data: bytes, *, etag: str, retry_unknown: bool = True) -> ObjectInfo:  # noqa: ARG002
        self._check_can_compare()

        def attempt() -> ObjectInfo:
            self._compare(path, etag)
            self._filesystem.pipe_file(self._place(path), data)
            return self._info(path)

        return self._do(path, attempt)

    def open_writer(self, path: str, *, expected_size: int = 0) -> GenericWriter:  # noqa: ARG002
        checked_path(path, uri=self.uri)
        return GenericWriter(self, path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        checked_prefix(prefix, uri=self.uri)
        root = self._filesystem._strip_protocol(self._uri)  # noqa: SLF001
        folder = f"{root}/{prefix}".rstrip("/")

        def attempt() -> list[ObjectInfo]:
            try:
                found = self._filesystem.find(folder, detail=True)
            except FileNotFoundError:
                return []
            below = f"{folder}/" if folder else ""
            entries = {name: entry for name, entry in found.items() if name.startswith(below)}
            return [self._as_info(name[len(root) :].lstrip("/"), entry) for name, entry in entries.items()]

        yield from sorted(self._do(prefix, attempt), key=lambda info: info.path.encode())

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            place = self._place(path)
            self._do(path, partial(self._remove, place))

    def delete_if_match(self, path: str, etag: str) -> None:
        self._check_can_compare()

        def attempt() -> None:
            if self._filesystem.exists(self._place(path)):
                self._compare(path, etag)
                self._remove(self._place(path))

        self._do(path, attempt)

    def now(self) -> float:
        return time.time()

    def abort_uploads(self, prefix: str, *, before: float) -> int:  # noqa: ARG002
        # Writers keep everything in memory until they finish, so nothing is ever left behind.
        checked_prefix(prefix, uri=self.uri)
        return 0

    def probe(self) -> Capabilities:
        if self._protocol not in CREATE_ONLY:
            return Capabilities(create_only=False, if_match=False)
        return probe(self)

    # How the methods above reach the file system.

    @property
    def _filesystem(self) -> Any:
        import fsspec

        resolved = resolved_options(self._options)
        own: dict[str, Any] = {}
        if self._hosts is not None and self._protocol in ("http", "https"):
            own["get_client"] = public_client(self._hosts)
        elif self._hosts is not None and self._protocol != "memory":
            refuse_private(self._uri, self._hosts)
        hosts = None if self._hosts is None else sorted(self._hosts)
        told = hashlib.sha256(repr([self._protocol, sorted(resolved.items()), hosts]).encode()).hexdigest()
        key = (os.getpid(), told)
        if key not in _connections:
            try:
                kind = fsspec.get_filesystem_class(self._protocol)
            except (ValueError, ImportError) as error:
                raise SpecError(
                    f"{self.uri}: {error}", hint="install the package that this kind of uri needs"
                ) from error
            _connections.setdefault(key, kind(**resolved, **own, use_listings_cache=False, skip_instance_cache=True))
        return _connections[key]

    def _place(self, path: str) -> str:
        return join_uri(self._uri, checked_path(path, uri=self.uri))

    def _lock(self) -> AbstractContextManager[Any]:
        return _memory_lock if self._protocol == "memory" else nullcontext()

    def _do(self, path: str, attempt: Callable[[], T], *, policy: RetryPolicy | None = None) -> T:
        def mapped() -> T:
            try:
                with self._lock():
                    return attempt()
            except SpecError:
                raise
            except Exception as error:
                ours = fsspec_error(error, join_uri(self.uri, path))
                ours.message = redacted(ours.message, secret_values(self._options))
                ours.args = (ours.message,)
                raise ours from error

        return (policy or self._policy).run(mapped)

    def _read(self, path: str, read: Callable[[int], T], *, etag: str | None) -> tuple[T, ObjectInfo]:
        where = join_uri(self.uri, path)

        def attempt() -> tuple[T, ObjectInfo]:
            before = self._info(path)
            if etag is not None and before.etag != etag:
                raise PreconditionFailed(f"{where}: changed since it was looked at", path=path)
            result = read(before.size)
            if self._info(path).etag != before.etag:
                kind = TransientStoreError if etag is None else PreconditionFailed
                raise kind(f"{where}: changed while it was read", path=path)
            return result, before

        return self._do(path, attempt)

    def _whole(self, path: str) -> Callable[[int], bytes]:
        place, where = self._place(path), join_uri(self.uri, path)

        def read(size: int) -> bytes:
            body: bytes = self._filesystem.cat_file(place)
            if len(body) != size:
                raise TransientStoreError(f"{where}: got {len(body)} of {size} bytes", path=path)
            return body

        return read

    def _info(self, path: str) -> ObjectInfo:
        entry = self._filesystem.info(self._place(path))
        if entry["type"] != "file":
            raise ObjectMissing(f"{join_uri(self.uri, path)}: no such object", path=path)
        return self._as_info(path, entry)

    def _as_info(self, path: str, entry: dict[str, Any]) -> ObjectInfo:
        modified = next((_seconds(entry[key]) for key in _TIME_KEYS if entry.get(key) is not None), 0.0)
        if self._protocol == "memory":
            content = self._filesystem.cat_file(self._place(path))
            etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        else:
            named = next((str(entry[key]) for key in _ETAG_KEYS if entry.get(key)), "")
            etag = named.strip('"') or f"{entry['size']}-{modified!r}"
        return ObjectInfo(path=path, size=entry["size"], etag=etag, modified=modified)

    def _compare(self, path: str, etag: str) -> None:
        where = join_uri(self.uri, path)
        try:
            there = self._info(path)
        except FileNotFoundError as error:
            raise PreconditionFailed(f"{where}: is gone", path=path) from error
        if there.etag != etag:
            raise PreconditionFailed(f"{where}: changed since it was looked at", path=path)

    def _check_can_compare(self) -> None:
        if self._protocol != "memory":
            raise PermanentStoreError(
                f"{self.uri}: an object cannot be replaced safely on {self._protocol}://",
                hint="write outputs to file:// or s3://",
            )

    def _remove(self, place: str) -> None:
        try:
            self._filesystem.rm_file(place)
        except FileNotFoundError:
            return


class GenericWriter:
    """Keeps everything in memory until `finish`: fsspec has no streaming writer that can be told to abort."""

    def __init__(self, store: GenericStore, path: str) -> None:
        self._store = store
        self._path = path
        self._buffer = bytearray()
        self._open = True

    def write(self, data: bytes) -> None:
        self._check_open()
        self._buffer += data

    def finish(self) -> bool:
        self._check_open()
        self._open = False
        try:
            self._store.create(self._path, bytes(self._buffer))
        except PreconditionFailed:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self._path}: the writer is finished")


def _seconds(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        return datetime.fromisoformat(value).timestamp()
    return float(value)
