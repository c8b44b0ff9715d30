"""The driver's side of a run: what it says, refuses and leaves behind. Resuming is in tests/e2e."""

from __future__ import annotations

import json
import threading
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from jobs_made import BLOCKS, SCENES, make_archive, make_job, spoil_tile, write_scene

from encdec_batch.cli import main
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.commit.prune import PARTS_PREFIX
from encdec_batch.commit.quarantine import QuarantineRecord, write_quarantine
from encdec_batch.errors import LeaseHeld, SpecError
from encdec_batch.job import planner
from encdec_batch.job import run as run_module
from encdec_batch.job.plan import build_plan
from encdec_batch.job.status import status
from encdec_batch.plan import opening
from encdec_batch.plan.opening import AHEAD
from encdec_batch.plan.table import owners_of_parts
from encdec_batch.store.object import Capabilities

pytestmark = pytest.mark.integration


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def at_first_block(action):
    """Calls `action` once while the run is going on."""
    told = []

    def show(progress):
        if progress.blocks_done and not told:
            told.append(action())

    show.told = told
    return show


def tables(job, name):
    return pq.read_table(BytesIO(job.store.get(name))).to_pylist()


def test_what_a_run_says_adds_up(job):
    shown = []
    summary = job.run(show=shown.append)
    states = [progress.state for progress in shown]
    assert states == sorted(states, key=["planning", "running", "complete"].index)
    last = shown[-1]
    assert (last.state, last.scenes_done, last.scenes_total) == ("complete", len(SCENES), len(SCENES))
    assert last.blocks_done == last.blocks_total == summary.blocks == sum(BLOCKS.values())
    assert last.pixels_done == last.pixels_total == summary.pixels == sum(h * w for h, w in SCENES.values())
    assert set(summary.stage_seconds) == {"read", "predict", "write", "commit"}
    assert summary.bytes_read > 0
    assert json.loads(json.dumps(summary.to_dict()))["exit_code"] == 0


def test_what_a_run_leaves_behind(job):
    summary = job.run()
    names = {info.path for info in job.store.list()}
    assert {"scenes.parquet", "quarantine.parquet", "report/index.html"} <= names
    assert {name for name in names if name.startswith("markers/")} == {f"markers/{name}.json" for name in SCENES}
    assert {row["scene_id"] for row in tables(job, "scenes.parquet")} == set(SCENES)
    assert tables(job, "quarantine.parquet") == []
    assert not any(".tmp" in name or "/parts/" in name for name in names)
    assert json.loads(job.store.get(f".encdec/runs/{summary.run_id}/progress.json"))["state"] == "complete"
    assert json.loads(job.store.get(".encdec/lease/1.json"))["ended"] is True


def test_a_run_is_refused_while_another_holds_the_output(job):
    show = at_first_block(lambda: (call("run", job.file), status(job.output_uri)))
    job.run(show=show)
    [(refused, seen)] = show.told
    assert refused.exit_code == 1
    assert seen.run_id in refused.stderr
    assert refused.stderr.startswith("error: ")
    assert "is being written by run" in refused.stderr
    assert "Traceback" not in refused.output
    assert seen.state in ("planning", "running")
    assert call("run", job.file).exit_code == 0


def test_nothing_is_written_by_a_run_that_is_refused(job):
    with acquire_lease(job.store, HolderInfo.current("another")):
        before = {info.path for info in job.store.list()}
        with pytest.raises(LeaseHeld, match="run another"):
            job.run()
        assert {info.path for info in job.store.list()} == before


def test_a_run_that_is_overtaken_ends_and_the_new_holder_goes_on(job, undisturbed):
    """The lease is taken over in mid-run, as after a long sleep of the machine."""
    path = ".encdec/lease/2.json"
    first = job.output / ".encdec" / "lease" / "1.json"

    def take():
        job.store.create(path, first.read_bytes())

    with pytest.raises(LeaseHeld):
        job.run(show=at_first_block(take))
    assert set(job.markers()) < set(SCENES)
    # The file says that this process holds it, which is true, so it is let go first.
    job.store.put(path, first.read_bytes().replace(b'"ended":false', b'"ended":true'))
    assert job.run().digest == job.verified() == undisturbed


