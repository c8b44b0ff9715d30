"""`status` and `verify`: of an output, from any machine that reaches its store; neither writes anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from typing import Any

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.generation import SCENES_PREFIX
from encdec_batch.commit.marker import Marker, OutputFile, list_markers, marker_path, read_marker
from encdec_batch.commit.packed import PackedMarkers
from encdec_batch.commit.quarantine import count_quarantine
from encdec_batch.commit.volume_paths import VOLUMES_PREFIX, folder_of
from encdec_batch.errors import CommitError, EncdecError, ObjectMissing, PreconditionFailed
from encdec_batch.job.runlog import run_folder
from encdec_batch.report.catalogue_check import catalogue_fault
from encdec_batch.report.tables import removed_scenes
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.volume.record import read_records

RUNS = ".encdec/runs/"
DEAD_AFTER_S = 45.0
"""A run whose progress is older than a lease lives is dead."""
CHUNK = 8 * 2**20
READERS = 8
"""Files that are read at a time, a chunk each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an output holds, and what its newest run is doing."""

    uri: str
    scenes_with_outputs: int
    """Committed, by whichever run. One whose input changed since, and cannot be read now, is set aside as well."""
    scenes_set_aside: int
    run_id: str
    state: str
    """planning, running, complete, failed, or `interrupted`: nobody has written progress for longer than a lease
    lives."""
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
    """Empty where a marker cannot be read: then nobody knows what is committed."""
    files: int
    bad: tuple[str, ...]
    """Paths whose bytes are not those the marker names, or that are missing; markers that cannot be read."""
    why: Mapping[str, str] = field(default_factory=dict)
    """For each bad path, what is wrong."""
    volume_files: int = 0
    """Of the files: those of volumes. They are derived from those of scenes, and are not in the digest."""
    catalogue: str = ""
    """What is wrong with the catalogue, which is derived and can be made anew; empty: nothing."""

    @property
    def bad_files(self) -> tuple[str, ...]:
        """Those of `bad` that are outputs of scenes."""
        return tuple(path for path in self.bad if path.startswith(SCENES_PREFIX))

    @property
    def bad_volume_files(self) -> tuple[str, ...]:
        """Those of `bad` that are files of volumes."""
        return tuple(path for path in self.bad if folder_of(path) is not None)


def open_output(uri: str, options: StorageOptions | None = None) -> Store:
    """The store of an output that is there: a mistyped URI must not pass for an empty one, or be written to.

    Raises:
        EncdecError: nothing of ours is there.
        StoreError: the store does not answer.
    """
    store = open_store(uri, options)
    if not any(next(store.list(prefix), None) for prefix in (".encdec/", "markers/")):
        raise EncdecError(f"{store.uri}: no run has written here", hint="name the output.uri of a job")
    return store


def status(uri: str, options: StorageOptions | None = None) -> Status:
    """Counts and the newest run's progress.

    Raises:
        EncdecError: nothing of ours is there.
        StoreError: the store does not answer.
    """
    store = open_output(uri, options)
    progress, age = _newest_progress(store)
    removed = removed_scenes(store)
    committed = sum(1 for scene_id, info in list_markers(store) if removed.get(scene_id) != info.etag)
    state = str(progress.get("state", "complete"))
    if state in ("planning", "running") and age > DEAD_AFTER_S:
        state = "interrupted"
    return Status(
        uri=store.uri,
        scenes_with_outputs=committed,
        scenes_set_aside=count_quarantine(store),
        run_id=str(progress.get("run_id", "")),
        state=state,
        age_s=age,
        progress=progress,
    )


def verify(
    uri: str, options: StorageOptions | None = None, *, on_bytes: Callable[[int, int], None] = lambda *_: None
) -> Verdict:
    """Reads every committed file, of scenes and of volumes, and compares its sha256 with the one that is written down.

    Args:
        uri: of the output.
        options: of its store.
        on_bytes: told how many bytes of how many are read, for a progress line.

    Raises:
        EncdecError: nothing of ours is there.
        StoreError: the store does not answer.
    """
    store = open_output(uri, options)
    markers, why = PackedMarkers(), dict[str, str]()
    for path, marker in _markers(store):
        if isinstance(marker, CommitError):
            why[path] = str(marker)
        else:
            markers.append(marker)
    digest = "" if why else digest_of_markers(markers)
    volumes = _volume_files(store, why)
    total, done, files = sum(file.size for file in chain(_files(markers), volumes)), 0, 0
    for file, fault in _faults(store, chain(_files(markers), volumes)):
        done, files = done + file.size, files + 1
        on_bytes(done, total)
        if fault:
            why[file.path] = fault
    fault = "" if not digest else catalogue_fault(store, markers)
    return Verdict(
        uri=store.uri, digest=digest, files=files, volume_files=len(volumes), bad=tuple(why), why=why, catalogue=fault
    )


def _volume_files(store: Store, why: dict[str, str]) -> list[OutputFile]:
    """Files of volumes; what is wrong with a record that cannot be read is noted."""
    try:
        return [one for record, _ in read_records(store) for file in record.outputs.values() for one in file.objects()]
    except CommitError as error:
        why[VOLUMES_PREFIX] = str(error)
        return []


def _files(markers: PackedMarkers) -> Iterator[OutputFile]:
    """Every object that a marker names."""
    return (one for marker in markers for file in marker.outputs.values() for one in file.objects())


def output_digest(uri: str, options: StorageOptions | None = None) -> str:
    """The digest of an output, from its markers alone: no file is read.

    Raises:
        CommitError: a marker cannot be read by this version.
        EncdecError, StoreError: as `verify`.
    """
    # Closed here: left to the collector, which may come in one of its own threads, it would wait for that.
    with closing(_markers(open_output(uri, options))) as found:
        return digest_of_markers(readable(found))


def readable(found: Iterator[tuple[str, Marker | CommitError]]) -> Iterator[Marker]:
    """The markers; the first that cannot be read ends it.

    Raises:
        CommitError: what is wrong with that one.
    """
    for _, marker in found:
        if isinstance(marker, CommitError):
            raise marker
        yield marker


def _markers(store: Store) -> Generator[tuple[str, Marker | CommitError], None, None]:
    """Path and content of every marker, or what is wrong with it; one that vanished meanwhile is left out."""

    def read(scene_id: str) -> Marker | CommitError | None:
        try:
            found = read_marker(store, scene_id)
        except CommitError as error:
            return error
        return found[0] if found else None

    ids = (scene_id for scene_id, _ in list_markers(store))
    with ThreadPoolExecutor(2 * READERS) as pool:
        while chunk := list(islice(ids, 32 * READERS)):
            for scene_id, marker in zip(chunk, pool.map(read, chunk), strict=True):
                if marker is not None:
                    yield marker_path(scene_id), marker


def _faults(store: Store, files: Iterator[OutputFile]) -> Iterator[tuple[OutputFile, str]]:
    """Each file, and what is wrong with it."""
    with ThreadPoolExecutor(READERS) as pool:
        while chunk := list(islice(files, 32 * READERS)):
            yield from zip(chunk, pool.map(lambda file: fault_of(store, file), chunk), strict=True)


def fault_of(store: Store, file: OutputFile) -> str:
    """What is wrong with a file; empty: nothing."""
    digest = hashlib.sha256()
    try:
        info = store.info(file.path)
        if info.size != file.size:
            return f"it has {info.size} bytes, its marker says {file.size}"
        for start in range(0, file.size, CHUNK):
            span = (start, min(start + CHUNK, file.size))
            digest.update(store.get_ranges(file.path, [span], etag=info.etag)[0])
    except ObjectMissing:
        return "it is missing"
    except PreconditionFailed:
        return "it was replaced while it was read"
    return "" if digest.hexdigest() == file.sha256 else "its sha256 is not that of its marker"


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
