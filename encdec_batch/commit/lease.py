"""One writer at a time on one output: `.encdec/lease/<n>.json`, a file that its holder keeps renewing.

Taking the lease is creating the next number, create-only, so that two who try cannot both succeed. A
number is never used again and no lease file is ever deleted: whoever holds n finds out that it was
taken over by one GET of n + 1, which must answer 404 (a listing may be late; a GET is not).

The lease keeps two healthy runs apart and old drivers from going on. It is not what makes a commit
safe: a process may be stopped between its check and its PUT, and then If-Match on the marker holds.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from encdec_batch.commit.holder import HolderInfo, is_gone
from encdec_batch.errors import (
    CommitError,
    LeaseHeld,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
)
from encdec_batch.plan.keys import canonical_json
from encdec_batch.store.store import Store

LEASE_PREFIX = ".encdec/lease/"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """What a lease file says."""

    n: int
    token: str
    """Drawn for this very lease: after a PUT without an answer it tells our file from another's."""
    holder: HolderInfo
    created: float
    """Epoch seconds by the store's clock, just before the file was created: multipart uploads initiated
    before it belong to runs that are over."""
    renewals: int = 0
    """Makes every renewal other bytes, hence another etag: a late renewal cannot undo `ended`."""
    ended: bool = False

    def to_json(self) -> bytes:
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, data: bytes) -> LeaseRecord:
        """The record in these bytes.

        Raises:
            CommitError: they are not a lease.
        """
        try:
            values: dict[str, Any] = json.loads(data)
            return cls(**{**values, "holder": HolderInfo(**values["holder"])})
        except (ValueError, TypeError, KeyError) as error:
            raise CommitError("a lease file that this version cannot read") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds; the defaults are what docs/format.md promises, others are for tests."""

    renew_s: float = 10.0
    dead_after_s: float = 45.0
    poll_s: float = 2.0
    """Between two looks at a live lease that is waited for."""


class Lease:
    """The lease held by this process, renewed by a thread of its own until released.

    Not picklable: a committer in another process is given the number and calls `check_lease`.
    """

    def __init__(self, store: Store, record: LeaseRecord, etag: str, times: LeaseTimes) -> None:
        self._store = store
        self._record = record
        self._etag = etag
        self._times = times
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._lost: LeaseHeld | None = None
        self._thread = threading.Thread(target=self._renew_until_stopped, name=f"lease-{record.n}", daemon=True)

    @property
    def n(self) -> int:
        return self._record.n

    @property
    def created(self) -> float:
        """Epoch seconds by the store's clock; uploads initiated before are of runs that are over."""
        return self._record.created

    def start(self) -> None:
        """Starts the renewals; `acquire_lease` has done so."""
        self._thread.start()

    def check(self) -> None:
        """Nothing, if the lease is still ours: one GET.

        Raises:
            LeaseHeld: another run has taken it over.
            StoreError: the store does not say.
        """
        if self._lost is not None:
            raise self._lost
        try:
            check_lease(self._store, self.n)
        except LeaseHeld as error:
            self._lost = error
            raise

    def renew(self) -> None:
        """Checks, then writes the file anew, which moves its Last-Modified.

        Raises:
            LeaseHeld: another run has taken the lease over, or somebody removed its file.
            StoreError: the store does not answer; the lease lives on until its time is up.
        """
        self.check()
        with self._lock:
            if not self._stop.is_set():
                self._write(replace(self._record, renewals=self._record.renewals + 1))

    def release(self, *, failed: bool = False) -> None:
        """Ends the renewals and writes `ended`, so that the next run need not wait; never raises for the store.

        Args:
            failed: what its holder could not do was said already, and need not be said of this file again.
        """
        if self._stop.is_set():
            return
        self._stop.set()
        with self._lock:
            try:
                self._write(replace(self._record, ended=True))
            except (StoreError, LeaseHeld) as error:
                level = logging.INFO if failed else logging.WARNING
                _log.log(level, "lease.not_ended", extra={"lease": self.n, "reason": str(error)})
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.release(failed=isinstance(error, StoreError))

    def _write(self, record: LeaseRecord) -> None:
        path, data = lease_path(record.n), record.to_json()
        try:
            etag = self._store.replace(path, data, etag=self._etag).etag
        except PreconditionFailed:
            # Only the holder writes this file, so it holds an earlier PUT of ours whose answer was lost.
            etag = self._store.replace(path, data, etag=self._etag_if_ours(path)).etag
        except PermanentStoreError:
            # A store that says it has no If-Match. Nobody else writes this file: at worst a late renewal undoes
            # `ended`, and the next run waits.
            etag = self._store.put(path, data).etag
        self._record, self._etag = record, etag

    def _etag_if_ours(self, path: str) -> str:
        try:
            data, info = self._store.get_with_info(path)
            if LeaseRecord.from_json(data).token == self._record.token:
                return info.etag
        except (ObjectMissing, CommitError):
            pass
        self._lost = LeaseHeld(
            f"{self._store.uri}: {path} is no longer the file that this run wrote",
            hint="files below .encdec/lease must not be touched; run again",
        )
        raise self._lost

    def _renew_until_stopped(self) -> None:
        while not self._stop.wait(self._times.renew_s):
            try:
                self.renew()
            except LeaseHeld as error:
                _log.warning("lease.lost", extra={"lease": self.n, "reason": str(error)})
                return
            except StoreError as error:
                _log.warning("lease.not_renewed", extra={"lease": self.n, "reason": str(error)})


