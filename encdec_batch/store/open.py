"""From a URI to a store."""

from __future__ import annotations

import os

from encdec_batch.errors import SpecError
from encdec_batch.store.local import LocalStore
from encdec_batch.store.object import split_uri
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.secrets import Options, check_no_userinfo, checked_options
from encdec_batch.store.store import Store


def open_store(uri: str, options: Options | None = None, *, policy: RetryPolicy | None = None) -> Store:
    """The store of a folder or bucket. Makes no connection and looks at nothing.

    Args:
        uri: `s3://bucket/prefix`, `file:///folder`, a path of this machine, or what another fsspec package knows.
        options: settings of the connection; secrets only as "env:NAME".
        policy: how long to try; the default is about two minutes a request.

    Raises:
        SpecError: the uri is of no known form, or options or uri hold a secret in clear.
    """
    checked = checked_options(options)
    scheme, separator, rest = uri.partition("://")
    if "::" in uri:
        raise SpecError(f"{uri}: chained uris are not supported", hint="give the uri of the store itself")
    if not uri or (separator and not scheme):
        raise SpecError(f"{uri!r} is not a uri")
    if not separator or scheme in ("file", "local"):
        if separator and not rest.startswith("/"):
            raise SpecError(f"{uri}: a file uri has no host", hint=f"write file:///{rest}")
        return LocalStore(rest if separator else os.fspath(uri), policy=policy)
    check_no_userinfo(uri, what="the uri")
    if scheme in ("s3", "s3a"):
        bucket, _, prefix = rest.partition("/")
        if not bucket:
            raise SpecError(f"{uri}: names no bucket", hint="write s3://bucket/prefix")
        # Here, as botocore takes half a second that file:// need not wait.
        from encdec_batch.store.s3 import S3Store

        return S3Store(bucket, prefix, options=checked, policy=policy)
    from encdec_batch.store.generic import GenericStore

    return GenericStore(uri, options=checked, policy=policy)


def locate(uri: str, options: Options | None = None, *, policy: RetryPolicy | None = None) -> tuple[Store, str]:
    """The store of one object's folder (on S3: its bucket) and the object's path in it.

    A scene that is a folder, *.zarr, may be named with a slash behind it.

    Raises:
        SpecError: as `open_store`, or the uri names no object.
    """
    if uri.lower().endswith(".zarr/"):
        uri = uri[:-1]
    scheme, separator, rest = uri.partition("://")
    if separator and scheme in ("s3", "s3a"):
        bucket, _, path = rest.partition("/")
        if not bucket or not path or path.endswith("/"):
            raise SpecError(f"{uri}: names no object", hint="give the uri of one object, not of a folder or bucket")
        return open_store(f"s3://{bucket}", options, policy=policy), path
    if not separator:
        uri = f"file://{os.path.abspath(uri)}"  # noqa: PTH100 - resolve() would follow links
    folder, name = split_uri(uri)
    return open_store(folder, options, policy=policy), name
