"""What the page says of a run, from what that run left: its summary where it ended, else its events and the plan."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.marker import Marker
from encdec_batch.errors import EncdecError, ObjectMissing
from encdec_batch.job.history import is_of, spec_of
from encdec_batch.job.runlog import run_folder
from encdec_batch.job.status import run_ids
from encdec_batch.models.package import Package, load_package
from encdec_batch.plan.recipe import Order
from encdec_batch.plan.table import read_resolved
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """A run that is over, as far as the page needs it."""

    spec: JobSpec
    package: Package
    summary: Mapping[str, Any]
    """As `RunSummary.to_dict` gives it; of a run that was killed, what its events come to. Count of scenes and digest
    are those of now: scenes may have been taken out since."""
    ended: bool


def last_run(store: Store, markers: Sequence[Marker]) -> PastRun:
    """The newest run that did something, else the newest.

    Args:
        store: the root of the output.
        markers: all of the output.

    Raises:
        EncdecError: no run has left its spec.
        SpecError: that spec is not one that this version reads.
        ModelError: the package of the run is no longer there.
    """
    run_id, spec = choose_run(store)
    package = load_package(spec.model.package, spec.model.storage)
    ended = _summary(store, run_id)
    order = Order(spec=spec, card=package.card, package_digest=package.digest)
    return PastRun(
        spec=spec,
        package=package,
        summary=(ended or _from_events(store, run_id, order))
        | {"scenes_done": _count_done(order, markers), "digest": digest_of_markers(markers)},
        ended=ended is not None,
    )


def choose_run(store: Store) -> tuple[str, JobSpec]:
    """The newest run that computed something, and its spec; where none did, the newest.

    Raises:
        EncdecError: no run has left its spec.
        SpecError: a spec is not one that this version reads.
    """
    newest: tuple[str, JobSpec] | None = None
    for run_id in run_ids(store):
        spec = spec_of(store, run_id)
        if spec is None:
            continue
        summary = _summary(store, run_id)
        did_something = summary.get("resolved") if summary else next(_segments(store, run_id), None)
        if did_something:
            return run_id, spec
        newest = newest or (run_id, spec)
    if newest is None:
        raise EncdecError(f"{store.uri}: no run has left its spec here", hint="run the job once")
    return newest


def _summary(store: Store, run_id: str) -> dict[str, Any] | None:
    """What a run said at its end; None: it did not come to it."""
    return _json(store, f"{run_folder(run_id)}summary.json")


def _from_events(store: Store, run_id: str, order: Order) -> dict[str, Any]:
    """The same keys, as far as the page wants them, of a run that did not end."""
    progress = _json(store, f"{run_folder(run_id)}progress.json") or {}
    seconds: dict[str, float] = {}
    peaks: dict[str, int] = {}
    workers: dict[str, set[int]] = {}
    pixels = bytes_read = 0
    since = float(progress.get("streaming_since") or 0)
    # It is written more often than events: of a run that was killed early there are none.
    last = max(since, float(progress.get("updated") or 0)) if since else 0.0
    for event in _events(store, run_id):
        last = max(last, event["time"])
        pixels += event["pixels"]
        bytes_read += event["bytes_read"]
        for stage, spent in event["seconds"] or ():
            seconds[stage] = seconds.get(stage, 0.0) + spent
        for stage, peak in event["peak_bytes"] or ():
            peaks[stage] = max(peaks.get(stage, 0), peak)
        for stage, thread in event.get("workers") or ():
            workers.setdefault(stage, set()).add(thread)
    resolved = read_resolved(store, order)
    return {
        "run_id": run_id,
        "scenes_total": progress.get("scenes_total", 0),
        "pixels": max(pixels, int(progress.get("pixels_done") or 0)),
        "seconds": last - since if since else 0.0,
        "bytes_read": bytes_read,
        "bytes_in_scenes": 0,
        "stage_seconds": seconds,
        "stage_workers": {stage: len(threads) for stage, threads in workers.items()},
        "peak_bytes": peaks,
        "projected_bytes": 0,
        "package_digest": order.package_digest,
        "resolved": asdict(resolved) if resolved else None,
    }


def _count_done(order: Order, markers: Sequence[Marker]) -> int:
    """Scenes with all that was asked for, of this package and these options."""
    wanted = set(order.wanted)
    return sum(1 for marker in markers if marker.outputs.keys() >= wanted and is_of(order, marker))


def _segments(store: Store, run_id: str) -> Iterator[str]:
    prefix = run_folder(run_id)
    names = (info.path for info in store.list(prefix))
    return (path for path in names if path.startswith(f"{prefix}events-") and path.endswith(".parquet"))


def _events(store: Store, run_id: str) -> Iterator[dict[str, Any]]:
    for path in _segments(store, run_id):
        try:
            yield from pq.read_table(BytesIO(store.get(path))).to_pylist()
        except (pa.ArrowException, OSError) as error:
            log.warning("report.events_unreadable", extra={"object": path, "reason": str(error)})


def _json(store: Store, path: str) -> dict[str, Any] | None:
    try:
        found = json.loads(store.get(path))
    except (ObjectMissing, ValueError):
        return None
    return found if isinstance(found, dict) else None
