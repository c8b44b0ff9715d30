"""kill -9 of a driver in mid-run, then the same command again: as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import uuid
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from jobs_made import MadeJob, command, driver, make_archive, make_job, make_package, wait_until
from servers import s3_server_process

from encdec_batch.commit.marker import list_markers
from encdec_batch.job.plan import build_plan, prepare
from encdec_batch.job.plan import place as find
from encdec_batch.job.run import run
from encdec_batch.job.status import DEAD_AFTER_S, status
from encdec_batch.job.survey import survey
from encdec_batch.plan.opening import make_plan
from encdec_batch.plan.table import owners_of_parts

pytestmark = pytest.mark.e2e

SCENES = {"first": (1100, 300), "second": (1300, 1500), "third": (300, 400)}
BLOCKS = {"first": 2, "second": 9, "third": 1}
RAY = "compute.stream={kind: ray, max_workers: %d}"
LOCAL = "compute.stream={kind: local, workers: 1}"
PROGRESS = re.compile(r"\S+Z  (planning.*|starting Ray|\d+/\d+ scenes.*)")
"""A line of a run without a terminal."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An archive, and a network wide enough that a block takes longer than a look at the store."""
    folder = tmp_path_factory.mktemp("killed")
    make_archive(folder / "archive", SCENES)
    make_package(folder / "package", width=12)
    return folder


@pytest.fixture(scope="module")
def undisturbed(place):
    return job_in(place, "undisturbed").run().digest


@pytest.fixture(scope="module")
def killed(place):
    """A job whose driver was killed with a scene committed and another half done; to be copied, not run."""
    job = job_in(place, "killed")
    kill_in_mid_run(job, LOCAL)
    return job


@pytest.fixture
def left(killed, place, tmp_path):
    """A copy of what the killed driver left behind."""
    job = job_in(place, f"left-{uuid.uuid4().hex}")
    shutil.copytree(killed.output, job.output)
    return job


def job_in(place: Path, name: str) -> MadeJob:
    return make_job(place / name, place / "archive", place / "package")


def kill_in_mid_run(job: MadeJob, *overrides: str, parts: int = 4) -> None:
    """Starts the job, waits for this many parts and a marker, kills the driver, waits for the end of all it started."""
    name = f"ENCDEC_TEST_{uuid.uuid4().hex}"
    os.environ[name] = "1"
    try:
        with driver(job, *overrides) as process:

            def far_enough():
                assert process.poll() is None, process.communicate()
                return num_parts(job) >= parts and any(list_markers(job.store))

            wait_until(far_enough, what="a marker and some parts")
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        del os.environ[name]
    wait_until(lambda: not processes_with(name), what="the end of the workers")


