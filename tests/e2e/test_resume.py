"""What a run does on an output where another one has been: nothing twice, and nothing by the look of a file."""

from __future__ import annotations

import shutil

import pytest
from jobs_made import BLOCKS, SCENES, make_job, make_package, spoil_tile, write_scene

from encdec_batch.commit.lease import lease_path
from encdec_batch.commit.marker import marker_path
from encdec_batch.errors import EncdecError, LeaseHeld
from encdec_batch.job.maintain import retry_output
from encdec_batch.job.status import verify

pytestmark = pytest.mark.integration

WITH_PNG = "output.files=[{kind: cog}, {kind: quicklook}, {kind: png}]"
ALL_BLOCKS = sum(BLOCKS.values())


class Stopped(Exception):
    """What a test throws into a run."""


def fresh(job, tmp_path, *overrides, name="fresh"):
    """The digest of an undisturbed run of the same job into an output of its own."""
    folder = tmp_path / name
    source, model = job.spec(*overrides).source, job.spec(*overrides).model
    return make_job(folder, source.uri, model.package).run(*overrides).digest


def stop_when(condition):
    def show(progress):
        if condition(progress):
            raise Stopped

    return show


def once(action):
    """Calls `action` when blocks are about to be read: the scenes are planned by then."""
    told = []

    def show(progress):
        if progress.state == "running" and not told:
            told.append(progress)
            action()

    return show


def test_a_finished_output_is_left_alone(job):
    first = job.run()
    assert (first.scenes_committed, first.blocks, first.exit_code) == (len(SCENES), ALL_BLOCKS, 0)
    before = {path: path.stat().st_mtime_ns for path in (job.output / "scenes").rglob("*")}
    markers = job.markers()
    again = job.run()
    assert (again.scenes_done, again.scenes_committed, again.blocks) == (len(SCENES), 0, 0)
    assert again.digest == first.digest == job.verified()
    assert job.markers() == markers
    assert {path: path.stat().st_mtime_ns for path in (job.output / "scenes").rglob("*")} == before
    assert job.parts() == {}


def test_workers_do_not_change_a_byte(job, undisturbed):
    assert job.run("compute.stream.workers=2").digest == undisturbed


def test_of_a_changed_input_only_the_scene_is_redone(job, archive, tmp_path):
    job.run()
    before = job.markers()
    write_scene(archive / "tall.tif", *SCENES["tall"], seed=99)
    summary = job.run()
    after = job.markers()
    assert (summary.scenes_committed, summary.blocks) == (1, BLOCKS["tall"])
    assert {name for name in SCENES if after[name] != before[name]} == {"tall"}
    assert {name: marker.generation for name, (marker, _) in after.items()} == dict.fromkeys(SCENES, 1) | {"tall": 2}
    assert after["tall"][0].outputs["mask.tif"].sha256 != before["tall"][0].outputs["mask.tif"].sha256
    assert summary.digest == job.verified() == fresh(job, tmp_path)


def test_a_scene_that_joins_the_archive_is_the_only_one_done(job, archive, tmp_path):
    job.run()
    before = job.markers()
    (archive / "below").mkdir()
    write_scene(archive / "below" / "new.tif", 200, 200)
    summary = job.run()
    after = job.markers()
    assert (summary.scenes_done, summary.scenes_committed, summary.blocks) == (len(SCENES) + 1, 1, 1)
    assert {name: after[name] for name in before} == before
    assert job.verified() == fresh(job, tmp_path)


def test_of_one_more_output_only_that_is_made(job, tmp_path):
    job.run()
    before = job.markers()
    summary = job.run(WITH_PNG)
    after = job.markers()
    assert summary.scenes_committed == len(SCENES)
    for name in SCENES:
        (old, _), (new, _) = before[name], after[name]
        assert new.generation == 2
        assert {file: new.outputs[file] for file in old.outputs} == old.outputs
        added = new.outputs["mask.png"].path
        folder = job.output / added.removesuffix("mask.png")
        assert [path.name for path in folder.iterdir()] == ["mask.png"]
    assert job.verified() == fresh(job, tmp_path, WITH_PNG)
    assert job.run(WITH_PNG).blocks == 0


def test_less_asked_for_is_nothing_to_do(job):
    job.run(WITH_PNG)
    markers = job.markers()
    assert job.run("output.files=[{kind: quicklook}]").blocks == 0
    assert job.markers() == markers