def test_the_same_by_the_command_line(job, archive, undisturbed):
    planned = call("plan", job.file, "--json")
    assert (planned.exit_code, json.loads(planned.stdout)["blocks"]) == (0, sum(BLOCKS.values()))
    assert not (job.output / "markers").exists()
    done = call("run", job.file, "--json")
    assert (done.exit_code, json.loads(done.stdout)["digest"]) == (0, undisturbed)
    verified = call("verify", job.output_uri, "--json")
    assert (verified.exit_code, json.loads(verified.stdout)["digest"]) == (0, undisturbed)
    assert json.loads(call("status", job.output_uri, "--json").stdout)["state"] == "complete"
    [file] = (job.output / "scenes" / "tall").rglob("mask.tif")
    file.write_bytes(file.read_bytes()[:-1])
    assert call("verify", job.output_uri).exit_code == 1


def test_a_quarantine_by_the_command_line(job, archive):
    spoil_tile(archive / "small.tif", 10, 10)
    done = call("run", job.file)
    assert done.exit_code == 3
    assert "set aside  small  read: " in done.stdout
    [row] = tables(job, "quarantine.parquet")
    assert (row["scene_id"], row["stage"], row["block"]) == ("small", "read", "0-0")
    assert row["reason"]
    assert row["hint"]
    assert call("plan", job.file).exit_code == 3
    assert call("run", job.file).exit_code == 3
    assert "1 scene taken out" in call("retry", job.output_uri).stdout
    assert json.loads(call("plan", job.file, "--json").stdout)["scenes"]["todo"] == 1


@pytest.mark.parametrize(("kind", "done"), [("transient", len(SCENES)), ("condemned", len(SCENES) - 1)])
def test_what_was_no_fault_of_the_scene_is_tried_again_by_the_next_run(job, kind, done):
    plan = build_plan(job.spec())
    key = plan.recipe.order.trial_key(plan.keys["tall"])
    record = QuarantineRecord(stage="read", scene_id="tall", uri="u", reason="no answer", kind=kind, trial_key=key)
    write_quarantine(job.store, record)
    summary = job.run()
    assert (summary.scenes_done, summary.exit_code) == (done, 0 if done == len(SCENES) else 3)
    assert [row["scene_id"] for row in tables(job, "quarantine.parquet")] == [
        aside.scene_id for aside in summary.set_aside
    ]
    assert len(list(job.store.list(".encdec/quarantine/"))) == len(SCENES) - done


def test_a_scene_that_left_the_archive_leaves_the_quarantine(job, archive):
    spoil_tile(archive / "small.tif", 10, 10)
    assert job.run().exit_code == 3
    (archive / "small.tif").unlink()
    assert job.run().exit_code == 0
    assert list(job.store.list(".encdec/quarantine/")) == []


def test_a_scene_that_is_replaced_during_the_run_is_counted_and_owned(job, archive):
    """Planned again, it is one scene, done as wanted, with its own blocks in the totals and its parts in the plan."""
    seen = []

    def show(progress):
        if progress.state == "running" and not seen:
            write_scene(archive / "large.tif", *SCENES["large"], seed=51)
        if progress.state == "running":
            seen.append(progress)

    summary = job.run(show=show)
    assert (summary.exit_code, summary.scenes_done) == (0, len(SCENES))
    assert seen[-1].blocks_done <= seen[-1].blocks_total
    key = job.markers()["large"][0].scene_key
    assert ("large", key) in owners_of_parts(job.store).values()


def test_a_scene_whose_record_is_lost_does_not_pass_for_done_by_an_older_marker(job, archive, monkeypatch):
    job.run()
    write_scene(archive / "large.tif", *SCENES["large"], seed=77)
    handle = run_module._Run._handle

    def lossy(self, record, course):
        lost = record.scene_id == "large" and record.blocks == ("0-0",)
        return None if lost else handle(self, record, course)

    monkeypatch.setattr(run_module._Run, "_handle", lossy)
    summary = job.run()
    assert (summary.exit_code, summary.scenes_done) == (3, len(SCENES) - 1)
    assert [(aside.scene_id, aside.transient) for aside in summary.set_aside] == [("large", True)]
    monkeypatch.undo()
    assert job.run().scenes_done == len(SCENES)


def test_a_store_that_overwrites_is_refused(job, monkeypatch):
    """Without create-only two runs could mix; without If-Match a committed scene cannot be replaced."""
    store_class = type(job.store)
    monkeypatch.setattr(store_class, "probe", lambda self: Capabilities(create_only=False, if_match=True))
    with pytest.raises(SpecError, match="overwrites"):
        job.run()
    monkeypatch.setattr(store_class, "probe", lambda self: Capabilities(create_only=True, if_match=False))
    assert job.run().scenes_committed == len(SCENES)
    with pytest.raises(SpecError, match="ignores If-Match"):
        job.run("tiling.core=128")
    assert job.run().blocks == 0


