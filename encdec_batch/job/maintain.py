"""What is done to an output between runs: old generations pruned, tables and page made anew. Both take the lease."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.commit.prune import PrunableFolder, PruneRules, find_prunable, prune
from encdec_batch.commit.quarantine import list_quarantine
from encdec_batch.errors import EncdecError, ObjectMissing
from encdec_batch.job.runlog import run_folder
from encdec_batch.job.status import run_ids
from encdec_batch.models.package import load_package
from encdec_batch.report.build import Material, write_report
from encdec_batch.report.tables import markers_of, write_quarantine_table, write_scenes
from encdec_batch.spec.base import StorageOptions
from encdec_batch.spec.load import parse_text
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store


def prune_output(
    uri: str, options: StorageOptions | None = None, *, keep_hours: float = 24.0, dry_run: bool = False
) -> list[PrunableFolder]:
    """Deletes the folders of generations that nothing can name again; with `dry_run` only says which.

    Raises:
        LeaseHeld: a run is writing this output.
    """
    store = open_store(uri, options)
    rules = PruneRules(keep_previous_s=keep_hours * 3600)
    if dry_run:
        return list(find_prunable(store, rules))
    with _leased(store) as lease:
        return list(prune(store, lease_n=lease.n, rules=rules))


def rebuild_report(uri: str, options: StorageOptions | None = None) -> str:
    """Makes the derived tables and the page anew from markers, quarantine and the last run that did something.

    Returns:
        Where the page is.

    Raises:
        EncdecError: no run has ended on this output.
        LeaseHeld: a run is writing it, and does the same at its end.
    """
    store = open_store(uri, options)
    with _leased(store):
        markers = list(markers_of(store))
        quarantine = list(list_quarantine(store))
        write_scenes(store, markers)
        write_quarantine_table(store, quarantine)
        spec_text, summary = _last_run(store)
        spec = parse_text(spec_text, name=f"{store.uri}: the spec of its last run")
        card = load_package(spec.model.package, spec.model.storage).card
        found = [marker for marker, _ in markers]
        write_report(store, Material(spec=spec, card=card, summary=summary, markers=found, quarantine=quarantine))
    return f"{store.uri}/report/index.html"


def _last_run(store: Store) -> tuple[str, dict[str, object]]:
    for run_id in run_ids(store):
        try:
            summary = json.loads(store.get(run_folder(run_id) + "summary.json"))
            if summary["resolved"] is not None:
                return store.get(run_folder(run_id) + "spec.yaml").decode(), summary
        except ObjectMissing:
            continue
    raise EncdecError(f"{store.uri}: no run that did something has ended here", hint="run the job to its end first")


@contextmanager
def _leased(store: Store) -> Iterator[Lease]:
    run_id = time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(3)
    with acquire_lease(store, HolderInfo.current(run_id)) as lease:
        yield lease