def test_another_package_redoes_every_scene_beside_the_old_files(job, other_package, tmp_path, undisturbed):
    job.run()
    before = job.markers()
    override = f"model.package={other_package}"
    summary = job.run(override)
    assert (summary.scenes_committed, summary.blocks) == (len(SCENES), ALL_BLOCKS)
    assert {marker.generation for marker, _ in job.markers().values()} == {2}
    assert job.verified() == fresh(job, tmp_path, override) != undisturbed
    for old, _ in before.values():
        for file in old.outputs.values():
            assert (job.output / file.path).stat().st_size == file.size


@pytest.mark.parametrize("back", [False, True])
def test_a_rerun_never_mixes_two_models(job, other_package, tmp_path, back):
    job.run()
    override = f"model.package={other_package}"
    with pytest.raises(Stopped):
        job.run(override, show=stop_when(lambda progress: progress.blocks_done > BLOCKS["large"]))
    halfway = {marker.generation for marker, _ in job.markers().values()}
    assert halfway == {1, 2}
    assert verify(job.output_uri).bad == ()
    assert any(job.parts().values())
    overrides = () if back else (override,)
    summary = job.run(*overrides)
    assert 0 < summary.scenes_committed < len(SCENES)
    assert job.verified() == fresh(job, tmp_path, *overrides)


def test_a_file_without_a_marker_is_never_taken_as_done(job, undisturbed):
    for place in ("large", "large/1-0123456789abcdef-01234567", "small"):
        folder = job.output / "scenes" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mask.tif").write_bytes(b"II*\0 what a killed writer left")
    summary = job.run()
    assert (summary.scenes_committed, summary.blocks) == (len(SCENES), ALL_BLOCKS)
    assert job.verified() == undisturbed


def test_a_truncated_output_is_found_and_its_scene_made_again_without_its_marker(job):
    digest = job.run().digest
    marker = job.markers()["tall"][0]
    file = job.output / marker.outputs["mask.tif"].path
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    assert verify(job.output_uri).bad == (marker.outputs["mask.tif"].path,)
    shutil.rmtree(file.parent)
    job.store.delete([marker_path("tall")])
    assert job.run().scenes_committed == 1
    assert (job.verified(), file.read_bytes()) == (digest, whole)


@pytest.mark.parametrize("option", ["quicklook.max_side", "png.max_side"])
def test_files_left_before_their_marker_are_not_taken_for_those_of_other_options(job, tmp_path, option):
    """The state of a run that died between the last file and the marker, with other options of a file."""

    def files(side):
        sides = {"quicklook": 2048, "png": 16384} | {option.removesuffix(".max_side"): side}
        return f"output.files=[{', '.join(f'{{kind: {kind}, max_side: {value}}}' for kind, value in sides.items())}]"

    job.run(files(1024))
    job.store.delete([marker_path(name) for name in SCENES])
    job.run(files(600))
    assert job.verified() == fresh(job, tmp_path, files(600))


def test_a_stop_by_hand_is_gone_on_from(job, undisturbed):
    with pytest.raises(Stopped):
        job.run(show=stop_when(lambda progress: progress.blocks_done == 5))
    made = sum(map(len, job.parts().values()))
    assert 5 <= made < ALL_BLOCKS
    summary = job.run()
    assert summary.blocks == ALL_BLOCKS - made
    assert job.verified() == undisturbed


