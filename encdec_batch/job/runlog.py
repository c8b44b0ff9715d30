"""What a run says while it goes: progress.json for `status`, events for the report; by one thread of the driver."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from io import BytesIO
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from encdec_batch.errors import CredentialsExpired, StoreError, TransientStoreError
from encdec_batch.job.progress import Watch
from encdec_batch.pipeline import Record
from encdec_batch.plan.private import names_of
from encdec_batch.plan.private_map import private_map, spec_name
from encdec_batch.plan.public_spec import public_spec
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store
from encdec_batch.uri import public_values

log = logging.getLogger(__name__)

PROGRESS_S = 10.0
EVENTS_S = 30.0
_EVENTS = pa.schema(
    [
        ("time", pa.float64()),
        ("kind", pa.string()),
        ("scene_id", pa.string()),
        ("blocks", pa.list_(pa.string())),
        ("seconds", pa.map_(pa.string(), pa.float64())),
        ("pixels", pa.int64()),
        ("bytes_read", pa.int64()),
        ("bytes_for_statistics", pa.int64()),
        ("peak_bytes", pa.map_(pa.string(), pa.int64())),
        ("workers", pa.map_(pa.string(), pa.int64())),
        ("message", pa.string()),
    ]
)


def new_run_id(now: float) -> str:
    """Of a run that begins at `now` (seconds since 1970): ids sort as the runs began, those of one second too."""
    milliseconds = round(now * 1000)
    begun = time.strftime("%Y%m%dT%H%M%S", time.gmtime(milliseconds // 1000))
    return f"{begun}.{milliseconds % 1000:03d}Z-{secrets.token_hex(3)}"


def run_folder(run_id: str) -> str:
    return f".encdec/runs/{run_id}/"


def _yaml(spec: dict[str, Any]) -> bytes:
    return yaml.safe_dump(spec, sort_keys=False).encode()


class RunLog:
    """Writes below `.encdec/runs/<run id>/`; events that a store does not take are kept for the next segment."""

    def __init__(self, store: Store, spec: JobSpec, watch: Watch) -> None:
        self.watch = watch
        self._store, self._spec, self._folder = store, spec, run_folder(watch.now.run_id)
        self._events: list[dict[str, Any]] = []
        self._segments = 0
        self._level = logging.WARNING
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="runlog", daemon=True)

    def note(self, record: Record) -> None:
        done = "block" if record.blocks else "check"
        kind = "set aside" if record.trouble else "committed" if record.committed else done
        message = f"{record.trouble.stage}: {record.trouble.reason}" if record.trouble else "; ".join(record.notes)
        event = {
            "time": time.time(),
            "kind": kind,
            "scene_id": record.scene_id,
            "blocks": list(record.blocks),
            "seconds": list(record.cost.seconds.items()),
            "pixels": record.pixels,
            "bytes_read": record.cost.bytes_read.get("read", 0),
            "bytes_for_statistics": record.cost.bytes_read.get("statistics", 0),
            "peak_bytes": list(record.cost.peak_bytes.items()),
            "workers": list(record.cost.workers.items()),
            "message": message,
        }
        with self._lock:
            self._events.append(event)

    def finish(self, summary: dict[str, Any]) -> None:
        """What the run came to; the page can be made from it again."""
        self._put("summary.json", json.dumps(summary).encode())

    def say(self) -> None:
        """Writes the progress now: the run has come to another state."""
        self._write_progress()

    def __enter__(self) -> Self:
        # Secrets are named in a spec, never held by it; but for links of scenes that are signed.
        self._store.put(f"{self._folder}spec.yaml", _yaml(public_spec(self._spec)))
        if self._spec.privacy.hide == "on":
            in_clear = _yaml(public_values(self._spec.model_dump(mode="json")))
            name, encrypted = spec_name(self.watch.now.run_id), names_of(self._spec.privacy).encrypted(in_clear)
            private_map(self._store, self._spec.privacy).put(name, encrypted)
        self._write_progress()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if isinstance(error, TransientStoreError | CredentialsExpired):
            return  # it would be tried in vain, for as long again
        if isinstance(error, StoreError):
            self._level = logging.INFO  # the error itself says it
        self._write_events()
        self._write_progress()

    def _beat(self) -> None:
        last_events = time.monotonic()
        while not self._stop.wait(PROGRESS_S):
            self._write_progress()
            if time.monotonic() - last_events >= EVENTS_S:
                self._write_events()
                last_events = time.monotonic()

    def _write_progress(self) -> None:
        self._put("progress.json", json.dumps(self.watch.now.to_dict()).encode())

    def _write_events(self) -> None:
        with self._lock:
            events, self._events = self._events, []
        if not events:
            return
        buffer = BytesIO()
        pq.write_table(pa.Table.from_pylist(events, _EVENTS), buffer, compression="zstd")
        if self._put(f"events-{self._segments:05d}.parquet", buffer.getvalue()):
            self._segments += 1
            return
        with self._lock:
            self._events = events + self._events

    def _put(self, name: str, data: bytes) -> bool:
        try:
            self._store.put(self._folder + name, data)
        except StoreError as error:
            log.log(self._level, "runlog.not_written", extra={"object": name, "reason": str(error)})
            return False
        return True
