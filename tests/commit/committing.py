"""What processes of their own do in tests: commit a scene, take a lease."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fakes import fake_bytes

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import LeaseTimes, acquire_lease
from encdec_batch.commit.marker import Marker, MoveResult, move_marker
from encdec_batch.errors import CommitConflict, LeaseHeld
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

TAKEN_OVER, CONFLICT = 10, 11
"""Exit codes of `commit_alone`."""


def commit(store: Store, marker: Marker, *, expected_etag: str | None, lease_n: int) -> MoveResult:
    """The steps of `commit_scene` with files that need no pixels: those of this generation, then the marker."""
    for file in marker.outputs.values():
        if f"/{marker.generation}-" in file.path:
            with store.open_writer(file.path) as writer:
                writer.write(fake_bytes(file.path))
                writer.finish()
    return move_marker(store, marker, expected_etag=expected_etag, lease_n=lease_n)


def commit_alone(uri: str, options: Mapping[str, Any], marker: bytes, expected_etag: str | None, lease_n: int) -> None:
    """`commit` as a process."""
    try:
        commit(
            open_store(uri, options),
            Marker.model_validate_json(marker),
            expected_etag=expected_etag,
            lease_n=lease_n,
        )
    except LeaseHeld:
        sys.exit(TAKEN_OVER)
    except CommitConflict:
        sys.exit(CONFLICT)


def race(uri: str, options: Mapping[str, Any], go: str, said: str, end: str) -> None:
    """Tries to take the lease when file `go` is there, writes its number to `said`, and holds it until `end` is."""
    store = open_store(uri, options)
    store.now()
    _wait_for(go)
    try:
        with acquire_lease(store, HolderInfo.current(said), times=LeaseTimes(renew_s=3600)) as lease:
            Path(said).write_text(str(lease.n))
            _wait_for(end)
    except LeaseHeld:
        Path(said).write_text("refused")


def _wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.001)