def processes_with(variable: str) -> list[int]:
    """Every process that has inherited this variable."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if variable.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def num_parts(job: MadeJob) -> int:
    return sum(map(len, job.parts().values()))


def made_before(job: MadeJob) -> set[tuple[str, str]]:
    """Scene and block of every part in the store."""
    owners = owners_of_parts(job.store)
    return {(owners[key][0], name) for key, names in job.parts().items() for name in names}


def computed_by(job: MadeJob, run_id: str) -> list[tuple[str, str]]:
    """Scene and block of everything that the events of a run say was computed."""
    rows = []
    for info in job.store.list(f".encdec/runs/{run_id}/"):
        if "/events-" not in info.path:
            continue
        rows += pq.read_table(BytesIO(job.store.get(info.path))).to_pylist()
    return [(row["scene_id"], block) for row in rows for block in row["blocks"]]


def go_on(job: MadeJob, *overrides: str) -> dict:
    """The same command once more, to its end; what it printed."""
    sets = [word for override in overrides for word in ("--set", override)]
    done = subprocess.run(
        command("run", job.file, "--json", *sets), capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    # Progress now and then, and not a line of Ray's: neither of its workers nor of its own parts.
    assert [line for line in done.stderr.splitlines() if not PROGRESS.fullmatch(line)] == []
    return json.loads(done.stdout)


def check_goes_on(job: MadeJob, *overrides: str) -> str:
    """Runs a job that was killed to its end; nothing that was there is computed again. The digest of the output."""
    parts, committed = made_before(job), set(job.markers())
    every = {
        (scene.scene_id, block.name)
        for scene in build_plan(job.spec(*overrides)).scenes
        for block in scene.grid().blocks()
    }
    expected = {(scene_id, block) for scene_id, block in every - parts if scene_id not in committed}
    assert parts
    assert expected, "the run was over before it was killed"
    summary = go_on(job, *overrides)
    assert sorted(computed_by(job, summary["run_id"])) == sorted(expected)
    assert (summary["blocks"], summary["scenes_done"]) == (len(expected), len(SCENES))
    assert summary["scenes_committed"] == len(SCENES) - len(committed)
    assert job.parts() == {}
    assert summary["digest"] == job.verified()
    return summary["digest"]


def test_a_local_run_goes_on(left, undisturbed):
    assert check_goes_on(left, LOCAL) == undisturbed


@pytest.mark.parametrize("workers", [1, 2])
def test_ray_writes_the_same_bytes(place, undisturbed, workers):
    job = job_in(place, f"ray-{workers}")
    summary = go_on(job, RAY % workers)
    assert summary["blocks"] == sum(BLOCKS.values())
    assert summary["digest"] == job.verified() == undisturbed


def test_a_local_run_goes_on_where_one_on_s3_was_killed(place, undisturbed):
    with s3_server_process() as server:
        uri = f"s3://{server.make_bucket()}/some/output"
        job = make_job(place / "s3", place / "archive", place / "package", output=uri, storage=server.options)
        kill_in_mid_run(job, LOCAL)
        assert check_goes_on(job, LOCAL) == undisturbed
        uploads = server.client().list_multipart_uploads(Bucket=uri.split("/")[2])
        assert "Uploads" not in uploads


@pytest.mark.parametrize(
    "change",
    [
        "compute.batch=3",
        "tiling.core=192",
        "tiling.block=1024",
        "compute.precision=bfloat16",
        "output.files=[{kind: cells}]",
    ],
)
def test_no_part_of_another_grid_is_used(place, left, change):
    before, markers = made_before(left), left.markers()
    fresh = job_in(place, f"fresh-{uuid.uuid4().hex}")
    fresh.run(change)
    summary = run(left.spec(change))
    left.verified()
    after, wanted = left.markers(), fresh.markers()
    redone = {name for name in SCENES if after[name] != markers.get(name)}
    assert "second" in redone
    assert {scene_id for scene_id, _ in before} >= {"second"}
    # Every block of the scenes that were redone, none from parts made for another grid.
    assert summary.blocks == sum(fresh_blocks(wanted[name][0]) for name in redone)
    for name in redone:
        assert digests(after[name][0], wanted[name][0].outputs) == digests(wanted[name][0], wanted[name][0].outputs)
    assert run(left.spec(change)).blocks == 0


def fresh_blocks(marker) -> int:
    return int(marker.summary["blocks"])


def digests(marker, names) -> dict[str, str]:
    return {name: marker.outputs[name].sha256 for name in names}


def test_no_part_of_another_kind_of_device_is_used(left):
    """A kind of device cannot be changed here, so the recipe is told of another one; the rest is the plan as it is."""
    spec = left.spec()
    plan, prepared = build_plan(spec), prepare(find(spec), survey(left.store))
    [scene] = [scene for scene in plan.scenes if scene.scene_id == "second"]
    assert scene.blocks_done
    for change in ({"device_kind": "another"}, {"engine": "another-1"}, {"batch": 2}, {"precision": "float16"}):
        recipe = replace(plan.recipe, resolved=replace(plan.recipe.resolved, **change))
        [other] = [
            scene for scene in make_plan(recipe, prepared.work, prepared.known).scenes if scene.scene_id == "second"
        ]
        assert other.scene_key == scene.scene_key
        assert other.part_key != scene.part_key
        assert other.blocks_done == frozenset()


def test_a_killed_run_is_dead_when_its_lease_would_be(left):
    [progress] = (left.output / ".encdec" / "runs").glob("*/progress.json")
    os.utime(progress)
    assert status(left.output_uri).state in ("planning", "running")
    written = progress.stat().st_mtime
    os.utime(progress, (written, written - DEAD_AFTER_S - 1))
    found = status(left.output_uri)
    assert (found.state, found.scenes_with_outputs) == ("interrupted", len(left.markers()))
    assert found.age_s > DEAD_AFTER_S
    assert found.run_id == progress.parent.name


def test_a_second_run_is_refused_while_the_first_goes_on(place):
    job = job_in(place, "twice")
    with driver(job, LOCAL) as first:
        wait_until(lambda: num_parts(job) > 0, what="a part")
        # Stopped, not ended: its lease lives on for 45 s, and it cannot be over before the second one looks.
        os.killpg(first.pid, signal.SIGSTOP)
        second = subprocess.run(command("run", job.file), capture_output=True, text=True, timeout=60, check=False)
        seen = subprocess.run(
            command("status", job.output_uri, "--json"), capture_output=True, text=True, timeout=60, check=False
        )
        assert first.poll() is None, "the first run was over too soon"
        os.killpg(first.pid, signal.SIGKILL)
    state = json.loads(seen.stdout)
    assert state["state"] in ("planning", "running")
    assert second.returncode == 1
    for said in (state["run_id"], f"process {first.pid}", "lease 1", "s ago"):
        assert said in second.stderr
    assert "Traceback" not in second.stderr
    assert len(list((job.output / ".encdec" / "lease").glob("*.json"))) == 1
