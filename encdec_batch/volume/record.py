"""`volumes/<volume_id>.json`: which files a volume has. Its PUT makes them visible, as a marker does those of a scene.

All of it can be made again from the markers of the slices. Files lie in `volumes/<volume_id>/<key, 16 hex>-<d>/`, and
their bytes are a function of that name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from encdec_batch.commit.lease import check_lease
from encdec_batch.commit.marker import OutputFile
from encdec_batch.commit.volume_paths import VOLUMES_PREFIX, record_path, volume_of_record
from encdec_batch.errors import CommitError, ObjectMissing, PreconditionFailed
from encdec_batch.plan.keys import plain_json
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store


class VolumeRecord(BaseModel):
    """What is committed of one volume; nothing in it differs between two runs of the same work."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format_version: Literal[1] = 1
    volume_id: str
    volume_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    slices: tuple[str, ...]
    """Ids of its scenes, in the order of space."""
    outputs: dict[str, OutputFile]
    """By name; none, where the volume was taken out."""
    notes: tuple[str, ...] = ()
    """Why it was."""

    def to_json(self) -> bytes:
        return plain_json(self.model_dump(mode="json"))


def read_records(store: Store) -> Iterator[tuple[VolumeRecord, ObjectInfo]]:
    """Every volume of an output, by id.

    Raises:
        CommitError: a record cannot be read by this version.
    """
    for info in store.list(VOLUMES_PREFIX):
        if volume_of_record(info.path) is not None:
            try:
                data, now = store.get_with_info(info.path)
            except ObjectMissing:
                continue
            try:
                yield VolumeRecord.model_validate_json(data), now
            except ValidationError as error:
                raise CommitError(
                    f"{store.uri}: {info.path} is not a volume that this version can read",
                    hint="move it away: it is then made again from its slices",
                ) from error


def move_record(store: Store, record: VolumeRecord, *, expected_etag: str | None, lease_n: int) -> None:
    """Makes a volume's files visible.

    Args:
        store: the root of the output.
        record: names files that are all there.
        expected_etag: of the record that it takes the place of; None: there is none.
        lease_n: of the run.

    Raises:
        LeaseHeld: another run has taken over.
        CommitError: the record there is another one by now.
    """
    check_lease(store, lease_n)
    path, data = record_path(record.volume_id), record.to_json()
    try:
        if expected_etag is None:
            store.create(path, data)
        else:
            store.replace(path, data, etag=expected_etag)
    except PreconditionFailed as error:
        # A request whose answer was lost may have done it.
        if store.get(path) != data:
            raise CommitError(
                f"{store.uri}: {path} was changed by another run", hint="run again: what is missing is made"
            ) from error