def acquire_lease(  # noqa: PLR0913  (two are for tests)
    store: Store,
    holder: HolderInfo,
    *,
    wait_s: float | None = None,
    times: LeaseTimes = LeaseTimes(),
    sleep: Callable[[float], None] = time.sleep,
    told: Callable[[LeaseHeld], None] = lambda _: None,
) -> Lease:
    """The lease of the output in `store`, renewed by a thread from now on; release it at the end (`with`).

    Args:
        store: the root of the output.
        holder: this process.
        wait_s: how long to wait for a run that holds it; None fails at once.
        times: renewal and death.
        sleep: waits between two looks.
        told: whom it waits for: called once for each lease that another run holds meanwhile.

    Raises:
        LeaseHeld: another run holds it; the message says who and how long ago it was renewed.
    """
    waited_s, waits_for = 0.0, 0
    while True:
        held = _highest(store)
        if held is None or held.is_free(store.now(), times.dead_after_s) or _is_still(store, held, times, sleep):
            lease = _take(store, (held.n if held else 0) + 1, holder, times)
            if lease is not None:
                return lease
            continue  # another was faster: its lease is the highest now
        if wait_s is None or waited_s >= wait_s:
            # Looked at again: while it was watched another may have taken the next one.
            raise (_highest(store) or held).refusal(store, store.now())
        if held.n != waits_for:
            waits_for = held.n
            told(held.refusal(store, store.now()))
        step = min(times.poll_s, wait_s - waited_s)
        sleep(step)
        waited_s += step


def check_lease(store: Store, n: int) -> None:
    """Nothing, if no run has taken lease n over: one GET of lease n + 1, which must be missing.

    Raises:
        LeaseHeld: lease n + 1 is there; `context["lease"]` is its number.
        StoreError: the store does not say.
    """
    try:
        data = store.get(lease_path(n + 1))
    except ObjectMissing:
        return
    raise LeaseHeld(
        f"{store.uri}: lease {n} was taken over by {_who(_record_or_none(data))}",
        hint="this run writes no more; the other one goes on with the same work",
        lease=n + 1,
    )


def lease_path(n: int) -> str:
    """Path of a lease file from the root of the output."""
    return f"{LEASE_PREFIX}{n}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """The highest lease file as it was found."""

    n: int
    record: LeaseRecord | None
    """None: not readable, so only its age counts."""
    etag: str
    renewed: float

    def is_free(self, now: float, dead_after_s: float) -> bool:
        ended = self.record is not None and self.record.ended
        return ended or now - self.renewed >= dead_after_s or (self.record is not None and is_gone(self.record.holder))

    def is_ahead(self, now: float, dead_after_s: float) -> bool:
        """Whether its time lies so far in the future that some clock was set back since."""
        return self.renewed - now >= dead_after_s

    def refusal(self, store: Store, now: float) -> LeaseHeld:
        age_s = max(0.0, now - self.renewed)
        return LeaseHeld(
            f"{store.uri} is being written by {_who(self.record)}, which renewed its lease {self.n} {age_s:.0f} s ago",
            hint="wait for it or stop it; the lease of a run that died is free 45 s after its last renewal",
            lease=self.n,
            renewed_s_ago=age_s,
        )


def _highest(store: Store) -> _Held | None:
    listed = (info.path.removeprefix(LEASE_PREFIX).removesuffix(".json") for info in store.list(LEASE_PREFIX))
    n = max((int(stem) for stem in listed if stem.isdecimal()), default=0)
    held = _look(store, n) if n else None
    while True:  # a listing may be late, a GET is not: go on upwards from what was listed
        above = _look(store, n + 1)
        if above is None:
            return held
        n, held = n + 1, above


def _look(store: Store, n: int) -> _Held | None:
    try:
        data, info = store.get_with_info(lease_path(n))
    except ObjectMissing:
        return None
    return _Held(n=n, record=_record_or_none(data), etag=info.etag, renewed=info.modified)


def _is_still(store: Store, held: _Held, times: LeaseTimes, sleep: Callable[[float], None]) -> bool:
    """Whether a lease whose time is of no use is not renewed, for as long as one lives: it is watched that long."""
    if not held.is_ahead(store.now(), times.dead_after_s):
        return False
    _log.warning("lease.ahead", extra={"lease": held.n, "seconds": round(held.renewed - store.now())})
    watched_s = 0.0
    while watched_s < times.dead_after_s:
        sleep(times.poll_s)
        watched_s += times.poll_s
        found = _look(store, held.n)
        if found is None or found.etag != held.etag or _look(store, held.n + 1) is not None:
            return False
    return True


def _take(store: Store, n: int, holder: HolderInfo, times: LeaseTimes) -> Lease | None:
    record = LeaseRecord(n=n, token=uuid.uuid4().hex, holder=holder, created=store.now())
    try:
        etag = store.create(lease_path(n), record.to_json()).etag
    except PreconditionFailed:
        # It may be our own: the first try took effect, its answer was lost, and the store tried again.
        found = _look(store, n)
        if found is None or found.record is None or found.record.token != record.token:
            return None
        etag = found.etag
    lease = Lease(store, record, etag, times)
    lease.start()
    return lease


def _record_or_none(data: bytes) -> LeaseRecord | None:
    try:
        return LeaseRecord.from_json(data)
    except CommitError:
        return None


def _who(record: LeaseRecord | None) -> str:
    if record is None:
        return "a run of another version"
    return f"run {record.holder.run_id} (process {record.holder.pid} on {record.holder.host})"
