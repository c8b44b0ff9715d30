"""`run`: the whole job, from the survey of the output to the report; after a kill, the same call goes on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

from encdec_batch.commit.attempts import clear_attempts
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.commit.prune import PARTS_PREFIX, remove_work
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine, remove_quarantine, write_quarantine
from encdec_batch.errors import RunStopped, SpecError
from encdec_batch.job.census import Census
from encdec_batch.job.notes import notes_of
from encdec_batch.job.plan import Prepared, host_of, place, plan_ahead, prepare, projected_bytes, resolve_recipe
from encdec_batch.job.planner import Planner, Segment
from encdec_batch.job.progress import Progress, Watch
from encdec_batch.job.runlog import RunLog, new_run_id
from encdec_batch.job.stop import Stop
from encdec_batch.job.summary import RunSummary, Tally
from encdec_batch.job.survey import parts_of, survey, survey_scene
from encdec_batch.job.tracker import Tracker
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import work_items
from encdec_batch.plan.open import STAGED_PREFIX
from encdec_batch.plan.plan import replan_scene
from encdec_batch.plan.scene import ScenePlan, SetAside
from encdec_batch.plan.table import PlanWriter, owners_of_parts
from encdec_batch.plan.totals import PlanTotals
from encdec_batch.process import peak_bytes
from encdec_batch.report.build import Material, write_report
from encdec_batch.report.record import State
from encdec_batch.report.tables import StoredMarkers, write_quarantine_table, write_scenes
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.stream import Stream

TABLES_S = 600.0
"""Between two times that the derived tables are made anew while a run goes on."""

log = logging.getLogger(__name__)

PASSES = 2
"""A block whose part is gone, and a scene whose object changed, are tried once more in the same run."""


def run(
    spec: JobSpec,
    *,
    show: Callable[[Progress], None] = lambda _: None,
    verbose: bool = False,
    rules: Rules | None = None,
) -> RunSummary:
    """Process every scene that is not done yet.

    Args:
        spec: the job.
        show: told how far the run is, after every block.
        verbose: let Ray talk.
        rules: of deaths and deadlines; the usual ones where none are given.

    Raises:
        SpecError: the spec does not fit what is there.
        ModelError: the package cannot be used.
        LeaseHeld: another run writes this output.
        RunStopped: scene after scene was condemned; report and tables are written.
        StoreError: the store does not answer.
    """
    started = time.time()
    run_id = new_run_id(started)
    watch = Watch(show, Progress(run_id=run_id, started=started))
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
            census = Census(placed.order.wanted)
            prepared = prepare(placed, survey(store, census))
            _refuse_replacing(prepared, store, can_replace=capabilities.if_match)
            ours = _Run(prepared, store, lease, runlog, notes=notes_of(prepared, store))
            if not prepared.work.todo:
                return ours.finish(None, census if census.in_table else None)
            # Of an output of many scenes it is large, and it is taken anew at the end.
            del census
            return ours.go(verbose=verbose, rules=rules)
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

    def __init__(
        self, prepared: Prepared, store: Store, lease: Lease, runlog: RunLog, *, notes: tuple[str, ...]
    ) -> None:
        self._prepared, self._store, self._lease, self._notes = prepared, store, lease, notes
        self._watch, self._runlog = runlog.watch, runlog
        self._tracker, self._tally, self._stop = Tracker(), Tally(), Stop()
        self._aside: dict[str, SetAside] = {}
        self._again: dict[str, ScenePlan] = {}
        self._moved: set[str] = set()
        self._tried_again: set[str] = set()
        self._keys = dict(prepared.work.keys)
        """Scene id to the scene key that this run is to commit; of a scene that was planned again the later one."""
        self._seconds = 0.0
        self._tables_written = time.monotonic()

    def go(self, *, verbose: bool, rules: Rules | None) -> RunSummary:
        """Everything that is to do, and the end of it."""
        work, spec, stopped = self._prepared.work, self._prepared.order.spec, None
        if spec.compute.stream.kind == "ray":
            self._watch.update(message="starting Ray")
        with host_of(spec, self._prepared.package, verbose=verbose, rules=rules) as host:
            recipe = resolve_recipe(self._prepared, host, self._store)
            plan = PlanTotals(recipe=recipe)
            for aside in work.set_aside:
                self._set_aside(aside, work.keys.get(aside.scene_id))
            self._watch.update(
                scenes_total=len(work.done) + len(work.todo) + len(work.set_aside),
                scenes_done=len(work.done),
                scenes_aside=len(work.set_aside),
                headers=(0, len(work.todo)),
            )
            with Planner(plan_ahead(self._prepared, recipe, host, self._store)) as planner:
                try:
                    self._stream(planner, plan, host.stream(recipe, lease_n=self._lease.n))
                except RunStopped as error:
                    # Its frames hold the stream, which is to end with the host.
                    stopped = error.with_traceback(None)
        self._seconds = self._seconds_so_far()
        if stopped is not None:
            self._finish_stopped(plan, stopped)
            raise stopped
        return self.finish(plan)

    def _stream(self, planner: Planner, plan: PlanTotals, stream: Stream) -> None:
        """Segments of the plan as they come; at the end once more what has to be made once more."""
        writer = PlanWriter(self._store, plan.recipe)
        for segment in planner.segments():
            self._take_up(segment, planner, plan, writer)
            self._pass([one.scene for one in segment.planned], plan, stream, last=False)
        # Says what `auto` became also where every scene was set aside.
        writer.write(())
        for number in range(1, PASSES + 1):
            if number > 1:
                scenes, self._again = list(self._again.values()), {}
                self._pass(scenes, plan, stream, last=number == PASSES)
            for commit in stream.commits(wait=True):
                self._handle(commit, plan, last=number == PASSES)
            if not self._again:
                break

    def _seconds_so_far(self) -> float:
        """Since the first block was handed out."""
        since = self._watch.now.streaming_since
        return time.time() - since if since else 0.0

    def _take_up(self, segment: Segment, planner: Planner, plan: PlanTotals, writer: PlanWriter) -> None:
        """Counts a segment and writes it down, before a block of it is handed out."""
        now = self._watch.now
        if not segment.planned and not segment.set_aside:
            if now.state == "planning":
                self._watch.update(headers=(planner.num_planned, now.headers[1]))
            return
        if segment.planned:
            writer.write(segment.planned)
        for one in segment.planned:
            plan.add(one.scene, one.bytes_to_read)
        self._watch.update(
            state="running",
            headers=(plan.scenes + self._tally.planned_aside + len(segment.set_aside), now.headers[1]),
            blocks_total=plan.blocks,
            pixels_total=plan.cost.scene_pixels,
            streaming_since=now.streaming_since or time.time(),
        )
        self._tally.planned_aside += len(segment.set_aside)
        for aside in segment.set_aside:
            key = self._prepared.work.keys.get(aside.scene_id)
            self._set_aside(aside, key)
            if aside.transient and key:
                self._tried_again.add(key)
        self._runlog.say()

    def _pass(self, scenes: list[ScenePlan], plan: PlanTotals, stream: Stream, *, last: bool) -> None:
        """These scenes, each block once."""
        for scene in self._tracker.start(scenes):
            stream.commit(scene)
        for record in stream.records(work_items(scenes)):
            ready = self._handle(record, plan, last=last)
            if ready is not None:
                stream.commit(ready)
            for commit in stream.commits(wait=False):
                self._handle(commit, plan, last=last)
            if time.monotonic() - self._tables_written > TABLES_S:
                self._show_so_far(plan)
        for commit in stream.commits(wait=False):
            self._handle(commit, plan, last=last)

    def _handle(self, record: Record, plan: PlanTotals, *, last: bool) -> ScenePlan | None:
        """Counts a record; gives the scene that it makes ready to be committed."""
        if record.ends_run is not None:
            raise record.ends_run
        scene = self._tracker.scenes.get(record.scene_id)
        if scene is None:
            # Ray may do a block twice; of a scene that is through, the second record says nothing new.
            return None
        self._tally.add(record)
        self._runlog.note(record)
        ready = self._tracker.note(record)
        self._watch.add(blocks=len(record.blocks), pixels=record.pixels, done=int(record.committed))
        if record.committed:
            self._moved.add(record.scene_id)
            if record.scene_id in self._prepared.known.quarantined:
                remove_quarantine(self._store, [record.scene_id])
        elif record.missing:
            self._once_more(scene, record.missing, last=last)
        elif record.replan and record.trouble is not None:
            self._plan_again(scene, record.trouble, plan, last=last)
        elif record.trouble is not None and record.scene_id not in self._again:
            self._set_aside(record.trouble, scene.scene_key)
            if record.trouble.transient:
                self._tried_again.add(scene.part_key)
        self._stop.note(record)
        self._stop.check()
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
        everything = {*(block.name for block in scene.grid().blocks()), *scene.checks.names}
        self._again[scene.scene_id] = scene.with_done(everything - set(missing))

    def _plan_again(self, scene: ScenePlan, trouble: SetAside, plan: PlanTotals, *, last: bool) -> None:
        """The input was replaced, or another run committed: once more from what is there now."""
        if scene.scene_id in self._again or scene.scene_id in self._aside:
            return
        if last:
            hint = "process the archive when nothing writes to it"
            self._set_aside(replace(trouble, hint=hint, transient=True), scene.scene_key)
            return
        again = replan_scene(plan.recipe, scene, survey_scene(self._store, scene.scene_id))
        if isinstance(again, SetAside):
            self._set_aside(again, scene.scene_key)
            return
        # What conflicted may have been the marker alone: then the parts are there and only the commit is left.
        made = again.scene.with_done(parts_of(self._store, again.scene.part_key))
        self._again[scene.scene_id], self._keys[scene.scene_id] = made, made.scene_key
        plan.add_again(made)
        self._watch.update(blocks_total=plan.blocks, pixels_total=plan.cost.scene_pixels)
        PlanWriter(self._store, plan.recipe).write([again])

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

    def finish(self, plan: PlanTotals | None, census: Census | None = None) -> RunSummary:
        """Derived tables and the report; parts of committed scenes go.

        Args:
            plan: what was done; None: nothing.
            census: of the markers, where nothing has changed and the table of scenes is right as it is.
        """
        work = self._prepared.work
        for aside in work.set_aside:
            self._set_aside(aside, work.keys.get(aside.scene_id))
        self._drop_stale_quarantine()
        census = census or self._write_scenes()
        self._set_lost_aside(census)
        self._lease.check()
        write_quarantine_table(self._store, list_quarantine(self._store))
        self._remove_work(census.committed)
        self._forget_attempts()
        summary = self._summary(plan, census)
        self._runlog.finish(summary.to_dict())
        if plan is not None:
            write_report(self._store, self._material(summary, census))
        self._watch.update(state="complete")
        return summary

    def _finish_stopped(self, plan: PlanTotals, stopped: RunStopped) -> None:
        """Tables and page of a run that gave up; parts, and what was set aside before, stay for the next one."""
        for aside in self._prepared.work.set_aside:
            self._set_aside(aside, self._prepared.work.keys.get(aside.scene_id))
        census = self._write_scenes()
        write_quarantine_table(self._store, list_quarantine(self._store))
        summary = replace(self._summary(plan, census), stopped=stopped.message)
        self._runlog.finish(summary.to_dict())
        write_report(self._store, self._material(summary, census, "stopped"))

    def _forget_attempts(self) -> None:
        """Of scenes that are committed or condemned; of those that the next run takes up again they stay."""
        later = {scene_id for scene_id, aside in self._aside.items() if aside.transient}
        parts = {part_key for part_key, scene_id in self._tracker.part_keys.items() if scene_id in later}
        clear_attempts(self._store, keep=self._tried_again | parts)

    def _summary(self, plan: PlanTotals | None, census: Census) -> RunSummary:
        """Of the run so far."""
        return RunSummary(
            run_id=self._watch.now.run_id,
            output_uri=self._store.uri,
            report_uri=f"{self._store.uri}/report/index.html",
            # Told by the store, not by sums.
            scenes_done=census.num_done(self._keys),
            scenes_committed=self._tally.committed,
            set_aside=tuple(self._aside.values()),
            blocks=self._tally.blocks,
            pixels=self._tally.pixels,
            checks=self._tally.checks,
            check_share=self._tally.check_share,
            seconds=self._seconds,
            bytes_read=self._tally.bytes_read,
            bytes_for_statistics=self._tally.bytes_for_statistics,
            stage_seconds=dict(self._tally.stage_seconds),
            stage_workers={stage: len(threads) for stage, threads in self._tally.workers.items()},
            peak_bytes={**self._tally.peaks, "driver": peak_bytes()},
            projected_bytes=projected_bytes(plan) if plan else 0,
            bytes_in_scenes=plan.bytes_in_scenes if plan else 0,
            package_digest=self._prepared.package.digest,
            resolved=plan.recipe.resolved if plan else None,
            notes=(*self._notes, *(plan.notes if plan else ())),
            digest=census.digest,
        )

    def _markers(self) -> Iterator[tuple[Marker, ObjectInfo]]:
        """Every marker; those that this run moved and a late listing does not show come last."""
        late = set(self._moved)
        for marker, info in StoredMarkers(self._store):
            if marker.scene_id in late and not self._is_wanted(marker):
                continue  # the one before
            late.discard(marker.scene_id)
            yield marker, info
        yield from read_markers(self._store, sorted(late))

    def _is_wanted(self, marker: Marker) -> bool:
        """Whether it is of the wanted key and has all outputs."""
        wanted = set(self._prepared.order.wanted)
        return self._keys.get(marker.scene_id) == marker.scene_key and marker.outputs.keys() >= wanted

    def _set_lost_aside(self, census: Census) -> None:
        """A scene that was to be done and is neither committed nor set aside must not pass for done."""
        for candidate in self._prepared.work.todo:
            scene_id, key = candidate.scene_id, self._keys[candidate.scene_id]
            if (scene_id in census.whole and census.committed[scene_id] == key) or scene_id in self._aside:
                continue
            aside = SetAside(
                scene_id=scene_id,
                uri=candidate.uri,
                stage="commit",
                reason="blocks of it never came back",
                hint="the next run takes it up again; if this repeats, please report it",
                transient=True,
            )
            self._set_aside(aside, key)

    def _material(self, summary: RunSummary, census: Census, state: State = "complete") -> Material:
        order = self._prepared.order
        return Material(
            spec=order.spec,
            card=order.card,
            summary=summary.to_dict() | {"scenes_total": self._watch.now.scenes_total},
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
        write_scenes(self._store, census.noting(self._markers()))
        self._tables_written = time.monotonic()
        return census

    def _show_so_far(self, plan: PlanTotals) -> None:
        """Tables and page while the run goes on."""
        census = self._write_scenes()
        write_quarantine_table(self._store, list_quarantine(self._store))
        self._seconds = self._seconds_so_far()
        write_report(self._store, self._material(self._summary(plan, census), census, "running"))
        # From here on: what takes long must not be all that is done.
        self._tables_written = time.monotonic()

    def _remove_work(self, committed: dict[str, str]) -> None:
        """Parts and staged tiles of scenes that are committed, those that a killed run left behind among them."""
        made, wanted = self._tracker.part_keys, self._tracker.scene_keys
        # A scene that was planned again has two part keys, and the later scene key: with that committed, both may go.
        parts = {key for key, scene_id in made.items() if committed.get(scene_id) == wanted[scene_id]}
        if self._prepared.known.parts.keys() - made.keys():
            owners = owners_of_parts(self._store)
            parts |= {key for key, (scene_id, scene_key) in owners.items() if committed.get(scene_id) == scene_key}
        if parts:
            remove_work(self._store, PARTS_PREFIX, parts)
        remove_work(self._store, STAGED_PREFIX, set(committed.values()))

    def _drop_stale_quarantine(self) -> None:
        """Records of scenes that are done by now, or no longer in the source."""
        remove_quarantine(self._store, [name for name in self._prepared.known.quarantined if name not in self._aside])
