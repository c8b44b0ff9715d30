"""What the errors of a file system mean to a caller."""

from __future__ import annotations

import errno

from encdec_batch.errors import (
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
    TransientStoreError,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LINK = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV, errno.ENOSYS)
# Network file systems and exhausted tables: the same call may succeed later.
_TRANSIENT = (
    errno.EAGAIN, errno.EINTR, errno.EBUSY, errno.ESTALE, errno.ETIMEDOUT, errno.ENFILE, errno.EMFILE, errno.ENOTCONN,
    errno.ECONNRESET, errno.ECONNREFUSED, errno.EPIPE, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.ENETDOWN, errno.ENETRESET, errno.ECONNABORTED, errno.ENOLCK,
)  # fmt: skip


def os_error(error: OSError, where: str) -> StoreError:
    """Our error for one of the operating system; `where` is the uri of the object."""
    reason = error.strerror or str(error) or type(error).__name__
    number = error.errno
    if isinstance(error, FileExistsError):
        return PreconditionFailed(f"{where}: exists already")
    if number in _MISSING or isinstance(error, FileNotFoundError):
        return ObjectMissing(f"{where}: no such object")
    if number in _FORBIDDEN or isinstance(error, PermissionError):
        return ObjectForbidden(f"{where}: {reason}", hint="check the permissions of the file and its folder")
    if number in _FULL:
        return PermanentStoreError(f"{where}: {reason}", hint="free space or raise the quota, then run again")
    if number in _TRANSIENT or isinstance(error, (TimeoutError, ConnectionError, InterruptedError)):
        return TransientStoreError(f"{where}: {reason}")
    return PermanentStoreError(f"{where}: {reason}")


def link_error(error: OSError, where: str) -> StoreError:
    """`os_error` for link(2), which some file systems do not have."""
    if error.errno in _NO_LINK:
        return PermanentStoreError(
            f"{where}: this file system cannot link files ({error.strerror}), so names cannot be created safely",
            hint="write to another file system or to an object store",
        )
    return os_error(error, where)