def test_parts_that_all_lie_there_are_committed_without_reading_a_pixel(job, undisturbed):
    with pytest.raises(Stopped):
        job.run(show=stop_when(lambda progress: progress.blocks_done == BLOCKS["large"]))
    assert BLOCKS["large"] in map(len, job.parts().values())
    job.store.delete([marker_path("large")])
    planned = []
    summary = job.run(show=once(lambda: planned.append(True)))
    assert summary.blocks <= ALL_BLOCKS - BLOCKS["large"]
    assert planned
    assert job.verified() == undisturbed


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_part_that_is_gone_or_damaged_is_made_again_in_the_same_run(job, undisturbed, damage):
    with pytest.raises(Stopped):
        job.run(show=stop_when(lambda progress: progress.blocks_done == 4))
    [(key, names)] = [(key, names) for key, names in job.parts().items() if len(names) >= 4]
    path = job.output / ".encdec" / "parts" / key / min(names)

    def harm():
        data = path.read_bytes()
        path.unlink()
        if damage == "cut":
            path.write_bytes(data[: len(data) // 2])

    summary = job.run(show=once(harm))
    assert (summary.exit_code, summary.scenes_committed) == (0, len(SCENES))
    assert job.verified() == undisturbed


def test_a_bad_block_sets_its_scene_aside_and_the_rest_is_done(job, archive, undisturbed):
    good = (archive / "large.tif").read_bytes()
    spoil_tile(archive / "large.tif", 900, 900)
    summary = job.run()
    assert (summary.exit_code, summary.scenes_done, set(job.markers())) == (3, len(SCENES) - 1, set(SCENES) - {"large"})
    [aside] = summary.set_aside
    assert (aside.scene_id, aside.stage, aside.block, aside.transient) == ("large", "read", "1-1", False)
    assert aside.reason
    assert aside.hint
    again = job.run()
    assert (again.exit_code, again.blocks, again.set_aside) == (3, 0, summary.set_aside)
    assert len(retry_output(job.output_uri)) == 1
    assert job.run().set_aside[0].block == aside.block
    (archive / "large.tif").write_bytes(good)
    mended = job.run()
    assert (mended.exit_code, mended.scenes_committed) == (0, 1)
    assert list(job.store.list(".encdec/quarantine/")) == []
    assert job.verified() == undisturbed


def test_an_input_replaced_after_the_plan_is_planned_again_in_the_same_run(job, archive, tmp_path):
    summary = job.run(show=once(lambda: write_scene(archive / "large.tif", *SCENES["large"], seed=50)))
    assert (summary.exit_code, summary.scenes_committed) == (0, len(SCENES))
    assert job.verified() == fresh(job, tmp_path)
    assert job.run().blocks == 0
    assert job.parts() == {}


def test_an_input_replaced_by_another_size_between_two_of_its_blocks(job, archive, tmp_path):
    calls = []

    def show(progress):
        if progress.blocks_done == 2 and not calls:
            calls.append(progress)
            write_scene(archive / "large.tif", 1700, 600, seed=51)

    summary = job.run(show=show)
    assert calls
    assert (summary.exit_code, summary.scenes_committed) == (0, len(SCENES))
    assert job.verified() == fresh(job, tmp_path)
    assert job.run().blocks == 0
    assert job.parts() == {}


def test_an_input_replaced_over_and_over_is_set_aside_until_the_next_run(job, archive, tmp_path):
    seeds = iter(range(60, 1000))

    def show(progress):
        if progress.state == "running":
            write_scene(archive / "large.tif", *SCENES["large"], seed=next(seeds))

    summary = job.run(show=show)
    assert (summary.exit_code, summary.scenes_committed) == (3, len(SCENES) - 1)
    [aside] = summary.set_aside
    assert (aside.scene_id, aside.stage, aside.transient) == ("large", "read", True)
    assert "replaced" in aside.reason
    calm = job.run()
    assert (calm.exit_code, calm.scenes_committed) == (0, 1)
    assert job.verified() == fresh(job, tmp_path)


def test_an_input_that_vanishes_after_the_plan_is_set_aside(job, archive):
    summary = job.run(show=once((archive / "large.tif").unlink))
    [aside] = summary.set_aside
    assert (aside.scene_id, aside.stage, summary.scenes_committed) == ("large", "read", len(SCENES) - 1)
    assert "no such object" in aside.reason


def test_a_commit_of_another_run_in_between_is_not_overwritten(job, tmp_path, other_package):
    """A marker that moves after it was planned from: the scene is planned again, on the new generation."""
    job.run()
    other = make_job(tmp_path / "elsewhere", job.spec().source.uri, other_package)
    other.run()
    foreign = other.markers()["small"][0]
    path = job.output / marker_path("small")

    def intrude():
        path.write_bytes(foreign.model_copy(update={"generation": 7, "outputs": {}}).to_json())

    write_scene(tmp_path / "archive" / "small.tif", *SCENES["small"], seed=70)
    summary = job.run(show=once(intrude))
    assert summary.exit_code == 0
    assert job.markers()["small"][0].generation == 8
    assert job.verified() == fresh(job, tmp_path)


def test_a_run_that_was_taken_over_sets_nothing_aside(job, archive):
    spoil_tile(archive / "large.tif", 900, 900)
    with pytest.raises(LeaseHeld, match="lease 1 was taken over"):
        job.run(show=once(lambda: job.store.create(lease_path(2), b"{}")))
    assert list(job.store.list(".encdec/quarantine/")) == []


def test_a_network_of_another_size_on_the_same_output(job, tmp_path):
    """Another reach, hence other tiles: parts of the first have no say in the second."""
    override = f"model.package={make_package(tmp_path / 'deep', depth=1)}"
    with pytest.raises(Stopped):
        job.run(show=stop_when(lambda progress: progress.blocks_done == 3))
    assert job.run(override).blocks == ALL_BLOCKS
    assert job.verified() == fresh(job, tmp_path, override)


def test_a_run_that_fails_says_so_and_the_next_one_begins_at_once(job):
    with pytest.raises(EncdecError):
        job.run("model.package=/nowhere/at/all")
    assert job.run().exit_code == 0
