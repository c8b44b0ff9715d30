"""Objects as files below a folder, with the guarantees of an object store.

A name is created by link(2) of a settled temporary file (one winner), replaced by rename(2) of one under a lock:
a reader sees old or new bytes, also after a power cut.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from encdec_batch.errors import ObjectRefused, PermanentStoreError, PreconditionFailed, TransientStoreError
from encdec_batch.store.local_errors import link_error, os_error
from encdec_batch.store.local_files import (
    TEMPORARY_PREFIX,
    LockTimeout,
    etag_of,
    lies_below,
    locked,
    open_temporary,
    read_regular,
    remove_empty,
    settle,
    sync_folder,
    temporary_with,
    write_all,
)
from encdec_batch.store.local_listing import walk, walk_hidden
from encdec_batch.store.object import Capabilities, ObjectInfo, checked_path, checked_prefix, join_uri
from encdec_batch.store.probe import probe
from encdec_batch.store.retry import RetryPolicy

T = TypeVar("T")


class LocalStore:
    """A folder as a store. Without Windows: links, locks and folder fsync are POSIX."""

    def __init__(self, folder: str, *, policy: RetryPolicy | None = None, lock_timeout_s: float = 60.0) -> None:
        self._folder = Path(os.path.abspath(folder))  # noqa: PTH100 - resolve() would follow links
        self._policy = policy or RetryPolicy()
        self._lock_timeout_s = lock_timeout_s
        self._root: str | None = None

    def confined(self, root: str) -> LocalStore:
        """The same folder for reading alone, without files to which links lead out of `root`."""
        other = LocalStore(str(self._folder), policy=self._policy, lock_timeout_s=self._lock_timeout_s)
        other._root = root
        return other

    @property
    def uri(self) -> str:
        return f"file://{self._folder}".rstrip("/")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"

    def info(self, path: str) -> ObjectInfo:
        def attempt() -> ObjectInfo:
            with self._reading(path) as descriptor:
                return _info(path, os.fstat(descriptor))

        return self._policy.run(attempt)

    def get(self, path: str, *, etag: str | None = None) -> bytes:
        return self._read(path, lambda descriptor, size: _read_exactly(descriptor, 0, size), etag=etag)[0]

    def get_with_info(self, path: str) -> tuple[bytes, ObjectInfo]:
        return self._read(path, lambda descriptor, size: _read_exactly(descriptor, 0, size), etag=None)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:
        def read(descriptor: int, size: int) -> list[bytes]:
            check_ranges(ranges, size, where=join_uri(self.uri, path))
            return [_read_exactly(descriptor, start, stop) for start, stop in ranges]

        return self._read(path, read, etag=etag)[0]

    def put(self, path: str, data: bytes) -> ObjectInfo:
        with self._locked(path) as file:
            return self._rename(path, file, data)

    def create(self, path: str, data: bytes, *, retry_unknown: bool = True) -> ObjectInfo:  # noqa: ARG002
        # A file system always answers: nothing is unknown.
        file = self._file(path)
        with self._mapped(path), temporary_with(file.parent, data) as (temporary, status):
            if not self._publish(path, temporary, file):
                raise PreconditionFailed(f"{join_uri(self.uri, path)}: exists already")
            return _info(path, status)

    def replace(self, path: str, data: bytes, *, etag: str, retry_unknown: bool = True) -> ObjectInfo:  # noqa: ARG002
        with self._locked(path) as file:
            self._compare(path, file, etag)
            return self._rename(path, file, data)

    def open_writer(self, path: str, *, expected_size: int = 0) -> LocalWriter:  # noqa: ARG002
        return LocalWriter(self, path)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        checked_prefix(prefix, uri=self.uri)
        with self._mapped(prefix):
            for path, status in walk(self._folder, prefix, root=self._root):
                yield _info(path, status)

    def delete(self, paths: Iterable[str]) -> None:
        folders: set[Path] = set()
        for path in paths:
            with self._mapped(path):
                if self._file(path).is_file():
                    with self._locked(path) as file:
                        file.unlink(missing_ok=True)
                        folders.add(file.parent)
        # Names have no folders on an object store: an empty one must not stand in the way of an object.
        for folder in folders:
            remove_empty(folder, self._folder)

    def delete_if_match(self, path: str, etag: str) -> None:
        with self._mapped(path):
            if not self._file(path).exists():
                return
        with self._locked(path) as file:
            try:
                self._compare(path, file, etag)
            except PreconditionFailed as error:
                if isinstance(error.__cause__, FileNotFoundError):
                    return
                raise
            file.unlink()
        remove_empty(file.parent, self._folder)

    def now(self) -> float:
        return time.time()

    def abort_uploads(self, prefix: str, *, before: float) -> int:
        checked_prefix(prefix, uri=self.uri)
        dropped = 0
        with self._mapped(prefix):
            for file, status in walk_hidden(self._folder / prefix, TEMPORARY_PREFIX):
                if status.st_mtime < before:
                    file.unlink(missing_ok=True)
                    dropped += 1
        return dropped

    def probe(self) -> Capabilities:
        return probe(self)

    # How the methods above reach files.

    def _file(self, path: str) -> Path:
        return self._folder / checked_path(path, uri=self.uri)

    @contextmanager
    def _mapped(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise os_error(error, join_uri(self.uri, path)) from error

    @contextmanager
    def _reading(self, path: str) -> Iterator[int]:
        with self._mapped(path):
            descriptor = read_regular(self._file(path))
            try:
                self._refuse_outside(path, descriptor)
                yield descriptor
            finally:
                os.close(descriptor)

    def _refuse_outside(self, path: str, descriptor: int) -> None:
        """Of the file that is open, so that no link can be turned between the look and the read."""
        if self._root is not None and not lies_below(Path(f"/proc/self/fd/{descriptor}").readlink(), self._root):
            raise ObjectRefused(
                f"{join_uri(self.uri, path)}: a link leads out of {self._root}",
                hint="put the file itself there, or set source.follow_links if these links may be trusted",
                path=path,
            )

    @contextmanager
    def _locked(self, path: str) -> Iterator[Path]:
        file = self._file(path)
        try:
            with self._mapped(path), locked(file, self._lock_timeout_s):
                yield file
        except LockTimeout as error:
            raise TransientStoreError(
                f"{join_uri(self.uri, path)}: locked for {self._lock_timeout_s:g} s by {error}",
                hint="if that process is stopped, continue or end it",
                path=path,
            ) from None

    def _read(self, path: str, read: Callable[[int, int], T], *, etag: str | None) -> tuple[T, ObjectInfo]:
        where = join_uri(self.uri, path)

        def attempt() -> tuple[T, ObjectInfo]:
            with self._reading(path) as descriptor:
                before = os.fstat(descriptor)
                if etag is not None and etag_of(before) != etag:
                    raise PreconditionFailed(f"{where}: changed since it was looked at", path=path)
                try:
                    result = read(descriptor, before.st_size)
                except EOFError:
                    result = None
                # Others may write into a file in place; ours never do.
                after = os.fstat(descriptor)
                if etag_of(after) != etag_of(before) or result is None:
                    if etag is not None:
                        raise PreconditionFailed(f"{where}: changed while it was read", path=path)
                    raise TransientStoreError(f"{where}: changed while it was read", path=path)
                return result, _info(path, after)

        return self._policy.run(attempt)

    def _compare(self, path: str, file: Path, etag: str) -> None:
        where = join_uri(self.uri, path)
        try:
            status = file.stat()
        except FileNotFoundError as error:
            raise PreconditionFailed(f"{where}: is gone", path=path) from error
        if etag_of(status) != etag:
            raise PreconditionFailed(f"{where}: changed since it was looked at", path=path)

    def _rename(self, path: str, file: Path, data: bytes) -> ObjectInfo:
        with temporary_with(file.parent, data) as (temporary, status):
            temporary.rename(file)
            sync_folder(file.parent)
            return _info(path, status)

    def _publish(self, path: str, temporary: Path, file: Path) -> bool:
        try:
            os.link(temporary, file, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            raise link_error(error, join_uri(self.uri, path)) from error
        sync_folder(file.parent)
        return True


class LocalWriter:
    """A temporary file that gets its name at the end."""

    def __init__(self, store: LocalStore, path: str) -> None:
        self._store = store
        self._path = path
        self._file = store._file(path)  # noqa: SLF001
        with store._mapped(path):  # noqa: SLF001
            self._descriptor, self._temporary = open_temporary(self._file.parent)
        self._open = True

    def write(self, data: bytes) -> None:
        self._check_open()
        with self._store._mapped(self._path):  # noqa: SLF001
            write_all(self._descriptor, data)

    def finish(self) -> bool:
        self._check_open()
        with self._store._mapped(self._path):  # noqa: SLF001
            settle(self._descriptor)
            created = self._store._publish(self._path, self._temporary, self._file)  # noqa: SLF001
            self._drop()
            return created

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._drop()

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self._path}: the writer is finished")

    def _drop(self) -> None:
        self._open = False
        os.close(self._descriptor)
        self._temporary.unlink(missing_ok=True)


def check_ranges(ranges: Sequence[tuple[int, int]], size: int, *, where: str) -> None:
    """Refuses ranges that an object of this size does not have.

    Raises:
        PermanentStoreError: names the first such range.
    """
    for start, stop in ranges:
        if not 0 <= start <= stop <= size:
            raise PermanentStoreError(f"{where}: bytes {start} to {stop} of an object of {size} bytes")


def _info(path: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(path=path, size=status.st_size, etag=etag_of(status), modified=status.st_mtime)


def _read_exactly(descriptor: int, start: int, stop: int) -> bytes:
    chunks: list[bytes] = []
    while start < stop:
        chunk = os.pread(descriptor, min(stop - start, 1 << 30), start)
        if not chunk:
            raise EOFError
        chunks.append(chunk)
        start += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
