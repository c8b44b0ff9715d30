"""Files below a folder in the order in which an object store lists its keys."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from encdec_batch.errors import PermanentStoreError
from encdec_batch.store.local_files import lies_below
from encdec_batch.store.object import HIDDEN_PREFIX


def walk(folder: Path, prefix: str, *, root: str | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Path below `folder` and status of every regular file below a prefix ("" or ending in "/"), folder by folder.

    Sorted by the bytes of the whole path: a folder takes its place as its name with a "/" behind it. Links to
    files and folders are followed (a folder that contains itself is not entered again); files that vanish
    meanwhile are left out. With `root`, a link that leads out of it is not followed: it is listed itself, as a file.

    Raises:
        PermanentStoreError: a name is not UTF-8, so no other stage could name the file.
        OSError: a folder cannot be read.
    """
    try:
        status = (folder / prefix).stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from _walk(folder / prefix, prefix, ((status.st_dev, status.st_ino),), root)


def _walk(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...], root: str | None
) -> Iterator[tuple[str, os.stat_result]]:
    for name, status in _entries(folder, root):
        if not stat.S_ISDIR(status.st_mode):
            yield prefix + name, status
            continue
        identity = (status.st_dev, status.st_ino)
        if identity not in above:
            try:
                yield from _walk(folder / name, prefix + name, (*above, identity), root)
            except FileNotFoundError:
                continue


def _entries(folder: Path, root: str | None) -> list[tuple[str, os.stat_result]]:
    """Name (folders with "/" behind it) and status of files and folders here, in the order of keys."""
    found: list[tuple[str, os.stat_result]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(HIDDEN_PREFIX):
                continue
            try:
                outside = root is not None and entry.is_symlink() and not lies_below(os.path.realpath(entry.path), root)
                status = entry.stat(follow_symlinks=not outside)
            except OSError as error:
                # Vanished meanwhile, or a link to nothing or to itself.
                if error.errno in (errno.ENOENT, errno.ELOOP):
                    continue
                raise
            if stat.S_ISDIR(status.st_mode):
                found.append((f"{entry.name}/", status))
            elif stat.S_ISREG(status.st_mode) or outside:
                found.append((entry.name, status))
    for name, _ in found:
        _check_utf8(folder, name)
    return sorted(found, key=lambda pair: pair[0].encode())


def walk_hidden(folder: Path, name_prefix: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file of ours below a folder whose name begins so. Links to folders are not followed."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.startswith(name_prefix):
                try:
                    yield Path(parent, name), Path(parent, name).lstat()
                except FileNotFoundError:
                    continue


def _check_utf8(folder: Path, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise PermanentStoreError(f"{str(folder)!a}: the name {name!a} is not UTF-8", hint="rename it") from error
