"""What an earlier run left of a catalogue. People and browsers may have changed it: whatever has another shape than we
write counts as missing, and is written again.
"""

from __future__ import annotations

import json
from typing import Any

from encdec_batch.commit.catalogue_paths import (
    CATALOGUE_PREFIX,
    COLLECTION,
    is_of_catalogue,
    item_path,
    shard_path,
)
from encdec_batch.errors import ObjectMissing, SpecError
from encdec_batch.report.stac import ModelEntry
from encdec_batch.report.stac_network import entry_of
from encdec_batch.store.store import Store

MADE_OF, OF_TABLE = "encdec:made_of", "encdec:scenes_etag"


def read_collection(store: Store) -> dict[str, Any]:
    """The collection; empty where none is there.

    Raises:
        SpecError: what is there instead was written by no run.
    """
    refuse_foreign(store)
    return _object(store, COLLECTION)


def read_children(store: Store) -> list[str] | None:
    """Names of the sub-catalogues that the collection links to; None: it is missing or damaged."""
    linked = _links(_object(store, COLLECTION), "child")
    if linked is None or not all(is_of_catalogue(shard_path(name)) for name in linked):
        return None
    return list(linked)


def read_items(store: Store, shard: str) -> dict[str, str] | None:
    """Items that a sub-catalogue links to, and what each was made of; None: it is missing or damaged."""
    linked = _links(_object(store, shard_path(shard)), "item")
    if linked is None or not all(is_of_catalogue(item_path(shard, name)) for name in linked):
        return None
    return linked


def read_network(store: Store, shard: str, name: str) -> tuple[str, str, ModelEntry] | None:
    """Package digest, `name version` and entry of a network; None: its item is missing or damaged."""
    try:
        found = entry_of(_object(store, item_path(shard, name)))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    return found if found[2].item_id == name else None


def is_kept_up(store: Store) -> bool:
    """Whether the catalogue is of the very table of scenes that is there."""
    try:
        return bool(_object(store, COLLECTION).get(OF_TABLE) == store.info("scenes.parquet").etag)
    except ObjectMissing:
        return False


def has_catalogue(store: Store) -> bool:
    """Whether an output has one of ours."""
    return OF_TABLE in _object(store, COLLECTION)


DELETE = f"delete {COLLECTION} and {CATALOGUE_PREFIX}, which the next run or report --rebuild makes anew"
"""What to do about a catalogue of ours whose collection is damaged."""


def is_damaged(store: Store) -> bool:
    """Whether something is there in place of the collection that is no JSON object, and so nobody's."""
    try:
        return not isinstance(json.loads(store.get(COLLECTION)), dict)
    except ObjectMissing:
        return False
    except (ValueError, RecursionError):
        return True


def refuse_foreign(store: Store) -> None:
    """Nothing, if there is a catalogue of ours, or none at all.

    The collection is the first object that a run writes of it: where that is not there, the others are not ours.

    Raises:
        SpecError: something that no run has written lies where the catalogue would.
    """
    if has_catalogue(store):
        return
    there = next((info.path for info in store.list(CATALOGUE_PREFIX) if is_of_catalogue(info.path)), None)
    try:
        store.info(COLLECTION)
    except ObjectMissing:
        found = there
    else:
        found = COLLECTION
    if found:
        raise SpecError(
            f"{store.uri}: {found} is there, and not as a run writes it: it is somebody else's, or this output's and "
            "damaged",
            hint=f"if it is this output's, {DELETE}; if somebody else's, say output.catalogue: false or write to "
            "another output.uri",
        )


def _links(found: dict[str, Any], relation: str) -> dict[str, str] | None:
    """Names at the ends of an object's links, and what they were made of; None where the links are none of ours."""
    links, named = found.get("links"), dict[str, str]()
    if not isinstance(links, list):
        return None
    for link in links:
        if not isinstance(link, dict):
            return None
        if link.get("rel") != relation:
            continue
        href, made_of = link.get("href"), link.get(MADE_OF, "")
        if not isinstance(href, str) or not isinstance(made_of, str):
            return None
        named[href.rpartition("/")[2].removesuffix(".json")] = made_of
    return named


def _object(store: Store, path: str) -> dict[str, Any]:
    """A JSON object; empty where it is missing or none."""
    try:
        found = json.loads(store.get(path))
    except (ObjectMissing, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
