"""`run`: the whole job, from the survey of the output to the report; after a kill, the same call goes on."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.commit.prune import PARTS_PREFIX, remove_work
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine, remove_quarantine, write_quarantine
from encdec_batch.errors import SpecError
from encdec_batch.job.plan import Prepared, finish_plan, host_of, place, prepare, projected_bytes
from encdec_batch.job.progress import Progress, Watch
from encdec_batch.job.runlog import RunLog
from encdec_batch.job.summary import RunSummary, Tally
from encdec_batch.job.survey import parts_of, survey, survey_scene
from encdec_batch.job.tracker import Tracker
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import work_items
from encdec_batch.plan.open import STAGED_PREFIX
from encdec_batch.plan.plan import Plan, replan_scene
from encdec_batch.plan.scene import ScenePlan, SetAside
from encdec_batch.plan.table import owners_of_parts, write_plan
from encdec_batch.process import peak_bytes
from encdec_batch.report.build import Material, write_report
from encdec_batch.report.record import State
from encdec_batch.report.tables import markers_of, write_quarantine_table, write_scenes
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.stream import Stream

TABLES_S = 600.0
"""Between two times that the derived tables are made anew while a run goes on."""

log = logging.getLogger(__name__)

PASSES = 2
"""A block whose part is gone, and a scene whose object changed, are tried once more in the same run."""


def run(spec: JobSpec, *, show: Callable[[Progress], None] = lambda _: None, verbose: bool = False) -> RunSummary:
    """Process every scene that is not done yet.

    Args:
        spec: the job.
        show: told how far the run is, after every block.
        verbose: let Ray talk.

    Raises:
        SpecError: the spec does not fit what is there.
        ModelError: the package cannot be used.
        LeaseHeld: another run writes this output.
        StoreError: the store does not answer.
    """
    run_id = time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + secrets.token_hex(3)
    watch = Watch(show, Progress(run_id=run_id, started=time.time()))
    placed = place(spec)
    store = open_store(spec.output.uri, spec.output.storage)
    capabilities = store.probe()
    if not capabilities.create_only:
        raise SpecError(
            f"{store.uri}: this store overwrites objects that must not be (it ignores If-None-Match)",
            hint="use a store with conditional writes; without them two runs could mix their results",
        )
    with ExitStack() as stack:
        lease = stack.enter_context(acquire_lease(store, HolderInfo.current(run_id)))
        for prefix in ("scenes/", PARTS_PREFIX, STAGED_PREFIX):
            store.abort_uploads(prefix, before=lease.created)
        runlog = stack.enter_context(RunLog(store, spec, watch))
        try:
            prepared = prepare(placed, survey(store))
            _refuse_replacing(prepared, store, can_replace=capabilities.if_match)
            return _Run(prepared, store, lease, runlog, verbose=verbose).go()
        except BaseException:
            watch.update(state="failed")
            raise


def _refuse_replacing(prepared: Prepared, store: Store, *, can_replace: bool) -> None:
    replaced = [c.scene_id for c in prepared.work.todo if c.scene_id in prepared.known.committed]
    if replaced and not can_replace:
        raise SpecError(
            f"{store.uri}: {len(replaced)} committed scenes are to be replaced (the first is {replaced[0]}), "
            "and this store ignores If-Match",
            hint="write to a new output.uri, or use a store with conditional writes",
        )


class _Run:
    """The driver's side of one run."""

    def __init__(self, prepared: Prepared, store: Store, lease: Lease, runlog: RunLog, *, verbose: bool) -> None:
        self._prepared, self._store, self._lease = prepared, store, lease
        self._watch, self._runlog, self._verbose = runlog.watch, runlog, verbose
        self._tracker, self._tally = Tracker(), Tally()
        self._aside: dict[str, SetAside] = {}
        self._again: dict[str, ScenePlan] = {}
        self._moved: set[str] = set()
        self._replanned: set[str] = set()
        self._seconds = 0.0
        self._tables_written = time.monotonic()

    def go(self) -> RunSummary:
        work = self._prepared.work
        if not work.todo:
            return self._finish(None)
        spec = self._prepared.order.spec
        if spec.compute.stream.kind == "ray":
            self._watch.update(message="starting Ray")
        with host_of(spec, self._prepared.package, verbose=self._verbose) as host:
            plan = finish_plan(
                self._prepared, host, self._store, on_header=lambda n, of: self._watch.update(headers=(n, of))
            )
            write_plan(self._store, plan)
            for aside in plan.set_aside:
                self._set_aside(aside, plan.keys.get(aside.scene_id))
            self._watch.update(
                state="running",
                scenes_total=len(plan.done) + len(plan.scenes) + len(plan.set_aside),
                scenes_done=len(plan.done),
                scenes_aside=len(plan.set_aside),
                blocks_total=plan.num_blocks,
                pixels_total=plan.cost().scene_pixels,
                streaming_since=time.time(),
            )
            self._runlog.say()
            if plan.scenes:
                clock = time.perf_counter()
                self._stream(plan, host.stream(plan.recipe, lease_n=self._lease.n))
                self._seconds = time.perf_counter() - clock
        return self._finish(plan)

    def _stream(self, plan: Plan, stream: Stream) -> None:
        scenes: Iterable[ScenePlan] = plan.scenes
        for number in range(1, PASSES + 1):
            self._again = {}
            scenes = list(scenes)
            for scene in self._tracker.start(scenes):
                stream.commit(scene)
            for record in stream.records(work_items(scenes)):
                ready = self._handle(record, plan, last=number == PASSES)
                if ready is not None:
                    stream.commit(ready)
                for commit in stream.commits(wait=False):
                    self._handle(commit, plan, last=number == PASSES)
                if time.monotonic() - self._tables_written > TABLES_S:
                    self._show_so_far(plan)
            for commit in stream.commits(wait=True):
                self._handle(commit, plan, last=number == PASSES)
            if not self._again:
                return
            scenes = self._again.values()

    def _handle(self, record: Record, plan: Plan, *, last: bool) -> ScenePlan | None:
        """Counts a record; gives the scene that it makes ready to be committed."""
        if record.ends_run is not None:
            raise record.ends_run
        self._tally.add(record)
        self._runlog.note(record)
        scene = self._tracker.scenes[record.scene_id]
        ready = self._tracker.note(record)
        self._watch.add(blocks=len(record.blocks), pixels=record.pixels, done=int(record.committed))
        if record.committed:
            self._moved.add(record.scene_id)
            if record.scene_id in self._prepared.known.quarantined:
                remove_quarantine(self._store, [record.scene_id])
        elif record.missing:
            self._once_more(scene, record.missing, last=last)
        elif record.replan:
            self._plan_again(scene, record, plan, last=last)
        elif record.trouble is not None and record.scene_id not in self._again:
            self._set_aside(record.trouble, scene.scene_key)
        return ready

    def _once_more(self, scene: ScenePlan, missing: tuple[str, ...], *, last: bool) -> None:
        if last:
            aside = SetAside(
                scene_id=scene.scene_id,
                uri=scene.uri,
                stage="commit",
                reason=f"parts vanished twice: {', '.join(missing[:3])}",
                hint="the next run makes them again; look for what deletes objects below .encdec/parts/",
                transient=True,
            )
            self._set_aside(aside, scene.scene_key)
            return
        everything = frozenset(block.name for block in scene.grid().blocks())
        self._again[scene.scene_id] = replace(scene, blocks_done=everything - set(missing))

    def _plan_again(self, scene: ScenePlan, record: Record, plan: Plan, *, last: bool) -> None:
        """The input was replaced, or another run committed: once more from what is there now."""
        if scene.scene_id in self._again or scene.scene_id in self._aside:
            return
        if last or record.trouble is None:
            reason = "it changed during the run, twice" if record.trouble is None else record.trouble.reason
            hint = "process the archive when nothing writes to it"
            aside = SetAside(
                scene_id=scene.scene_id, uri=scene.uri, stage="read", reason=reason, hint=hint, transient=True
            )
            self._set_aside(aside, scene.scene_key)
            return
        again = replan_scene(plan.recipe, scene, survey_scene(self._store, scene.scene_id))
        if isinstance(again, SetAside):
            self._set_aside(again, scene.scene_key)
        else:
            # What conflicted may have been the marker alone: then the parts are there and only the commit is left.
            done = parts_of(self._store, again.part_key)
            self._again[scene.scene_id] = replace(again, blocks_done=done)

    def _set_aside(self, aside: SetAside, key: str | None) -> None:
        """The record is written before the scene is counted."""
        if aside.scene_id in self._aside:
            return
        record = QuarantineRecord(
            stage=aside.stage,
            scene_id=aside.scene_id,
            uri=aside.uri,
            block=aside.block,
            reason=aside.reason,
            hint=aside.hint,
            kind="transient" if aside.transient else "condemned",
            trial_key=key and self._prepared.order.trial_key(key),
        )
        earlier = self._prepared.known.quarantined.get(aside.scene_id)
        if earlier is None or (earlier.trial_key, earlier.aside) != (record.trial_key or "", aside):
            self._lease.check()  # an overtaken driver has no say in what is set aside
            write_quarantine(self._store, record)
        self._aside[aside.scene_id] = aside
        if self._watch.now.state == "running":
            self._watch.add(aside=1)

    def _finish(self, plan: Plan | None) -> RunSummary:
        """Derived tables and the report; parts of committed scenes go."""
        work = self._prepared.work
        for aside in work.set_aside:
            self._set_aside(aside, work.keys.get(aside.scene_id))
        self._drop_stale_quarantine()
        markers = self._markers()
        self._set_lost_aside(markers)
        self._write_tables(markers)
        self._remove_work(plan, {marker.scene_id: marker.scene_key for marker, _ in markers})
        summary = self._summary(plan, markers)
        self._runlog.finish(summary.to_dict())
        if plan is not None:
            write_report(self._store, self._material(summary, markers))
        self._watch.update(state="complete")
        return summary

    def _summary(self, plan: Plan | None, markers: list[tuple[Marker, ObjectInfo]]) -> RunSummary:
        """Of the run so far."""
        return RunSummary(
            run_id=self._watch.now.run_id,
            output_uri=self._store.uri,
            report_uri=f"{self._store.uri}/report/index.html",
            scenes_done=self._count_done(markers),
            scenes_committed=self._tally.committed,
            set_aside=tuple(self._aside.values()),
            blocks=self._tally.blocks,
            pixels=self._tally.pixels,
            seconds=self._seconds,
            bytes_read=self._tally.bytes_read,
            bytes_for_statistics=self._tally.bytes_for_statistics,
            stage_seconds=dict(self._tally.stage_seconds),
            stage_workers={stage: len(threads) for stage, threads in self._tally.workers.items()},
            peak_bytes={**self._tally.peaks, "driver": peak_bytes()},
            projected_bytes=projected_bytes(plan) if plan else 0,
            bytes_in_scenes=sum(scene.header.encoded_bytes for scene in plan.scenes) if plan else 0,
            package_digest=self._prepared.package.digest,
            resolved=plan.recipe.resolved if plan else None,
            notes=plan.notes if plan else (),
            digest=digest_of_markers(marker for marker, _ in markers),
        )

    def _markers(self) -> list[tuple[Marker, ObjectInfo]]:
        """Every marker, those among them that this run moved and a late listing does not show."""
        listed = {marker.scene_id: (marker, info) for marker, info in markers_of(self._store)}
        late = [name for name in self._moved if name not in listed or not self._is_wanted(listed[name][0])]
        listed |= {marker.scene_id: (marker, info) for marker, info in read_markers(self._store, sorted(late))}
        return sorted(listed.values(), key=lambda found: found[1].path)

    def _is_wanted(self, marker: Marker) -> bool:
        """Whether it is of the wanted key and has all outputs."""
        wanted = self._prepared.work.keys.get(marker.scene_id)
        return wanted == marker.scene_key and marker.outputs.keys() >= set(self._prepared.order.wanted)

    def _count_done(self, markers: list[tuple[Marker, ObjectInfo]]) -> int:
        """Scenes whose marker is of the wanted key and has all outputs: told by the store, not by sums."""
        return sum(self._is_wanted(marker) for marker, _ in markers)

    def _set_lost_aside(self, markers: list[tuple[Marker, ObjectInfo]]) -> None:
        """A scene that was to be done and is neither committed nor set aside must not pass for done."""
        found = {marker.scene_id: marker for marker, _ in markers}
        keys, wanted = self._prepared.work.keys, set(self._prepared.order.wanted)
        for candidate in self._prepared.work.todo:
            marker = found.get(candidate.scene_id)
            if (marker is not None and marker.outputs.keys() >= wanted) or candidate.scene_id in self._aside:
                continue
            aside = SetAside(
                scene_id=candidate.scene_id,
                uri=candidate.uri,
                stage="commit",
                reason="blocks of it never came back",
                hint="the next run takes it up again; if this repeats, please report it",
                transient=True,
            )
            self._set_aside(aside, keys[candidate.scene_id])

    def _material(
        self, summary: RunSummary, markers: list[tuple[Marker, ObjectInfo]], state: State = "complete"
    ) -> Material:
        order = self._prepared.order
        return Material(
            spec=order.spec,
            card=order.card,
            summary=summary.to_dict(),
            markers=[marker for marker, _ in markers],
            quarantine=list(list_quarantine(self._store)),
            state=state,
        )

    def _write_tables(self, markers: list[tuple[Marker, ObjectInfo]]) -> None:
        """Under the lease alone: an overtaken driver must not write over a newer one's tables."""
        self._lease.check()
        write_scenes(self._store, markers)
        write_quarantine_table(self._store, list_quarantine(self._store))
        self._tables_written = time.monotonic()

    def _show_so_far(self, plan: Plan) -> None:
        """Tables and page while the run goes on."""
        markers = self._markers()
        self._write_tables(markers)
        self._seconds = time.time() - self._watch.now.streaming_since
        write_report(self._store, self._material(self._summary(plan, markers), markers, "running"))
        # From here on: what takes long must not be all that is done.
        self._tables_written = time.monotonic()

    def _remove_work(self, plan: Plan | None, committed: dict[str, str]) -> None:
        """Parts and staged tiles of scenes that are committed, those that a killed run left behind among them."""
        planned = [*plan.scenes, *self._tracker.scenes.values()] if plan else []
        # A scene that was planned again is there twice, the later plan behind: with that committed, both may go.
        wanted = {scene.scene_id: scene.scene_key for scene in planned}
        scenes = [scene for scene in planned if committed.get(scene.scene_id) == wanted[scene.scene_id]]
        parts = {scene.part_key for scene in scenes}
        if set(self._prepared.known.parts) - {scene.part_key for scene in (plan.scenes if plan else ())}:
            owners = owners_of_parts(self._store)
            parts |= {key for key, (scene_id, scene_key) in owners.items() if committed.get(scene_id) == scene_key}
        if parts:
            remove_work(self._store, PARTS_PREFIX, parts)
        remove_work(self._store, STAGED_PREFIX, set(committed.values()))

    def _drop_stale_quarantine(self) -> None:
        """Records of scenes that are done by now, or no longer in the source."""
        remove_quarantine(self._store, [name for name in self._prepared.known.quarantined if name not in self._aside])
