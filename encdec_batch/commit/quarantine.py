"""What was set aside: `.encdec/quarantine/<scene_id>.json`, beside the markers the other truth of an output.

The driver writes the record before it counts a scene as set aside, and removes it when the scene is
committed or the user asks for another try.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from encdec_batch.commit.generation import check_scene_id
from encdec_batch.errors import CommitError, ObjectMissing
from encdec_batch.plan.keys import canonical_json
from encdec_batch.store.store import Store

QUARANTINE_PREFIX = ".encdec/quarantine/"

_CONCURRENT_READS = 16


class QuarantineRecord(BaseModel):
    """Why a scene has no output, and what to do about it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format_version: Literal[1] = 1
    stage: str
    """plan, read, statistics, predict, write or commit."""
    scene_id: str
    uri: str
    block: str | None = None
    """Name of the block, where one is to blame."""
    reason: str
    hint: str = ""
    kind: Literal["condemned", "transient"]
    """A property of the scene; or of that hour, and the next run tries again by itself."""
    trial_key: str | None = None
    """Scene key, `-`, and 8 hex digits of the limits and of `certify` (`Order.trial_key`): the record holds for this
    input, package, pixel options, limits and `certify` only. None where the scene has no scene key: it cannot have an
    id of its own, or could not be looked up."""


def quarantine_path(scene_id: str) -> str:
    """Path of a scene's record from the root of the output."""
    check_scene_id(scene_id)
    return f"{QUARANTINE_PREFIX}{scene_id}.json"


def write_quarantine(store: Store, record: QuarantineRecord) -> None:
    """Sets a scene aside; a record that was there is replaced."""
    store.put(quarantine_path(record.scene_id), canonical_json(record.model_dump(mode="json")))


def list_quarantine(store: Store) -> Iterator[QuarantineRecord]:
    """Every record, sorted by path.

    Raises:
        CommitError: one cannot be read by this version.
    """
    paths = (info.path for info in store.list(QUARANTINE_PREFIX))
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        while chunk := list(islice(paths, 16 * _CONCURRENT_READS)):
            yield from (record for record in pool.map(lambda path: _read(store, path), chunk) if record is not None)


def count_quarantine(store: Store) -> int:
    """How many scenes are set aside: one listing, no record is read."""
    return sum(1 for _ in store.list(QUARANTINE_PREFIX))


def _read(store: Store, path: str) -> QuarantineRecord | None:
    try:
        return QuarantineRecord.model_validate_json(store.get(path))
    except ObjectMissing:
        return None  # removed since it was listed
    except ValidationError as error:
        raise CommitError(
            f"{store.uri}: {path} is not a record that this version can read",
            hint="delete it: the scene is then tried again",
        ) from error


def remove_quarantine(store: Store, scene_ids: Iterable[str]) -> None:
    """Takes scenes out of quarantine; one that is not in it is fine."""
    store.delete(quarantine_path(scene_id) for scene_id in scene_ids)
