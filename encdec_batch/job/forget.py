"""Which plans and which records of runs an output no longer needs: without this, every run would leave some for ever.

Both are memory: what is forgotten too early costs time, or a line of a report, and never a scene.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from encdec_batch.commit.prune import PARTS_PREFIX, PrunableFolder, PruneRules
from encdec_batch.errors import EncdecError, ObjectMissing
from encdec_batch.job.history import privacy_of
from encdec_batch.job.rebuild import choose_run
from encdec_batch.job.runlog import run_folder
from encdec_batch.job.status import RUNS
from encdec_batch.plan.memory import NAME_COLUMNS, ImageName
from encdec_batch.plan.private_map import PrivateMap, private_map, spec_name
from encdec_batch.plan.table import PREFIX as PLANS
from encdec_batch.plan.table import read_segment, segments
from encdec_batch.read.header import HEADER_FORMAT
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store
from encdec_batch.volume.prune import find_superseded

KEPT_PLANS = 100
"""Newest plans that hold a header which no newer one holds."""
KEPT_RUNS = 100
"""Newest runs."""
READERS = 16


def find_forgettable(store: Store) -> Iterator[PrunableFolder]:
    """Segments of plans, folders of runs and of volumes that nothing needs any more; deletes nothing.

    To be used by the holder of the lease, or to look. Costs listings of plans, parts and runs, and reads every plan;
    where there are more than `KEPT_RUNS` runs, the spec of each.
    """
    yield from _plans(store)
    yield from _runs(store)
    yield from find_superseded(store, PruneRules().keep_previous_s)


def _plans(store: Store) -> Iterator[PrunableFolder]:
    """Not the newest, which says what `auto` became; not one that owns parts; not the last that holds a header."""
    found = list(segments(store))
    sizes = {info.path: info for info in store.list(PLANS)}
    parts = {info.path.removeprefix(PARTS_PREFIX).partition("/")[0] for info in store.list(PARTS_PREFIX)}
    newer: set[ImageName] = set()
    kept: set[int] = set()
    for number, path in reversed(found):
        names, part_keys = _rows(store, path)
        has_news = names is None or not names <= newer
        needed = has_news and (number in kept or len(kept) < KEPT_PLANS)
        if not (needed or number == found[-1][0] or not parts.isdisjoint(part_keys)):
            yield _forgotten(path, [sizes[path]])
            continue
        newer |= names or set()
        if has_news:
            kept.add(number)


def _rows(store: Store, path: str) -> tuple[set[ImageName] | None, Sequence[str]]:
    """Images whose headers a segment holds, as `PlanMemory` takes them, and the part keys in it; None: this version
    cannot read it.
    """
    found = read_segment(store, path, (*NAME_COLUMNS, "blocks_done", "part_key"))
    if found is None:
        return None, ()
    *names, done, part_keys = (column.to_pylist() for column in found[0].columns)
    whole = {name for name, begun in zip(zip(*names, strict=True), done, strict=True) if not begun}
    return whole if found[1].get("headers") == HEADER_FORMAT else set(), part_keys


def _runs(store: Store) -> Iterator[PrunableFolder]:
    """Beyond the newest: not the one that the page is of, nor the newest of its spec, which makes its scenes again."""
    listed = groupby(store.list(RUNS), key=lambda info: info.path.removeprefix(RUNS).partition("/")[0])
    folders = {run_id: tuple(objects) for run_id, objects in listed}
    ids = sorted(folders, reverse=True)
    if len(ids) <= KEPT_RUNS:
        return
    try:
        chosen = choose_run(store)[0]
    except EncdecError:
        return  # a spec of another version: which run is needed cannot be said
    with ThreadPoolExecutor(READERS) as pool:
        specs = dict(zip(ids, pool.map(lambda run_id: _spec_text(store, run_id), ids), strict=True))
    seen = {specs[run_id] for run_id in ids[:KEPT_RUNS]} | {b""}
    for run_id in ids[KEPT_RUNS:]:
        if specs[run_id] in seen and run_id != chosen:
            yield _forgotten(run_folder(run_id), folders[run_id])
        seen.add(specs[run_id])


def private_specs_of(store: Store, folders: Iterable[PrunableFolder]) -> list[tuple[PrivateMap, str]]:
    """What runs that are to be forgotten keep encrypted, wherever that is, and its name there. To be asked before the
    folders go: they say where. Of others who keep theirs in the same place nothing is touched.
    """
    found = []
    for folder in folders:
        run_id = folder.path.removeprefix(RUNS).strip("/")
        privacy = privacy_of(store, run_id) if folder.path == run_folder(run_id) else None
        if privacy is not None and privacy.hide == "on":
            found.append((private_map(store, privacy), spec_name(run_id)))
    return found


def _spec_text(store: Store, run_id: str) -> bytes:
    try:
        return store.get(f"{run_folder(run_id)}spec.yaml")
    except ObjectMissing:
        return b""


def _forgotten(path: str, objects: Sequence[ObjectInfo]) -> PrunableFolder:
    return PrunableFolder(
        path=path,
        reason="no longer needed",
        objects=tuple(info.path for info in objects),
        size_bytes=sum(info.size for info in objects),
    )
