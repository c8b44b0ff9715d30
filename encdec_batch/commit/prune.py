"""What may be deleted from an output, and when.

A folder with g up to that of the scene's marker, which that marker does not name, can never be named
again: the next marker has a higher g, and names files of its own folder and files that this one names.
It may go as soon as no reader of the marker before can still want it. A folder with a higher g, or of
a scene without a marker, may be the next to be named: a new run may find it complete and commit it
without writing a byte. So it goes only after a week without a write and, as everything here, under
the lease, while no scene is being committed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby, islice
from typing import Literal

from encdec_batch.commit.generation import SCENES_PREFIX, OutputFolder
from encdec_batch.commit.lease import check_lease
from encdec_batch.commit.marker import Marker, MoveResult, move_marker, next_generation, read_marker, read_markers
from encdec_batch.errors import SpecError
from encdec_batch.plan.open import STAGED_PREFIX
from encdec_batch.plan.statistics import STATISTICS_PREFIX
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.probe import PROBE_PREFIX
from encdec_batch.store.store import Store

Reason = Literal["superseded", "never committed", "left over work", "no longer needed"]

PARTS_PREFIX = ".encdec/parts/"

_DELETES_A_REQUEST = 1000
_SCENES_AT_ONCE = 256
_WRITERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRules:
    """Seconds by the store's clock."""

    keep_previous_s: float = 24 * 3600.0
    """A reader of a superseded marker has this long to finish."""
    orphan_after_s: float = 7 * 24 * 3600.0
    """Without a write; a committer gives up after one day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunableFolder:
    """A folder that the rules let go."""

    path: str
    reason: Reason
    objects: tuple[str, ...]
    size_bytes: int


def find_prunable(store: Store, rules: PruneRules = PruneRules()) -> Iterator[PrunableFolder]:
    """Every folder that `prune` would delete now; deletes nothing (the dry run).

    Costs a listing of scenes, parts, staged scenes, statistics and probes, and one GET a scene that has a folder.
    """
    now = store.now()
    folders = groupby(store.list(SCENES_PREFIX), key=lambda info: OutputFolder.parse(info.path))
    ours = ((folder, tuple(objects)) for folder, objects in folders if folder is not None)
    while chunk := list(islice(ours, _SCENES_AT_ONCE)):
        scene_ids = dict.fromkeys(folder.scene_id for folder, _ in chunk)
        markers = {marker.scene_id: (marker, info) for marker, info in read_markers(store, scene_ids)}
        for folder, objects in chunk:
            reason = _reason(folder, objects, markers.get(folder.scene_id), rules=rules, now=now)
            if reason is not None:
                yield _prunable(folder.path, reason, objects)
    for prefix in (PARTS_PREFIX, STAGED_PREFIX, STATISTICS_PREFIX, PROBE_PREFIX):
        for key, group in groupby(store.list(prefix), key=lambda info: _key_below(prefix, info.path)):
            objects = tuple(group)
            if _idle_s(objects, now) >= rules.orphan_after_s:
                yield _prunable(f"{prefix}{key}/", "left over work", objects)


def prune(
    store: Store, *, lease_n: int, rules: PruneRules = PruneRules(), also: Iterable[PrunableFolder] = ()
) -> Iterator[PrunableFolder]:
    """Deletes what `find_prunable` finds, and yields each folder once it is gone.

    To be called by the holder of the lease while none of its own scenes is being committed.

    Args:
        store: the root of the output.
        lease_n: of the caller.
        rules: how long things stay.
        also: deleted in the same way, before.

    Raises:
        LeaseHeld: the lease was taken over; nothing was deleted since.
    """
    # What killed writers left. A run drops that of scenes and parts at its start; the rest is small, and a run that
    # is starting now may need it.
    store.abort_uploads("", before=store.now() - rules.orphan_after_s)
    prunable = chain(also, find_prunable(store, rules))
    while chunk := list(islice(prunable, _SCENES_AT_ONCE)):
        check_lease(store, lease_n)
        _delete(store, (path for folder in chunk for path in folder.objects))
        yield from chunk


def take_out(store: Store, scene_ids: Sequence[str], *, lease_n: int, note: str) -> None:
    """Takes scenes out of the output, several at a time: `remove_scene` for each.

    Raises:
        SpecError: the store cannot replace a marker safely.
        LeaseHeld, CommitConflict, StoreError: as `move_marker`.
    """
    if scene_ids and not store.probe().if_match:
        raise SpecError(
            f"{store.uri}: this store ignores If-Match, and no marker can be replaced safely",
            hint="take scenes out of an output on a store with conditional writes",
        )
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(partial(remove_scene, store, lease_n=lease_n, note=note), scene_ids):
            pass


def remove_scene(store: Store, scene_id: str, *, lease_n: int, note: str) -> MoveResult | None:
    """Takes a scene out of the output by a marker of the next generation without outputs.

    Its folders are superseded from then on, and pruned in their time. None: it has no outputs now.

    Args:
        store: the root of the output.
        scene_id: of the scene.
        lease_n: number of the lease that is held.
        note: why, for people; it stays in the marker.

    Raises:
        CommitConflict, LeaseHeld, TransientStoreError: as `move_marker`.
    """
    found = read_marker(store, scene_id)
    if found is None or not found[0].outputs:
        return None
    marker, etag = found
    empty = Marker(
        scene_id=scene_id,
        generation=next_generation(marker),
        scene_key=marker.scene_key,
        outputs={},
        input=marker.input,
        notes=(note,),
    )
    return move_marker(store, empty, expected_etag=etag, lease_n=lease_n)


def remove_work(store: Store, prefix: str, keys: Collection[str]) -> int:
    """Deletes the parts (or staged scenes) of these keys, and says how many objects that were: one listing.

    Only for keys whose scenes are committed: a slower worker that misses a part reads the marker.

    Args:
        store: the root of the output.
        prefix: `PARTS_PREFIX` and part keys, or `STAGED_PREFIX` and scene keys.
        keys: those that are no longer needed.
    """
    return _delete(store, (info.path for info in store.list(prefix) if _key_below(prefix, info.path) in keys))


def _reason(
    folder: OutputFolder,
    objects: Collection[ObjectInfo],
    found: tuple[Marker, ObjectInfo] | None,
    *,
    rules: PruneRules,
    now: float,
) -> Literal["superseded", "never committed"] | None:
    if found is not None and folder.generation <= found[0].generation:
        marker, marker_info = found
        if any(file.path.startswith(folder.path) for file in marker.outputs.values()):
            return None
        return "superseded" if now - marker_info.modified >= rules.keep_previous_s else None
    return "never committed" if _idle_s(objects, now) >= rules.orphan_after_s else None


def _idle_s(objects: Iterable[ObjectInfo], now: float) -> float:
    return now - max(info.modified for info in objects)


def _prunable(path: str, reason: Reason, objects: Collection[ObjectInfo]) -> PrunableFolder:
    return PrunableFolder(
        path=path,
        reason=reason,
        objects=tuple(info.path for info in objects),
        size_bytes=sum(info.size for info in objects),
    )


def _key_below(prefix: str, path: str) -> str:
    return path.removeprefix(prefix).partition("/")[0]


def _delete(store: Store, paths: Iterable[str]) -> int:
    remaining, deleted = iter(paths), 0
    while chunk := list(islice(remaining, _DELETES_A_REQUEST)):
        store.delete(chunk)
        deleted += len(chunk)
    return deleted
