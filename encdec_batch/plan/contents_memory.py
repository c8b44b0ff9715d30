"""`.encdec/contents.parquet`, encrypted as `.encdec/private/contents`: what objects of a source held when they were
looked into; those that have not changed since are not opened again. A memory: where it is gone, objects are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter
from pydantic_core import to_json

from encdec_batch.errors import ObjectMissing, SpecError
from encdec_batch.plan.private_map import CONTENTS, PrivateMap
from encdec_batch.privacy import Pseudonyms
from encdec_batch.read.contents import Contents
from encdec_batch.store.store import Store

PATH = ".encdec/contents.parquet"
CONTENTS_FORMAT = "4"
"""Raised when a field of `Contents` changes, or what it means, or how a reader finds it."""
_SCHEMA = pa.schema([("uri", pa.string()), ("etag", pa.string()), ("contents", pa.string())])

Key = tuple[str, str]
"""URI and etag of an object."""
log = logging.getLogger(__name__)


def read_contents(store: Store, asked: str, names: Pseudonyms | None, private: PrivateMap) -> dict[Key, Contents]:
    """What is known of objects; nothing where it was found by another version, or with other options.

    Args:
        store: the root of the output.
        asked: what decides what an object holds, as text.
        names: with the key of private contents, where there may be some.
        private: where those lie.

    Raises:
        SpecError: they were encrypted with another key.
    """
    try:
        data = _stored(store, names, private)
        table = pq.read_table(BytesIO(data))
        if (table.schema.metadata or {}).get(b"encdec") != _about(asked):
            return {}
        rows = zip(*(table[name].to_pylist() for name in _SCHEMA.names), strict=True)
        return {(uri, etag): _contents().validate_json(text) for uri, etag, text in rows}
    except ObjectMissing:
        return {}
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        log.warning("contents.not_read", extra={"path": PATH, "reason": str(error)})
        return {}


def write_contents(
    store: Store, asked: str, known: Mapping[Key, Contents], names: Pseudonyms | None, private: PrivateMap
) -> None:
    """Keeps what is known of the objects that the source names now.

    Args:
        store: the root of the output.
        asked: as for `read_contents`.
        known: what they hold.
        names: encrypt it, where it is private.
        private: where it lies then.
    """
    rows = [{"uri": uri, "etag": etag, "contents": to_json(held).decode()} for (uri, etag), held in known.items()]
    buffer = BytesIO()
    schema = _SCHEMA.with_metadata({b"encdec": _about(asked)})
    pq.write_table(pa.Table.from_pylist(rows, schema), buffer, compression="zstd")
    data = buffer.getvalue()
    if names is not None:
        private.put(CONTENTS, names.encrypted(data))
    else:
        store.put(PATH, data)


def _stored(store: Store, names: Pseudonyms | None, private: PrivateMap) -> bytes:
    if names is not None:
        with suppress(ObjectMissing):
            data = private.get(CONTENTS)
            try:
                return names.decrypted(data)
            except ValueError as error:
                # With another key every scene has another name: all would be done again, and what is there be called
                # gone from the source.
                raise SpecError(
                    f"{store.uri}: its private part was made with another key, or is damaged",
                    hint="give the key of before; with a new one write to another output.uri",
                ) from error
    return store.get(PATH)


def _about(asked: str) -> bytes:
    return f"{CONTENTS_FORMAT} {asked}".encode()


@cache
def _contents() -> TypeAdapter[Contents]:
    return TypeAdapter(Contents)
