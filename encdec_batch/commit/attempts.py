"""Blocks that took their process down: `.encdec/attempts/<part key>/<block>.json`, one object a block, none for others.

Written when a death is counted and read when the next run begins, so that a driver that dies as well does not lose the
count. A block is named by its part key: another input, package or option, and nobody asks for it any more.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from encdec_batch.errors import ObjectMissing, StoreError
from encdec_batch.plan.keys import canonical_json
from encdec_batch.store.store import Store

ATTEMPTS_PREFIX = ".encdec/attempts/"
COMMIT = "commit"
"""Stands for a block's name where a commit from parts took its process down."""

Place = tuple[str, str]
"""Part key, and name of a block or `commit`; or scene key, and `header`."""

log = logging.getLogger(__name__)


class Attempts(BaseModel):
    """How often a block took down the process that was at it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    format_version: Literal[1] = 1
    scene_id: str
    deaths: int
    stage: str
    """Of the last death: plan, read, predict, write or commit. Of what it died is known only of a process that runs a
    block alone."""


def attempts_path(place: Place) -> str:
    key, block = place
    return f"{ATTEMPTS_PREFIX}{key}/{block}.json"


def count_death(store: Store, place: Place, *, scene_id: str, stage: str) -> int:
    """One death more; says how many that makes.

    Raises:
        StoreError: the store does not answer.
    """
    earlier = _read(store, attempts_path(place))
    now = Attempts(scene_id=scene_id, deaths=earlier.deaths + 1 if earlier else 1, stage=stage)
    store.put(attempts_path(place), canonical_json(now.model_dump(mode="json")))
    return now.deaths


def read_attempts(store: Store) -> dict[Place, Attempts]:
    """What earlier runs counted: one listing, and a get for each block that died."""
    found = {}
    for info in store.list(ATTEMPTS_PREFIX):
        key, _, name = info.path.removeprefix(ATTEMPTS_PREFIX).partition("/")
        attempts = _read(store, info.path)
        if attempts is not None:
            found[key, name.removesuffix(".json")] = attempts
    return found


def clear_attempts(store: Store, *, keep: Collection[str]) -> None:
    """Forgets all blocks but those of these part keys: one listing."""
    paths = [info.path for info in store.list(ATTEMPTS_PREFIX)]
    store.delete(path for path in paths if path.removeprefix(ATTEMPTS_PREFIX).partition("/")[0] not in keep)


def _read(store: Store, path: str) -> Attempts | None:
    try:
        return Attempts.model_validate_json(store.get(path))
    except ObjectMissing:
        return None
    except ValidationError:
        # A newer version's, or damaged: a count is no truth, and begins anew.
        log.warning("attempts.not_read", extra={"object": path})
        return None


def try_to_count(store: Store, place: Place, *, scene_id: str, stage: str) -> None:
    """`count_death`, for those who count in memory as well: a store that does not answer costs the note alone."""
    try:
        count_death(store, place, scene_id=scene_id, stage=stage)
    except StoreError as error:
        log.warning("attempts.not_written", extra={"object": attempts_path(place), "reason": str(error)})
