"""What is done to an output between runs: scenes tried again, scenes and old files removed, tables and page made anew.

All of it takes the lease, and so is refused while a run goes on: a driver knows quarantine and markers as they were
when it began, and would write its tables over what was changed beside it. Looking (`dry_run`) needs no lease.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from encdec_batch.commit.foreign import Foreign, find_foreign
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.commit.packed import packed
from encdec_batch.commit.prune import PrunableFolder, PruneRules, find_prunable, prune, take_out
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine, remove_quarantine
from encdec_batch.errors import EncdecError
from encdec_batch.job.census import Census
from encdec_batch.job.forget import find_forgettable, private_specs_of
from encdec_batch.job.page import has_page, renew_page, rewrite_page
from encdec_batch.job.prune_removed import Removed, check_limit, find_removed
from encdec_batch.job.rebuild import choose_run
from encdec_batch.job.runlog import new_run_id
from encdec_batch.job.status import open_output
from encdec_batch.models.package import load_package
from encdec_batch.plan.recipe import Order
from encdec_batch.report.build import REPORT
from encdec_batch.report.catalogue_before import has_catalogue
from encdec_batch.report.derived import renew_derived
from encdec_batch.report.stac_network import Network, network_of
from encdec_batch.report.tables import markers_of, write_quarantine_table
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.store import Store
from encdec_batch.volume.record import read_records
from encdec_batch.volume.removed import take_out_volumes
from encdec_batch.volume.table import write_volumes_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What `prune` deleted, or would delete."""

    folders: tuple[PrunableFolder, ...]
    removed: tuple[str, ...]
    """Scenes that were taken out, as their input is no longer in the source; their files go `keep_hours` later."""
    foreign: Foreign


def retry_output(
    uri: str, options: StorageOptions | None = None, *, stage: str = "", reason: str = "", dry_run: bool = False
) -> list[QuarantineRecord]:
    """Takes scenes out of quarantine, so that the next run tries them again; with `dry_run` only says which.

    Args:
        uri: of the output.
        options: of its store.
        stage: only what was set aside there (`read`, ...); empty: wherever.
        reason: only where the reason has this text in it, whatever its case; empty: whatever the reason.
        dry_run: changes nothing, and needs no lease.

    Raises:
        EncdecError: nothing of ours is there.
        LeaseHeld: a run is writing this output.
    """
    store = open_output(uri, options)
    if dry_run:
        return [record for record in list_quarantine(store) if _is_meant(record, stage, reason)]
    with leased(store) as lease:
        records = list(list_quarantine(store))
        meant = [record for record in records if _is_meant(record, stage, reason)]
        lease.check()
        remove_quarantine(store, [record.scene_id for record in meant])
        write_quarantine_table(store, [record for record in records if not _is_meant(record, stage, reason)])
    return meant


def prune_output(
    uri: str,
    options: StorageOptions | None = None,
    *,
    keep_hours: float = 24.0,
    removed_percent: float | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Deletes what nothing can name again: files of replaced and removed scenes, work that was left over, old plans
    and records of old runs.

    Args:
        uri: of the output.
        options: of its store.
        keep_hours: time that readers of a replaced marker are given.
        removed_percent: also take out committed scenes that the source of the newest run no longer names, where they
            are at most so many in a hundred; None: leave them.
        dry_run: deletes nothing, and needs no lease.

    Raises:
        EncdecError: nothing of ours is there; or more scenes are gone from the source than was allowed.
        CommitError: a marker cannot be read by this version: nothing is deleted beside what it may name.
        LeaseHeld: a run is writing this output.
    """
    store = open_output(uri, options)
    rules = PruneRules(keep_previous_s=keep_hours * 3600)
    if dry_run:
        removed = _removed(store, removed_percent)
        folders = [*find_forgettable(store), *find_prunable(store, rules)]
    else:
        with leased(store) as lease:
            removed = _removed(store, removed_percent)
            if removed.scene_ids:
                take_out(store, removed.scene_ids, lease_n=lease.n, note="removed")
            if removed.scene_ids or has_catalogue(store):
                # A run that was killed left items that name files which may go now.
                census = Census(())
                renew_derived(store, census.noting(markers_of(store)), lease.check)
                if removed.scene_ids:
                    renew_page(store, census.markers)
                    take_out_volumes(store, census.removed, lease_n=lease.n)
                    _renew_volumes(store)
            # Found before parts are deleted: a plan goes at the prune after its last part.
            forgettable = list(find_forgettable(store))
            private = private_specs_of(store, forgettable)
            folders = list(prune(store, lease_n=lease.n, rules=rules, also=forgettable))
            for kept, name in private:
                kept.delete(name)
    return Pruned(folders=tuple(folders), removed=removed.scene_ids, foreign=find_foreign(store.list()))


def find_report(uri: str, options: StorageOptions | None = None) -> str | None:
    """Where the page of an output is; None: no run has come to write one.

    Raises:
        EncdecError: nothing of ours is there.
    """
    store = open_output(uri, options)
    return f"{store.uri}/{REPORT}" if has_page(store) else None


def rebuild_report(uri: str, options: StorageOptions | None = None) -> str:
    """Makes the derived tables and the page anew: from markers, quarantine, and what the newest run that did something
    left, whether it ended or was killed.

    Returns:
        Where the page is.

    Raises:
        EncdecError: nothing of ours is there.
        LeaseHeld: a run is writing this output, and does the same at its end.
    """
    store = open_output(uri, options)
    with leased(store) as lease:
        census = Census(())
        lease.check()
        renew_derived(store, census.noting(markers_of(store)), lease.check, network=_network(store), anew=True)
        write_quarantine_table(store, list_quarantine(store))
        _renew_volumes(store)
        rewrite_page(store, census.markers)
    return f"{store.uri}/{REPORT}"


def _renew_volumes(store: Store) -> None:
    write_volumes_table(store, [record for record, _ in read_records(store)])


def _network(store: Store) -> Network | None:
    """Of the newest run that did something; None where its spec wants no catalogue, or spec or package cannot be had:
    what is told of that comes once the tables are written.
    """
    try:
        _, spec = choose_run(store)
        if not spec.output.catalogue:
            return None
        package = load_package(spec.model.package, spec.model.storage)
    except EncdecError:
        return None
    return network_of(Order(spec=spec, card=package.card, package_digest=package.digest), package)


def _is_meant(record: QuarantineRecord, stage: str, reason: str) -> bool:
    return stage in ("", record.stage) and reason.casefold() in record.reason.casefold()


def _removed(store: Store, percent: float | None) -> Removed:
    """Scenes to be taken out. Reads every marker first: one of a newer version stops everything."""
    if percent is None:
        return Removed(scene_ids=(), num_committed=sum(bool(marker.outputs) for marker, _ in markers_of(store)))
    removed = find_removed(store, packed(marker for marker, _ in markers_of(store)))
    check_limit(removed, percent)
    return removed


@contextmanager
def leased(store: Store) -> Iterator[Lease]:
    """The lease of an output, for as long as a command changes something in it.

    Raises:
        LeaseHeld: a run is writing this output.
    """
    with acquire_lease(store, HolderInfo.current(new_run_id(time.time()))) as lease:
        yield lease
