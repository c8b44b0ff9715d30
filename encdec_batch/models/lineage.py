"""What a version knew when it was trained: `<name>/lineage/<digest>.json`, the watermark of the nightly job.

Written before the version that names the digest, never changed. Packages that were added by hand have none.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encdec_batch.errors import ModelError, ObjectMissing, PreconditionFailed
from encdec_batch.models.card import CardModel
from encdec_batch.models.version import Sha256, parse_record, record_bytes
from encdec_batch.store.store import Store

_MOST_BYTES = 1 << 29


class Lineage(CardModel):
    """The labelled scenes that were there when a version was made: what it learned from, and what it was judged on."""

    format_version: Literal[1] = 1
    name: str
    digest: Sha256
    """Of the package."""
    night: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]
    """That made it."""
    scenes: dict[str, str]
    """Key of a scene to a digest of the etags of image and target."""


def lineage_path(name: str, digest: str) -> str:
    return f"{name}/lineage/{digest}.json"


def write_lineage(store: Store, lineage: Lineage) -> None:
    """Keeps it; the same once more is no fault.

    Raises:
        ModelError: another lies there.
    """
    path, data = lineage_path(lineage.name, lineage.digest), record_bytes(lineage)
    try:
        store.create(path, data)
    except PreconditionFailed as error:
        if store.get(path) != data:
            raise ModelError(f"{store.uri}/{path}: another lineage lies there", hint="look who wrote it") from error


def read_lineage(store: Store, name: str, digest: str) -> Lineage | None:
    """The lineage of a package; None: it has none.

    Raises:
        ModelError: it is damaged, or of a newer program.
    """
    path = lineage_path(name, digest)
    try:
        if store.info(path).size > _MOST_BYTES:
            raise ModelError(f"{store.uri}/{path}: is larger than {_MOST_BYTES:,} bytes", hint="this is no record")
        data = store.get(path)
    except ObjectMissing:
        return None
    return parse_record(Lineage, data, where=f"{store.uri}/{path}")