@pytest.mark.parametrize(
    ("override", "code", "said"),
    [
        ("model.package=/nowhere", 1, "no model package here"),
        ("source.uri=/nowhere/either", 2, "no scene is there"),
        ("tiling.cores=3", 2, "did you mean core"),
        ("source.bands=[1]", 2, "source.bands names 1 bands"),
    ],
)
def test_what_cannot_run_says_so_in_a_line(job, override, code, said):
    refused = call("run", job.file, "--set", override)
    assert (refused.exit_code, said in refused.stderr) == (code, True), refused.stderr
    assert "Traceback" not in refused.output


def test_an_archive_of_bad_scenes_alone_is_complete_with_all_set_aside(job, tmp_path, package):
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "empty.tif").write_bytes(b"")
    (folder / "text.tif").write_text("not an image")
    bad = make_job(tmp_path / "other", folder, package)
    summary = bad.run()
    assert (summary.exit_code, summary.scenes_done, summary.scenes_committed) == (3, 0, 0)
    assert {(aside.scene_id, aside.stage) for aside in summary.set_aside} == {("empty", "plan"), ("text", "plan")}
    assert all(aside.hint for aside in summary.set_aside)
    assert bad.run().set_aside == summary.set_aside


def test_the_page_can_be_looked_at_while_a_run_goes_on(job, monkeypatch):
    monkeypatch.setattr("encdec_batch.job.ending.TABLES_S", -1.0)
    seen = []

    def look(_):
        if "report/index.html" in {info.path for info in job.store.list("report/")}:
            seen.append(job.store.get("report/index.html").decode())

    job.run(show=look)
    assert any("chip running" in page for page in seen)
    assert "chip complete" in job.store.get("report/index.html").decode()


def test_the_first_block_starts_before_the_last_header_is_read(tmp_path, package, monkeypatch):
    """Its header cannot be read before: that would take until a block is through."""
    began = threading.Event()
    slow = tmp_path / "slow"
    archive = make_archive(tmp_path / "many", {f"s{n}": (40, 60) for n in range(AHEAD + 2)} | {"z": (300, 400)})
    assert max(path.name for path in archive.iterdir()) == "z.tif"
    whole = opening.open_candidate

    def open_when_begun(recipe, candidate, known, **options):
        if candidate.scene_id == "z":
            assert began.wait(60)
        return whole(recipe, candidate, known, **options)

    monkeypatch.setattr(opening, "open_candidate", open_when_begun)
    monkeypatch.setattr(planner, "FIRST_BLOCKS", 4)
    shown = []

    def show(progress):
        shown.append(progress)
        if progress.blocks_done:
            began.set()

    summary = make_job(slow, archive, package).run(show=show)
    assert (summary.scenes_done, summary.exit_code) == (AHEAD + 3, 0)
    totals = [progress.blocks_total for progress in shown]
    assert totals == sorted(totals)
    partly = [progress for progress in shown if progress.state == "running" and not progress.planned]
    assert all(progress.headers[0] < AHEAD + 3 == progress.headers[1] for progress in partly)
    assert any(progress.blocks_done for progress in partly)
    assert shown[-1].planned


def test_a_resumed_run_opens_no_header_of_what_has_not_changed(job, archive, undisturbed, monkeypatch):
    opened = []
    whole = opening.open_candidate

    def open_and_tell(recipe, candidate, known, **options):
        opened.append(candidate.scene_id)
        return whole(recipe, candidate, known, **options)

    monkeypatch.setattr(opening, "open_candidate", open_and_tell)

    def stop(progress):
        if progress.blocks_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(show=stop)
    assert set(opened) == set(SCENES)
    begun = {scene.scene_id for scene in build_plan(job.spec()).scenes if scene.blocks_done}
    opened.clear()
    assert job.run().digest == job.verified() == undisturbed
    assert set(opened) == begun
    write_scene(archive / "tall.tif", 300, 300, seed=9)
    opened.clear()
    assert job.run().scenes_committed == 1
    assert opened == ["tall"]


def test_parts_of_an_output_that_was_added_stay_until_it_is_there(job):
    """The marker has the scene key before."""
    job.run()
    lost = "0-0"

    def lose(_):
        job.store.delete([info.path for info in job.store.list(PARTS_PREFIX) if info.path.endswith(f"/{lost}")])

    more = "output.files=[{kind: cog}, {kind: quicklook}, {kind: cells}]"
    summary = job.run(more, show=lose)
    assert {aside.scene_id for aside in summary.set_aside} == {"large", "tall"}
    assert sorted(map(len, job.parts().values())) == [1, 8]
    assert job.run(more).blocks == 2
    assert job.parts() == {}
