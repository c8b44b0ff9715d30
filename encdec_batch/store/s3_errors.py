"""What the errors of S3 and of the way there mean to a caller."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from encdec_batch.errors import (
    CredentialsExpired,
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
    TransientStoreError,
)
from encdec_batch.store.local_errors import os_error

_CREDENTIALS_HINT = "check the credentials in the environment or those that `storage` names, and their rights"

# Codes come first: some of them travel under a status that says something else (ExpiredToken under 400,
# RequestTimeout under 400), and HEAD answers have a status alone.
_FORBIDDEN = frozenset({
    "AccessDenied", "AccountProblem", "AllAccessDisabled", "InvalidAccessKeyId", "InvalidToken",
    "InvalidObjectState", "InvalidSecurity", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
    "TokenRefreshRequired", "UnauthorizedAccess",
})  # fmt: skip
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchUpload", "NotFound"})
# Those that renew themselves do so before their time is up, so that waiting does not help.
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
_TRANSIENT = frozenset({
    "RequestExpired",
    "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "InternalError", "OperationAborted",
    "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests",
    "XAmzContentSHA256Mismatch", "InvalidDigest", "RequestTimeoutException",
})  # fmt: skip
_FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "XMinioAdminBucketQuotaExceeded"})
_REGION = frozenset({
    "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
})  # fmt: skip
_TRANSIENT_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

_NO_CREDENTIALS = (
    boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError, boto.TokenRetrievalError,
    boto.SSOError, boto.MetadataRetrievalError, boto.NoAuthTokenError, boto.RefreshWithMFAUnsupportedError,
)  # fmt: skip
_NETWORK = (
    boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError, ResponseParserError,
    boto.ChecksumError, aiohttp.ClientError, asyncio.TimeoutError, TimeoutError, ConnectionError,
)  # fmt: skip

# Never reached the store, or was refused by it before anything was done.
_NOT_CARRIED_OUT = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
_NOT_CARRIED_OUT_STATUS = frozenset({409, 429, 503})


def s3_error(error: BaseException, where: str) -> StoreError:
    """Our error for one of s3fs, botocore, aiohttp or the operating system.

    `context["outcome_unknown"]` of a TransientStoreError: the request may have been carried out.
    """
    error = unwrapped(error)
    if isinstance(error, StoreError):
        return error
    if isinstance(error, boto.ClientError):
        return _answered(error.response, where)
    if isinstance(error, _NO_CREDENTIALS):
        return ObjectForbidden(f"{where}: no usable credentials ({_first_line(error)})", hint=_CREDENTIALS_HINT)
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return PermanentStoreError(f"{where}: {_first_line(error)}", hint="check the server's certificate")
    if isinstance(error, _NETWORK):
        unknown = not isinstance(error, _NOT_CARRIED_OUT)
        return TransientStoreError(
            f"{where}: the store cannot be reached or broke off ({type(error).__name__}: {_first_line(error)})",
            hint="check endpoint_url and the network",
            outcome_unknown=unknown,
        )
    if isinstance(error, OSError):
        return os_error(error, where)
    return PermanentStoreError(f"{where}: {type(error).__name__}: {_first_line(error)}")


def unwrapped(error: BaseException) -> BaseException:
    """The client's own error where s3fs has translated it into one of the operating system's."""
    return error.__cause__ if isinstance(error.__cause__, boto.ClientError) else error


def bulk_delete_error(entry: Mapping[str, Any], where: str) -> StoreError:
    """Our error for one entry of the Errors in an answer to DeleteObjects."""
    return _answered({"Error": {"Code": entry.get("Code", ""), "Message": entry.get("Message", "")}}, where)


def _answered(response: Mapping[str, Any], where: str) -> StoreError:
    code = str(response.get("Error", {}).get("Code", ""))
    message = str(response.get("Error", {}).get("Message", ""))
    status = _status(response, code)
    says = f"{where}: {code or status}" + (f" ({message})" if message and message != code else "")
    if code == "NoSuchBucket":
        return ObjectMissing(says, hint="create the bucket or correct its name")
    if code == "PreconditionFailed" or status == 412:
        return PreconditionFailed(f"{where}: changed since it was looked at, or exists already")
    if code in _EXPIRED:
        return CredentialsExpired(says, hint="renew the credentials, then run again: it goes on where it was")
    if code in _MISSING or (status == 404 and code not in _TRANSIENT):
        return ObjectMissing(f"{where}: no such object")
    if code in _REGION or status in {301, 307, 308}:
        return PermanentStoreError(says, hint="set the region of the bucket in `storage`")
    if code in _FULL or status == 507:
        return PermanentStoreError(says, hint="free space or raise the quota, then run again")
    if code in _TRANSIENT or status in _TRANSIENT_STATUS:
        unknown = status not in _NOT_CARRIED_OUT_STATUS
        return TransientStoreError(says, hint="the store is busy or ailing", outcome_unknown=unknown)
    if code in _FORBIDDEN or status in {401, 403}:
        return ObjectForbidden(says, hint=_CREDENTIALS_HINT)
    return PermanentStoreError(says)


def _status(response: Mapping[str, Any], code: str) -> int:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if isinstance(status, int):
        return status
    return int(code) if code.isdigit() else 0


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0].strip() if lines else type(error).__name__
