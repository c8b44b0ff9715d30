"""Whether a catalogue still says what the markers say."""

from __future__ import annotations

from collections.abc import Iterable

from encdec_batch.commit.catalogue_paths import CATALOGUE_PREFIX, COLLECTION, MODELS, item_path, shard_of, shard_path
from encdec_batch.commit.marker import Marker
from encdec_batch.report.catalogue_before import DELETE, has_catalogue, is_damaged, read_children, read_items
from encdec_batch.store.store import Store


def catalogue_fault(store: Store, markers: Iterable[Marker]) -> str:
    """One line for people; empty where there is no catalogue, or all is well.

    Costs a listing of the catalogue and a get for each sub-catalogue; reads no item.

    Args:
        store: the root of the output.
        markers: all of it.
    """
    if not has_catalogue(store):
        return f"{COLLECTION} is damaged: if it is this output's, {DELETE}" if is_damaged(store) else ""
    children = read_children(store)
    if children is None:
        return _said(f"{COLLECTION} is damaged")
    linked: set[str] = set()
    for child in children:
        items = read_items(store, child)
        if items is None:
            return _said(f"{shard_path(child)} is missing or damaged")
        if child != MODELS:
            linked |= {item_path(child, name) for name in items}
    lying = {info.path for info in store.list(CATALOGUE_PREFIX)}
    wanted = {item_path(shard_of(marker.scene_id), marker.scene_id) for marker in markers if marker.outputs}
    faults = [
        f"{len(paths)} {what} ({min(paths)})"
        for paths, what in (
            (wanted - linked, "scenes without an item"),
            (linked - wanted, "items of scenes that are not there"),
            (linked & wanted - lying, "items that are missing"),
        )
        if paths
    ]
    return _said(", ".join(faults)) if faults else ""


def _said(what: str) -> str:
    return f"the catalogue is not what the markers say: {what}; report --rebuild makes it anew"
