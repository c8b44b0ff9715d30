"""Every error that botocore and aiohttp may raise has one of ours, found by reflection."""

from __future__ import annotations

import errno
import inspect
import ssl

import aiohttp
import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from s3fs.errors import ERROR_CODE_TO_EXCEPTION, translate_boto_error

from encdec_batch.errors import (
    CredentialsExpired,
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
    TransientStoreError,
)
from encdec_batch.store.s3_errors import s3_error


def answered(status, code):
    response = {"Error": {"Code": code, "Message": "as told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(response, "PutObject")


ANSWERS = [
    (404, "NoSuchKey", ObjectMissing),
    (404, "404", ObjectMissing),
    (404, "NoSuchBucket", ObjectMissing),
    (404, "NoSuchUpload", ObjectMissing),
    (401, "Unauthorized", ObjectForbidden),
    (403, "AccessDenied", ObjectForbidden),
    (403, "403", ObjectForbidden),
    (403, "SignatureDoesNotMatch", ObjectForbidden),
    (403, "InvalidAccessKeyId", ObjectForbidden),
    (403, "RequestTimeTooSkewed", ObjectForbidden),
    (400, "ExpiredToken", CredentialsExpired),
    (403, "ExpiredTokenException", CredentialsExpired),
    (403, "RequestExpired", TransientStoreError),
    (412, "PreconditionFailed", PreconditionFailed),
    (412, "412", PreconditionFailed),
    (409, "ConditionalRequestConflict", TransientStoreError),
    (409, "OperationAborted", TransientStoreError),
    (400, "RequestTimeout", TransientStoreError),
    (400, "BadDigest", TransientStoreError),
    (400, "IncompleteBody", TransientStoreError),
    (429, "TooManyRequests", TransientStoreError),
    (500, "InternalError", TransientStoreError),
    (500, "500", TransientStoreError),
    (502, "Bad Gateway", TransientStoreError),
    (503, "SlowDown", TransientStoreError),
    (503, "ServiceUnavailable", TransientStoreError),
    (504, "Gateway Timeout", TransientStoreError),
    (507, "XMinioStorageFull", PermanentStoreError),
    (301, "PermanentRedirect", PermanentStoreError),
    (400, "AuthorizationHeaderMalformed", PermanentStoreError),
    (416, "InvalidRange", PermanentStoreError),
    (400, "InvalidRequest", PermanentStoreError),
    (400, "EntityTooSmall", PermanentStoreError),
    (501, "NotImplemented", PermanentStoreError),
    (418, "Teapot", PermanentStoreError),
]


@pytest.mark.parametrize(("status", "code", "kind"), ANSWERS, ids=[f"{a[0]} {a[1]}" for a in ANSWERS])
def test_answers_map_as_they_come_and_as_s3fs_translates_them(status, code, kind):
    error = answered(status, code)
    for seen in (error, translate_boto_error(error)):
        mapped = s3_error(seen, "s3://bucket/x")
        assert type(mapped) is kind
        assert "s3://bucket/x" in str(mapped)


@pytest.mark.parametrize("code", sorted(code for code in ERROR_CODE_TO_EXCEPTION if not code.isdigit()))
def test_every_code_that_s3fs_knows_maps(code):
    assert isinstance(s3_error(translate_boto_error(answered(400, code)), "s3://bucket/x"), StoreError)


def every_botocore_error():
    for name, kind in inspect.getmembers(boto, inspect.isclass):
        # No waiter is used.
        if issubclass(kind, boto.BotoCoreError) and kind is not boto.WaiterError:
            names = [part.split("}")[0].split("!")[0].split(":")[0] for part in kind.fmt.split("{")[1:]]
            yield pytest.param(kind(**{name: OSError("any") for name in names if name}), id=name)


@pytest.mark.parametrize("error", list(every_botocore_error()))
def test_every_error_of_botocore_maps(error):
    mapped = s3_error(error, "s3://bucket/x")
    assert isinstance(mapped, StoreError)
    assert "\n" not in str(mapped)


NETWORK = [
    (boto.EndpointConnectionError(endpoint_url="http://x"), False),
    (boto.ConnectTimeoutError(endpoint_url="http://x"), False),
    (boto.ProxyConnectionError(proxy_url="http://x"), False),
    (boto.ReadTimeoutError(endpoint_url="http://x"), True),
    (boto.ConnectionClosedError(endpoint_url="http://x"), True),
    (boto.HTTPClientError(error="any"), True),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
    (boto.ResponseStreamingError(error="any"), True),
    (boto.SSLError(endpoint_url="http://x", error="UNEXPECTED_EOF_WHILE_READING"), True),
    (ResponseParserError("not XML"), True),
    (aiohttp.ServerDisconnectedError(), True),
    (aiohttp.ClientPayloadError("broke off"), True),
    (aiohttp.ClientOSError(errno.ECONNRESET, "reset"), True),
    (TimeoutError(), True),
    (ConnectionResetError(errno.ECONNRESET, "reset"), True),
    (answered(500, "InternalError"), True),
    (answered(503, "SlowDown"), False),
    (answered(409, "ConditionalRequestConflict"), False),
]


@pytest.mark.parametrize(
    ("error", "unknown"), NETWORK, ids=[type(e[0]).__name__ + str(i) for i, e in enumerate(NETWORK)]
)
def test_what_is_known_after_a_failure_of_the_network(error, unknown):
    mapped = s3_error(error, "s3://bucket/x")
    assert type(mapped) is TransientStoreError
    assert mapped.context["outcome_unknown"] is unknown


@pytest.mark.parametrize(
    "error",
    [
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="x"),
        boto.CredentialRetrievalError(provider="x", error_msg="y"),
        boto.TokenRetrievalError(provider="x", error_msg="y"),
        boto.UnauthorizedSSOTokenError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_missing_credentials_say_what_to_do(error):
    mapped = s3_error(error, "s3://bucket/x")
    assert type(mapped) is ObjectForbidden
    assert "check the credentials" in str(mapped)


def test_a_bad_certificate_is_not_waited_for():
    cause = ssl.SSLCertVerificationError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    mapped = s3_error(boto.SSLError(endpoint_url="https://x", error=cause), "s3://bucket/x")
    assert type(mapped) is PermanentStoreError
