"""What lies in an output when a run begins: three listings, and the markers."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache

from encdec_batch.commit.marker import Marker, read_marker
from encdec_batch.commit.prune import PARTS_PREFIX
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine
from encdec_batch.commit.scene import part_path
from encdec_batch.job.census import Census
from encdec_batch.plan.plan import Committed, Known, Quarantined
from encdec_batch.plan.scene import SetAside
from encdec_batch.report.tables import StoredMarkers
from encdec_batch.store.store import Store

_PART_NAME = re.compile(r"\d+-\d+|check-\d+")
"""Anything else below a part key is the coarse levels, or not ours."""


def survey(store: Store, census: Census | None = None) -> Known:
    """Markers, quarantine and parts of an output; empty for a new one. The markers are noted in `census` as well."""
    found = (census or Census(())).noting(StoredMarkers(store))
    committed = {marker.scene_id: _committed(marker, info.etag) for marker, info in found}
    quarantined = {record.scene_id: _quarantined(record) for record in list_quarantine(store)}
    return Known(committed=committed, quarantined=quarantined, parts=_parts(store))


def survey_scene(store: Store, scene_id: str) -> Known:
    """The marker of one scene as it is now, and nothing else."""
    found = read_marker(store, scene_id)
    committed = {scene_id: _committed(*found)} if found is not None else {}
    return Known(committed=committed, quarantined={}, parts={})


def parts_of(store: Store, part_key: str) -> frozenset[str]:
    """Names of the blocks of one part key whose parts are there, and of its checks (`ScenePlan.with_done`)."""
    prefix = part_path(part_key, "")
    names = (info.path.removeprefix(prefix) for info in store.list(prefix))
    return frozenset(name for name in names if _PART_NAME.fullmatch(name))


def _committed(marker: Marker, etag: str) -> Committed:
    return Committed(
        scene_key=marker.scene_key, outputs=_names(*marker.outputs), generation=marker.generation, etag=etag
    )


@cache
def _names(*outputs: str) -> frozenset[str]:
    """One set for the many scenes that have the same outputs."""
    return frozenset(outputs)


def _parts(store: Store) -> dict[str, frozenset[str]]:
    blocks: dict[str, set[str]] = defaultdict(set)
    for info in store.list(PARTS_PREFIX):
        key, _, name = info.path.removeprefix(PARTS_PREFIX).partition("/")
        if _PART_NAME.fullmatch(name):
            blocks[key].add(name)
    return {key: frozenset(names) for key, names in blocks.items()}


def _quarantined(record: QuarantineRecord) -> Quarantined:
    aside = SetAside(
        scene_id=record.scene_id,
        uri=record.uri,
        stage=record.stage,
        reason=record.reason,
        hint=record.hint,
        block=record.block,
        transient=record.kind == "transient",
    )
    return Quarantined(trial_key=record.trial_key or "", aside=aside)
