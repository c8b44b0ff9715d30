"""Durable steps on a file system: temporary file, publishing, locking. Raises OSError as it comes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from encdec_batch.store.object import HIDDEN_PREFIX

TEMPORARY_PREFIX = f"{HIDDEN_PREFIX}tmp-"
LOCK_PREFIX = f"{HIDDEN_PREFIX}lock-"

_POLL_S = 0.01

_HOLDER_BYTES = 128


class LockTimeout(Exception):
    """A lock was held by somebody else for too long; the argument names them."""


def etag_of(status: os.stat_result) -> str:
    """Another text after every write of ours, each at its own nanosecond.

    Without the inode: an archive that was copied with its times, or is mounted elsewhere, is still the same.
    """
    return f"{status.st_mtime_ns:x}-{status.st_size:x}"


def lies_below(path: str | Path, root: str) -> bool:
    """Whether a path without links in it is a folder or lies in it, the folder's own links followed."""
    real = os.path.realpath(root)
    return os.path.commonpath([real, path]) == real


def open_temporary(folder: Path) -> tuple[int, Path]:
    """A new empty file that no listing shows, in a folder that is made where it is missing."""
    path = folder / f"{TEMPORARY_PREFIX}{os.getpid()}-{uuid.uuid4().hex}"
    return _open_in_folder(path, os.O_EXCL), path


def _open_in_folder(path: Path, flags: int = 0) -> int:
    """A descriptor of a new file. Its folder may be empty and hence removed at any moment by `remove_empty`."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            make_folder(path.parent)
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
    raise OSError(errno.EBUSY, "no folder can be made here, or something removes it each time", str(path.parent))


def settle(descriptor: int) -> os.stat_result:
    """Content on the disk, and a time of its own.

    The kernel's own time stamps step every few milliseconds and inodes are used again at once, so two files
    of one size could look the same; time.time_ns() does not repeat in practice.
    """
    now = time.time_ns()
    os.utime(descriptor, ns=(now, now))
    os.fsync(descriptor)
    return os.fstat(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Writes every byte: write(2) may take fewer."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def temporary_with(folder: Path, data: bytes) -> Iterator[tuple[Path, os.stat_result]]:
    """A settled temporary file with these bytes; what is left of it is removed on leaving."""
    descriptor, path = open_temporary(folder)
    try:
        try:
            write_all(descriptor, data)
            status = settle(descriptor)
        finally:
            os.close(descriptor)
        yield path, status
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def remove_empty(folder: Path, root: Path) -> None:
    """Removes a folder and those above it, up to but without `root`, as long as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def sync_folder(folder: Path) -> None:
    """Names on the disk. A folder that is gone had its last file deleted since."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """The folder and its parents, durably. Others may be making them too."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        if folder.is_dir() or not folder.exists():
            return
        raise OSError(errno.EINVAL, f"{folder} is a file where a folder is needed") from None
    sync_folder(folder.parent)


def read_regular(path: Path, flags: int = 0) -> int:
    """A descriptor of a regular file. Never blocks on a pipe or device that somebody put there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EISDIR, "not a regular file", str(path))
    return descriptor


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Excludes all other holders of the lock of this path, in this process and others.

    The lock file is removed by its holder; whoever waited for the removed one takes the next.

    Raises:
        LockTimeout: held by somebody else all the time; names them.
    """
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]
    lock = path.parent / f"{LOCK_PREFIX}{name}"
    deadline = time.monotonic() + timeout_s
    descriptor = _take(lock, deadline)
    try:
        # Padded rather than truncated before: ext4 flushes a truncated file to the disk when it is closed.
        os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}".encode().ljust(_HOLDER_BYTES), 0)
        yield
    finally:
        with suppress(FileNotFoundError):
            lock.unlink()
        os.close(descriptor)


def _take(lock: Path, deadline: float) -> int:
    while True:
        descriptor = _open_in_folder(lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(lock, descriptor):
                return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, _HOLDER_BYTES, 0).decode(errors="replace").strip() or "an unknown process"
                os.close(descriptor)
                raise LockTimeout(holder) from None
            time.sleep(_POLL_S)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_still(lock: Path, descriptor: int) -> bool:
    try:
        there = lock.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
