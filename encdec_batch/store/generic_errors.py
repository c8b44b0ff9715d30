"""What the errors of fsspec file systems mean to a caller."""

from __future__ import annotations

import asyncio

import aiohttp
from fsspec.exceptions import BlocksizeMismatchError, FSTimeoutError

from encdec_batch.errors import (
    ObjectForbidden,
    ObjectMissing,
    ObjectRefused,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
    TransientStoreError,
)
from encdec_batch.store.local_errors import os_error
from encdec_batch.store.public import PrivateAddress

_NETWORK = (aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, FSTimeoutError, ConnectionError)


def fsspec_error(error: BaseException, where: str) -> StoreError:
    """Our error for one that an fsspec file system raised, by its HTTP status where it carries one."""
    if isinstance(error, StoreError):
        return error
    private = _private(error)
    if private is not None:
        return ObjectRefused(f"{where}: {private}", hint="add its host to source.hosts, if it is really meant")
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    status = _status(error)
    if status in {404, 410}:
        return ObjectMissing(f"{where}: no such object")
    if status in {401, 403}:
        return ObjectForbidden(f"{where}: {reason}", hint="check the credentials that `storage` names")
    if status == 412:
        return PreconditionFailed(f"{where}: changed since it was looked at, or exists already")
    if status in {408, 409, 425, 429} or 500 <= status < 600:
        return TransientStoreError(f"{where}: {reason}", hint="the store is busy or ailing")
    if isinstance(error, BlocksizeMismatchError):
        return PreconditionFailed(f"{where}: changed since it was looked at")
    if isinstance(error, _NETWORK):
        return TransientStoreError(f"{where}: {type(error).__name__}: {reason}", hint="check the network")
    if isinstance(error, OSError):
        return os_error(error, where)
    return PermanentStoreError(f"{where}: {type(error).__name__}: {reason}")


def _private(error: BaseException | None) -> PrivateAddress | None:
    """What refused a connection, however deep fsspec and aiohttp have wrapped it."""
    while error is not None and not isinstance(error, PrivateAddress):
        inner = getattr(error, "os_error", None)
        error = inner if isinstance(inner, PrivateAddress) else error.__cause__ or error.__context__
    return error


def _status(error: BaseException) -> int:
    """Status of an HTTP answer as gcsfs (`code`), azure (`status_code`) and aiohttp (`status`) keep it, or 0."""
    for name in ("status", "code", "status_code"):
        value = getattr(error, name, None)
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            return int(value)
    return 0
