"""`prune --removed PERCENT`: scenes whose input is no longer in the source, found by listing that again, are taken out.

A source that lists less than it should, because a disk is not mounted, a prefix is mistyped or credentials see half of
it, looks like one whose scenes were removed. So nothing is taken out where more than PERCENT are gone. What a run does
when its listing lost many scenes stands in `job/gone_inputs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import EncdecError
from encdec_batch.job.contents import list_scenes
from encdec_batch.job.history import newest_spec
from encdec_batch.plan.identity import apart_from
from encdec_batch.plan.public_spec import source_name
from encdec_batch.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Committed scenes that the source no longer names."""

    scene_ids: tuple[str, ...]
    num_committed: int

    @property
    def percent(self) -> float:
        return 100 * len(self.scene_ids) / self.num_committed if self.num_committed else 0.0


def find_removed(store: Store, markers: Sequence[Marker]) -> Removed:
    """Lists the source of the newest run, and compares.

    A scene that goes on under another id (its input is still named) counts once the other one is committed.

    Args:
        store: the root of the output.
        markers: all of the output.

    Raises:
        EncdecError: no run has left its spec, or the source names no scene at all.
        SpecError, StoreError: the source cannot be listed.
    """
    spec = newest_spec(store)
    listing = list_scenes(spec, store)
    unnamed = listing.unnamed
    if not listing.candidates and not unnamed:
        where = "the list" if spec.source.kind == "list" else source_name(spec)
        raise EncdecError(
            f"{where}: the source names no scene at all; nothing was removed",
            hint="check that it can be read from here; an output that is no longer wanted can be deleted by hand",
        )
    candidates = list(apart_from(listing.candidates, {marker.scene_id for marker in markers}))
    committed = {marker.scene_id for marker in markers if marker.outputs}
    ids = {candidate.scene_id for candidate in candidates} | {aside.scene_id for aside in unnamed}
    kept = {c.uri for c in candidates if c.scene_id not in committed} | {aside.uri for aside in unnamed}
    gone = [m.scene_id for m in markers if m.outputs and m.scene_id not in ids and m.input.uri not in kept]
    return Removed(scene_ids=tuple(gone), num_committed=len(committed))


def check_limit(removed: Removed, percent: float) -> None:
    """Nothing, if no more is gone than was allowed.

    Raises:
        EncdecError: more is gone.
    """
    if removed.percent <= percent:
        return
    raise EncdecError(
        f"{len(removed.scene_ids)} of {removed.num_committed} committed scenes ({removed.percent:.1f} %) are no longer "
        f"in the source, more than the {percent:g} % that were allowed; nothing was removed or deleted",
        hint="check that the source lists all it holds; if they were really removed, say "
        f"--removed {ceil(10 * removed.percent) / 10:g}",
    )
