"""`run`: the whole job, from the survey of the output to the report; after a kill, the same call goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import Lease, acquire_lease
from encdec_batch.commit.prune import PARTS_PREFIX
from encdec_batch.commit.volume_paths import DICOM_PREFIX, VOLUMES_PREFIX
from encdec_batch.errors import RunStopped, SpecError
from encdec_batch.job.aside import Asides
from encdec_batch.job.census import Census
from encdec_batch.job.contents import remember
from encdec_batch.job.ending import Ending
from encdec_batch.job.entry import Waiting, refuse
from encdec_batch.job.gone_inputs import MARK_ALONE, Removal, Removing, Sources
from encdec_batch.job.outcome import Outcome
from encdec_batch.job.plan import Prepared, host_of, leave, place, plan_ahead, prepare, resolve_recipe
from encdec_batch.job.planner import Planner, Segment
from encdec_batch.job.progress import Progress, Watch, looking
from encdec_batch.job.runlog import RunLog, new_run_id
from encdec_batch.job.stop import Stop
from encdec_batch.job.summary import RunSummary
from encdec_batch.job.survey import parts_of, survey, survey_scene
from encdec_batch.pipeline import Record
from encdec_batch.plan.item import work_items
from encdec_batch.plan.open import STAGED_PREFIX
from encdec_batch.plan.opening import Openers, replan_scene
from encdec_batch.plan.scene import Candidate, ScenePlan, SetAside
from encdec_batch.plan.table import PlanWriter
from encdec_batch.plan.totals import PlanTotals
from encdec_batch.report.tables import StoredMarkers
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.stream import Host, Stream

PASSES = 2
"""A block whose part is gone, and a scene whose object changed, are tried once more in the same run."""


def run(  # noqa: PLR0913  (rules are for tests)
    spec: JobSpec,
    *,
    show: Callable[[Progress], None] = lambda _: None,
    verbose: bool = False,
    rules: Rules | None = None,
    removal: Removal = MARK_ALONE,
    keep: Callable[[Candidate], bool] | None = None,
) -> RunSummary:
    """Process every scene that is not done yet.

    Args:
        spec: the job.
        show: told how far the run is, after every block.
        verbose: let Ray talk.
        rules: of deaths and deadlines; the usual ones where none are given.
        removal: what becomes of scenes whose input is gone.
        keep: says of a committed scene that it stays as it is, though another network or option is asked for now; a
            scene whose file or bands are others is done again all the same.

    Raises:
        SpecError: the spec does not fit what is there.
        ModelError: the package cannot be used.
        LeaseHeld: another run writes this output, and was waited for in vain.
        EncdecError: the source names fewer scenes than was said that it names at least.
        RunStopped: scene after scene was condemned; report and tables are written.
        StoreError: the store does not answer.
    """
    started = time.time()
    run_id = new_run_id(started)
    watch = Watch(show, Progress(run_id=run_id, started=started))
    told = looking(watch)
    placed = place(spec, told)
    store = open_store(spec.output.uri, spec.output.storage)
    capabilities = store.probe()
    if not capabilities.create_only:
        raise SpecError(
            f"{store.uri}: this store overwrites objects that must not be (it ignores If-None-Match)",
            hint="use a store with conditional writes; without them two runs could mix their results",
        )
    with ExitStack() as stack:
        waiting = Waiting(watch)
        holder, wait_s = HolderInfo.current(run_id), spec.output.wait_s or None
        lease = stack.enter_context(acquire_lease(store, holder, wait_s=wait_s, told=waiting))
        if waiting.waited:
            # What the source listed, and what an alias named, was hours ago.
            placed = place(spec, told)
            watch.update(message="")
        for prefix in ("scenes/", PARTS_PREFIX, STAGED_PREFIX, VOLUMES_PREFIX, DICOM_PREFIX):
            store.abort_uploads(prefix, before=lease.created)
        runlog = stack.enter_context(RunLog(store, placed.order.spec, watch))
        try:
            remember(spec, store, placed.listing)
            census = Census(placed.order.wanted)
            prepared = prepare(placed, survey(store, census))
            if keep is not None:
                prepared = leave(prepared, keep, StoredMarkers(store))
            refuse(prepared, store, capabilities, removal)
            sources = Sources(prepared)
            sources.check(removal)
            removing = Removing(sources=sources, prune=removal.prune, held_back=sources.doubt(removal))
            ours = _Run(prepared, store, lease, runlog, removing)
            if not prepared.work.todo:
                return ours.nothing_to_do(census if census.in_table else None)
            # Of an output of many scenes it is large, and it is taken anew at the end.
            del census
            return ours.go(verbose=verbose, rules=rules)
        except BaseException:
            watch.update(state="failed")
            raise


class _Run:
    """The driver's side of one run."""

    def __init__(self, prepared: Prepared, store: Store, lease: Lease, runlog: RunLog, removing: Removing) -> None:
        self._prepared, self._store, self._lease = prepared, store, lease
        self._watch, self._runlog = runlog.watch, runlog
        known, work = prepared.known, prepared.work
        asides = Asides(prepared.order, store, lease, known.quarantined)
        self._outcome = Outcome(asides=asides, keys=dict(work.keys))
        self._ending = Ending(prepared, store, lease, runlog, self._outcome, removing)
        self._again: dict[str, ScenePlan] = {}
        self._stop = Stop()

    def nothing_to_do(self, census: Census | None) -> RunSummary:
        """The end at once.

        Args:
            census: of the markers, where the table of scenes is right as it is.
        """
        return self._ending.finish(None, census)

    def go(self, *, verbose: bool, rules: Rules | None) -> RunSummary:
        """Everything that is to do, and the end of it."""
        work, spec, stopped = self._prepared.work, self._prepared.order.spec, None
        if spec.compute.stream.kind == "ray":
            self._watch.update(message="starting Ray")
        with host_of(spec, self._prepared.package, verbose=verbose, rules=rules) as host:
            recipe = resolve_recipe(self._prepared, host, self._store)
            plan = PlanTotals(recipe=recipe)
            self._outcome.asides.add_all(work.set_aside, work.keys)
            self._watch.update(
                scenes_total=len(work.done) + len(work.todo) + len(work.set_aside),
                scenes_done=len(work.done),
                scenes_aside=len(work.set_aside),
                headers=(0, len(work.todo)),
            )
            with Planner(plan_ahead(self._prepared, recipe, host, self._store)) as planner:
                try:
                    self._stream(planner, plan, host)
                except RunStopped as error:
                    # Its frames hold the stream, which is to end with the host.
                    stopped = error.with_traceback(None)
        self._count_seconds()
        if stopped is not None:
            self._ending.stop(plan, stopped)
            raise stopped
        return self._ending.finish(plan)

    def _stream(self, planner: Planner, plan: PlanTotals, host: Host) -> None:
        """Segments of the plan as they come; at the end once more what has to be made once more."""
        stream = host.stream(plan.recipe, lease_n=self._lease.n)
        course = _Course(plan=plan, stream=stream, openers=host.openers(plan.recipe))
        writer = PlanWriter(self._store, plan.recipe)
        for segment in planner.segments():
            self._take_up(segment, planner, plan, writer)
            self._pass([one.scene for one in segment.planned], course)
        # Says what `auto` became also where every scene was set aside.
        writer.write(())
        for number in range(1, PASSES + 1):
            if number > 1:
                course = replace(course, last=number == PASSES)
                scenes, self._again = list(self._again.values()), {}
                self._pass(scenes, course)
            for commit in stream.commits(wait=True):
                self._handle(commit, course)
            if not self._again:
                break

    def _count_seconds(self) -> None:
        since = self._watch.now.streaming_since
        self._outcome.seconds = time.time() - since if since else 0.0

    def _take_up(self, segment: Segment, planner: Planner, plan: PlanTotals, writer: PlanWriter) -> None:
        """Counts a segment and writes it down, before a block of it is handed out."""
        now, tally = self._watch.now, self._outcome.tally
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
            headers=(plan.scenes + tally.planned_aside + len(segment.set_aside), now.headers[1]),
            blocks_total=plan.blocks,
            pixels_total=plan.cost.scene_pixels,
            streaming_since=now.streaming_since or time.time(),
        )
        tally.planned_aside += len(segment.set_aside)
        for aside in segment.set_aside:
            key = self._prepared.work.keys.get(aside.scene_id)
            self._set_aside(aside, key)
            if aside.transient and key:
                self._outcome.tried_again.add(key)
            self._stop.note_aside(aside)
            self._stop.check()
        self._runlog.say()

    def _pass(self, scenes: list[ScenePlan], course: _Course) -> None:
        """These scenes, each block once."""
        stream = course.stream
        for scene in self._outcome.tracker.start(scenes):
            stream.commit(scene)
        for record in stream.records(work_items(scenes)):
            ready = self._handle(record, course)
            if ready is not None:
                stream.commit(ready)
            for commit in stream.commits(wait=False):
                self._handle(commit, course)
            self._count_seconds()
            self._ending.show_so_far(course.plan)
        for commit in stream.commits(wait=False):
            self._handle(commit, course)

    def _handle(self, record: Record, course: _Course) -> ScenePlan | None:
        """Counts a record; gives the scene that it makes ready to be committed."""
        if record.ends_run is not None:
            raise record.ends_run
        outcome = self._outcome
        scene = outcome.tracker.scenes.get(record.scene_id)
        if scene is None:
            # Ray may do a block twice; of a scene that is through, the second record says nothing new.
            return None
        outcome.tally.add(record)
        self._runlog.note(record)
        ready = outcome.tracker.note(record)
        self._watch.add(blocks=len(record.blocks), pixels=record.pixels, done=int(record.committed))
        if record.committed:
            outcome.moved.add(record.scene_id)
            outcome.asides.drop_record(record.scene_id)
        elif record.missing:
            self._once_more(scene, record.missing, last=course.last)
        elif record.replan and record.trouble is not None:
            self._plan_again(scene, record.trouble, course)
        elif record.trouble is not None and record.scene_id not in self._again:
            self._set_aside(record.trouble, scene.scene_key)
            if record.trouble.transient:
                outcome.tried_again.add(scene.part_key)
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

    def _plan_again(self, scene: ScenePlan, trouble: SetAside, course: _Course) -> None:
        """The input was replaced, or another run committed: once more from what is there now."""
        if scene.scene_id in self._again or scene.scene_id in self._outcome.asides:
            return
        if course.last:
            hint = "process the archive when nothing writes to it"
            self._set_aside(replace(trouble, hint=hint, transient=True), scene.scene_key)
            return
        plan = course.plan
        again = replan_scene(plan.recipe, scene, survey_scene(self._store, scene.scene_id), course.openers)
        if isinstance(again, SetAside):
            self._set_aside(again, scene.scene_key)
            return
        # What conflicted may have been the marker alone: then the parts are there and only the commit is left.
        made = again.scene.with_done(parts_of(self._store, again.scene.part_key))
        self._again[scene.scene_id], self._outcome.keys[scene.scene_id] = made, made.scene_key
        plan.add_again(made)
        self._watch.update(blocks_total=plan.blocks, pixels_total=plan.cost.scene_pixels)
        PlanWriter(self._store, plan.recipe).write([again])

    def _set_aside(self, aside: SetAside, key: str | None) -> None:
        """The record is written before the scene is counted."""
        if self._outcome.asides.add(aside, key) and self._watch.now.state == "running":
            self._watch.add(aside=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """What the stream of a run needs all the way."""

    plan: PlanTotals
    stream: Stream
    openers: Openers
    """For scenes that have to be planned once more."""
    last: bool = False
    """Of its passes: what fails now is set aside."""
