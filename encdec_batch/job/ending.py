"""The end of a run: what is derived from markers and records is made anew, what is needed no more goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from encdec_batch.commit.attempts import clear_attempts
from encdec_batch.commit.lease import Lease
from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.commit.prune import PARTS_PREFIX, prune, remove_work, take_out
from encdec_batch.commit.quarantine import list_quarantine
from encdec_batch.errors import RunStopped
from encdec_batch.job.census import Census
from encdec_batch.job.forget import find_forgettable
from encdec_batch.job.gone_inputs import Removing
from encdec_batch.job.notes import notes_of
from encdec_batch.job.outcome import Outcome
from encdec_batch.job.page import renew_page
from encdec_batch.job.plan import Prepared, projected_bytes
from encdec_batch.job.progress import making_volumes
from encdec_batch.job.runlog import RunLog
from encdec_batch.job.summary import RunSummary
from encdec_batch.job.volumes import VolumesMade, make_volumes
from encdec_batch.plan.open import STAGED_PREFIX
from encdec_batch.plan.scene import SetAside
from encdec_batch.plan.table import owners_of_parts
from encdec_batch.plan.totals import PlanTotals
from encdec_batch.process import peak_bytes
from encdec_batch.report.build import Material, write_report
from encdec_batch.report.catalogue_before import is_kept_up
from encdec_batch.report.derived import write_derived
from encdec_batch.report.gone_since import Gone, gone_before
from encdec_batch.report.record import State
from encdec_batch.report.stac_network import network_of
from encdec_batch.report.tables import StoredMarkers, gone_scenes, write_quarantine_table, write_scenes
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store
from encdec_batch.volume.record import read_records
from encdec_batch.volume.removed import take_out_volumes
from encdec_batch.volume.table import write_volumes_table

TABLES_S = 600.0
"""Between two times that the derived tables are made anew while a run goes on."""


class Ending:
    """Tells what a run came to, at its end and from time to time before.

    Args:
        prepared: what there was to do.
        store: of the output.
        lease: of the run.
        runlog: of the run.
        outcome: what it has come to; the stream goes on counting in it.
        removing: what the source lacks, and what becomes of it.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (all that a run has)
        self,
        prepared: Prepared,
        store: Store,
        lease: Lease,
        runlog: RunLog,
        outcome: Outcome,
        removing: Removing,
    ) -> None:
        self._prepared, self._store, self._lease, self._runlog = prepared, store, lease, runlog
        self._outcome, self._sources, self._removing = outcome, removing.sources, removing
        self._notes = notes_of(prepared, store, removing)
        self._network = network_of(prepared.order, prepared.package)
        self._removed: tuple[str, ...] = ()
        self._volumes = VolumesMade()
        self._tables_written = time.monotonic()

    def finish(self, plan: PlanTotals | None, census: Census | None = None) -> RunSummary:
        """Derived tables and the report; parts of committed scenes go.

        Args:
            plan: what was done; None: nothing.
            census: of the markers, where nothing has changed and the table of scenes is right as it is.
        """
        work, asides = self._prepared.work, self._outcome.asides
        asides.add_all(work.set_aside, work.keys)
        # A record that is not named by a listing that cannot be believed stays.
        doubtful = self._sources.is_doubtful and not self._removing.takes_out
        asides.drop_stale(self._sources.names if doubtful else lambda _: True)
        self._take_out()
        if census is None or self._is_outdated():
            census = self._write_derived()
        self._set_lost_aside(census)
        self._volumes = make_volumes(
            self._prepared.order,
            self._prepared.groups,
            self._outcome.keys,
            census.markers,
            self._store,
            self._lease,
            making_volumes(self._runlog.watch),
        )
        asides.add_all(self._volumes.set_aside, {})
        if self._removing.takes_out:
            take_out_volumes(self._store, census.removed, lease_n=self._lease.n)
        self._lease.check()
        write_volumes_table(self._store, [record for record, _ in read_records(self._store)])
        write_quarantine_table(self._store, list_quarantine(self._store))
        self._remove_work({scene_id: census.committed[scene_id] for scene_id in census.whole})
        self._forget_attempts()
        summary = self._summary(plan, census)
        self._runlog.finish(summary.to_dict())
        if plan is not None:
            write_report(self._store, self._material(summary, census))
        elif summary.scenes_removed:
            renew_page(self._store, census.markers)
        if self._removing.prune:
            for _ in prune(self._store, lease_n=self._lease.n, also=find_forgettable(self._store)):
                pass
        self._runlog.watch.update(state="complete")
        return summary

    def stop(self, plan: PlanTotals, stopped: RunStopped) -> None:
        """Tables and page of a run that gave up; parts, and what was set aside before, stay for the next one."""
        work = self._prepared.work
        self._outcome.asides.add_all(work.set_aside, work.keys)
        census = self._write_derived()
        write_quarantine_table(self._store, list_quarantine(self._store))
        summary = replace(self._summary(plan, census), stopped=stopped.message)
        self._runlog.finish(summary.to_dict())
        write_report(self._store, self._material(summary, census, "stopped"))

    def show_so_far(self, plan: PlanTotals) -> None:
        """Tables and page while the run goes on; not more often than makes sense."""
        if time.monotonic() - self._tables_written <= TABLES_S:
            return
        census = self._write_scenes()
        write_quarantine_table(self._store, list_quarantine(self._store))
        write_report(self._store, self._material(self._summary(plan, census), census, "running"))
        # From here on: what takes long must not be all that is done.
        self._tables_written = time.monotonic()

    def _summary(self, plan: PlanTotals | None, census: Census) -> RunSummary:
        """Of the run so far."""
        outcome, tally = self._outcome, self._outcome.tally
        return RunSummary(
            run_id=self._runlog.watch.now.run_id,
            output_uri=self._store.uri,
            report_uri=f"{self._store.uri}/report/index.html",
            # Told by the store, not by sums.
            scenes_done=census.num_done(outcome.keys),
            scenes_committed=tally.committed,
            scenes_removed=self._removed,
            set_aside=outcome.asides.scenes,
            blocks=tally.blocks,
            pixels=tally.pixels,
            checks=tally.checks,
            check_share=tally.check_share,
            seconds=outcome.seconds,
            bytes_read=tally.bytes_read,
            bytes_for_statistics=tally.bytes_for_statistics,
            stage_seconds=dict(tally.stage_seconds),
            stage_workers={stage: len(threads) for stage, threads in tally.workers.items()},
            peak_bytes={**tally.peaks, "driver": peak_bytes()},
            projected_bytes=projected_bytes(plan) if plan else 0,
            bytes_in_scenes=plan.bytes_in_scenes if plan else 0,
            package_digest=self._prepared.package.digest,
            resolved=plan.recipe.resolved if plan else None,
            volumes_done=self._volumes.done,
            notes=(*self._notes, *self._volumes.notes, *(plan.notes if plan else ())),
            removal_held_back=self._removing.held_back,
            digest=census.digest,
        )

    def _material(self, summary: RunSummary, census: Census, state: State = "complete") -> Material:
        order = self._prepared.order
        return Material(
            spec=order.spec,
            card=order.card,
            summary=summary.to_dict() | {"scenes_total": self._runlog.watch.now.scenes_total},
            markers=census.markers,
            quarantine=list(list_quarantine(self._store)),
            state=state,
        )

    def _write_scenes(self) -> Census:
        """The table of scenes, and what it says. Under the lease alone: an overtaken driver must not write over a newer
        one's tables.
        """
        self._lease.check()
        census = Census(self._prepared.order.wanted)
        write_scenes(self._store, census.noting(self._markers()), self._gone().date_of)
        self._tables_written = time.monotonic()
        return census

    def _write_derived(self) -> Census:
        """The table of scenes and, where it is wanted, the catalogue."""
        if self._network is None:
            return self._write_scenes()
        census = Census(self._prepared.order.wanted)
        write_derived(self._store, census.noting(self._markers()), self._lease.check, self._gone(), self._network)
        return census

    def _is_outdated(self) -> bool:
        """Whether table or catalogue say something else than this run found, though no marker has changed."""
        if self._removed or gone_scenes(self._store).keys() != self._sources.missing:
            return True
        return self._network is not None and not is_kept_up(self._store)

    def _gone(self) -> Gone:
        """Whose inputs are gone, and since when."""
        sources, kept = self._sources, self._sources.kept_uris(self._outcome.moved)
        return replace(gone_before(self._store), is_gone=lambda marker: sources.is_gone(marker, kept))

    def _take_out(self) -> None:
        """Scenes whose input is gone, where that is asked for."""
        if not self._removing.takes_out or not self._sources.missing:
            return
        markers = (marker for marker, _ in StoredMarkers(self._store))
        self._removed = tuple(self._sources.gone(markers, self._outcome.moved))
        take_out(self._store, self._removed, lease_n=self._lease.n, note="removed")

    def _markers(self) -> Iterator[tuple[Marker, ObjectInfo]]:
        """Every marker; those that this run moved and a late listing does not show come last."""
        late = set(self._outcome.moved)
        for marker, info in StoredMarkers(self._store):
            if marker.scene_id in late and not self._is_wanted(marker):
                continue  # the one before
            late.discard(marker.scene_id)
            yield marker, info
        yield from read_markers(self._store, sorted(late))

    def _is_wanted(self, marker: Marker) -> bool:
        """Whether it is of the wanted key and has all outputs."""
        wanted = set(self._prepared.order.wanted)
        return self._outcome.keys.get(marker.scene_id) == marker.scene_key and marker.outputs.keys() >= wanted

    def _set_lost_aside(self, census: Census) -> None:
        """A scene that was to be done and is neither committed nor set aside must not pass for done."""
        asides = self._outcome.asides
        for candidate in self._prepared.work.todo:
            scene_id, key = candidate.scene_id, self._outcome.keys[candidate.scene_id]
            if (scene_id in census.whole and census.committed[scene_id] == key) or scene_id in asides:
                continue
            aside = SetAside(
                scene_id=scene_id,
                uri=candidate.uri,
                stage="commit",
                reason="blocks of it never came back",
                hint="the next run takes it up again; if this repeats, please report it",
                transient=True,
            )
            asides.add(aside, key)
            self._runlog.watch.add(aside=1)

    def _remove_work(self, committed: dict[str, str]) -> None:
        """Parts and staged tiles of scenes that are committed, those that a killed run left behind among them.

        Args:
            committed: scene id to the key of its marker, of those that have all outputs that are wanted.
        """
        made, wanted = self._outcome.tracker.part_keys, self._outcome.tracker.scene_keys
        # A scene that was planned again has two part keys, and the later scene key: with that committed, both may go.
        parts = {key for key, scene_id in made.items() if committed.get(scene_id) == wanted[scene_id]}
        if self._prepared.known.parts.keys() - made.keys():
            owners = owners_of_parts(self._store)
            parts |= {key for key, (scene_id, scene_key) in owners.items() if committed.get(scene_id) == scene_key}
        if parts:
            remove_work(self._store, PARTS_PREFIX, parts)
        remove_work(self._store, STAGED_PREFIX, set(committed.values()))

    def _forget_attempts(self) -> None:
        """Of scenes that are committed or condemned; of those that the next run takes up again they stay."""
        later = {aside.scene_id for aside in self._outcome.asides.scenes if aside.transient}
        parts = {part_key for part_key, scene_id in self._outcome.tracker.part_keys.items() if scene_id in later}
        clear_attempts(self._store, keep=self._outcome.tried_again | parts)
