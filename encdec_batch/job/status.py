"""`status`, `verify` and `retry`: of an output, from any machine that reaches its store."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.marker import list_markers, read_markers
from encdec_batch.commit.quarantine import count_quarantine, list_quarantine, remove_quarantine
from encdec_batch.errors import EncdecError, ObjectMissing
from encdec_batch.job.runlog import run_folder
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

RUNS = ".encdec/runs/"
DEAD_AFTER_S = 45.0
"""A run whose progress is older than a lease lives is dead."""
CHUNK = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an output holds, and what its newest run is doing."""

    uri: str
    scenes_committed: int
    scenes_set_aside: int
    run_id: str
    state: str
    """planning, running, complete, failed, or `dead`: nobody has written progress for longer than a lease lives."""
    age_s: float
    """Since the run last said something."""
    progress: dict[str, Any]
    """As progress.json has it; empty where no run has begun."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `verify` found."""

    uri: str
    digest: str
    files: int
    bad: tuple[str, ...]
    """Paths whose bytes are not those the marker names, or that are missing."""


def status(uri: str, options: StorageOptions | None = None) -> Status:
    """Counts and the newest run's progress.

    Raises:
        EncdecError: nothing of ours is there.
        StoreError: the store does not answer.
    """
    store = open_store(uri, options)
    progress, age = _newest_progress(store)
    committed = sum(1 for _ in list_markers(store))
    if not progress and not committed:
        raise EncdecError(f"{store.uri}: no run has written here", hint="name the output.uri of a job")
    state = str(progress.get("state", "complete"))
    if state in ("planning", "running") and age > DEAD_AFTER_S:
        state = "dead"
    return Status(
        uri=store.uri,
        scenes_committed=committed,
        scenes_set_aside=count_quarantine(store),
        run_id=str(progress.get("run_id", "")),
        state=state,
        age_s=age,
        progress=progress,
    )


def verify(uri: str, options: StorageOptions | None = None) -> Verdict:
    """Reads every committed file and compares its sha256 with the marker's."""
    store = open_store(uri, options)
    markers = [marker for marker, _ in read_markers(store)]
    files = [file for marker in markers for file in marker.outputs.values()]
    bad = tuple(file.path for file in files if _sha256(store, file.path, file.size) != file.sha256)
    return Verdict(uri=store.uri, digest=digest_of_markers(markers), files=len(files), bad=bad)


def retry(uri: str, options: StorageOptions | None = None) -> int:
    """Takes every scene out of quarantine, so that the next run tries it again; says how many."""
    store = open_store(uri, options)
    ids = [record.scene_id for record in list_quarantine(store)]
    remove_quarantine(store, ids)
    return len(ids)


def _sha256(store: Store, path: str, size: int) -> str:
    digest = hashlib.sha256()
    try:
        info = store.info(path)
        if info.size != size:
            return ""
        for start in range(0, size, CHUNK):
            digest.update(store.get_ranges(path, [(start, min(start + CHUNK, size))], etag=info.etag)[0])
    except ObjectMissing:
        return ""
    return digest.hexdigest()


def _newest_progress(store: Store) -> tuple[dict[str, Any], float]:
    """The progress of the run that began last (run ids begin with the time), and its age in seconds."""
    for run_id in run_ids(store)[:1]:
        try:
            data, info = store.get_with_info(run_folder(run_id) + "progress.json")
        except ObjectMissing:
            continue
        progress: dict[str, Any] = json.loads(data)
        return progress, max(0.0, store.now() - info.modified)
    return {}, 0.0


def run_ids(store: Store) -> list[str]:
    """Of every run on an output, the newest first: an id begins with the time."""
    return sorted({info.path.removeprefix(RUNS).partition("/")[0] for info in store.list(RUNS)}, reverse=True)
