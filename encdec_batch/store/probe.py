"""What a store can do, found out by trying: some stores ignore conditions without a word."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

from encdec_batch.errors import PermanentStoreError, PreconditionFailed
from encdec_batch.store.object import Capabilities, ObjectInfo

if TYPE_CHECKING:
    from encdec_batch.store.store import Store

PROBE_PREFIX = ".encdec/probe/"


def probe(store: Store, *, writer_refuses: Callable[[str], bool] | None = None) -> Capabilities:
    """Tries create and replace where they must succeed and where they must fail.

    Args:
        store: leaves nothing in it.
        writer_refuses: a further trial of create-only, given a name that exists: true when it was refused.
    """
    name = f"{PROBE_PREFIX}{uuid.uuid4().hex}"
    try:
        first = store.create(name, b"1")
        create_only = _refused(lambda: store.create(name, b"22"))
        if create_only and writer_refuses is not None:
            create_only = writer_refuses(name)
        return Capabilities(create_only=create_only, if_match=create_only and _replaces_by_etag(store, name, first))
    finally:
        store.delete([name, f"{name}-gone"])


def _replaces_by_etag(store: Store, name: str, first: ObjectInfo) -> bool:
    try:
        second = store.replace(name, b"333", etag=first.etag)
    except PermanentStoreError:
        # 501 and the like: the store says that it has no such condition.
        return False
    # One server once took If-Match on a missing name as "create" (MinIO, its issue 21526).
    return (
        second.etag != first.etag
        and _refused(lambda: store.replace(name, b"4444", etag=first.etag))
        and _refused(lambda: store.replace(f"{name}-gone", b"55555", etag=second.etag))
        and store.get(name) == b"333"
    )


def _refused(attempt: Callable[[], ObjectInfo]) -> bool:
    try:
        attempt()
    except PreconditionFailed:
        return True
    return False
