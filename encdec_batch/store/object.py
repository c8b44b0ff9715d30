"""What a store says about an object, and what a path in a store may be."""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.errors import PermanentStoreError, SpecError

HIDDEN_PREFIX = ".encdec-own-"
"""File names that begin so are this package's temporary and lock files; no listing shows them."""

S3_OBJECT_BYTES = 5 * 2**40
"""An object's largest size on S3 (and on Google's store): 10,000 parts of a multipart upload come to that as well."""
_LIMITED = ("s3", "s3a", "gs", "gcs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One object as it was at one moment."""

    path: str
    """Relative to the store's uri, components joined by "/"."""
    size: int
    """Bytes."""
    etag: str
    """Another text for every other content under this path; without quotes."""
    modified: float
    """Seconds since the epoch by the store's clock; whole seconds on most object stores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a store was seen to refuse, as it should."""

    create_only: bool
    """A name that exists is never overwritten by `create` or a writer."""
    if_match: bool
    """`replace` changes only the very object that its etag names."""


def max_object_bytes(uri: str) -> int | None:
    """The largest object that the store of this uri takes; None: nothing is known of a limit."""
    scheme, separator, _ = uri.partition("://")
    return S3_OBJECT_BYTES if separator and scheme in _LIMITED else None


def checked_path(path: str, *, uri: str) -> str:
    """The path itself, when it names an object below the store and nothing else.

    Raises:
        PermanentStoreError: empty, absolute, ends in "/", has a "." or ".." component or a NUL: on some
            store or proxy such a name would be another object's.
    """
    components = path.split("/")
    if not components[0] or not components[-1] or "." in components or ".." in components or "\0" in path:
        raise PermanentStoreError(
            f"{uri}: {path!r} cannot name an object", hint='give a relative path without "." or ".."', path=path
        )
    return path


def checked_prefix(prefix: str, *, uri: str) -> str:
    """The prefix itself, when it is empty or a folder below the store.

    Raises:
        PermanentStoreError: not "" and not ending in "/", or a path that `checked_path` refuses.
    """
    if prefix and (not prefix.endswith("/") or checked_path(prefix[:-1], uri=uri) != prefix[:-1]):
        raise PermanentStoreError(f"{uri}: prefix {prefix!r} must be empty or end in '/'", path=prefix)
    return prefix


def join_uri(uri: str, path: str) -> str:
    """The uri of an object, for messages and records."""
    return f"{uri.rstrip('/')}/{path}" if path else uri


def split_uri(uri: str) -> tuple[str, str]:
    """Folder and last component of a uri.

    Raises:
        SpecError: there is no last component.
    """
    folder, _, name = uri.rpartition("/")
    if not folder or not name or folder.endswith(":/"):
        raise SpecError(f"{uri}: names no object", hint="give the uri of one object, not of a folder or bucket")
    return folder, name
