"""Blocks that take their process down, or never end: each is found, runs alone, is condemned; nothing else is lost."""

from __future__ import annotations

import json
import signal

import pytest
from contracts.stream import LEASE
from jobs_made import BLOCK, make_archive, make_job, write_scene
from stream.deaths import PLANTED, RULES, Faults, attempts, begin_apart, fault, run_apart

from encdec_batch.commit.attempts import count_death
from encdec_batch.errors import EncdecError
from encdec_batch.job.plan import build_plan, place, prepare
from encdec_batch.job.survey import survey, survey_scene
from encdec_batch.models.package import load_package
from encdec_batch.plan.item import is_small, work_items
from encdec_batch.plan.opening import make_plan, replan_scene
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream.ray_data import RayHost

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning"),
]

POISONED = (0, 2 * BLOCK)
"""Where the third block of a run begins."""
HUNG = f"came to no end within {RULES.first_s:.0f} s"
CRASHES = {
    "read-exit": ((90, 100), fault("read", (90, 100), "exit"), "ended with exit code 3"),
    "predict-kill": ((90, 101), fault("predict", (90, 101), "kill"), "died of signal SIGKILL"),
    "predict-quits": ((90, 102), fault("predict", (90, 102), "system exit"), "ended with exit code 4"),
    "write-segv": ((90, 103), fault("write", (90, 103), "segv"), "died of signal SIGSEGV"),
    "commit-segv": ((600, 1100), fault("commit", (600, 1100), "segv"), "died of signal SIGSEGV"),
}
HANGS = {
    "read-lock": ((90, 100), fault("read", (90, 100), "hold the lock"), HUNG),
    "predict-lock": ((90, 101), fault("predict", (90, 101), "hold the lock"), HUNG),
    "run-sleep": ((600, 1700), fault("read", (600, 1700), "sleep", at=POISONED), HUNG),
}
"""Scene to its shape, which tells it apart, what is planted there, and what is said of it. Those of one block make one
group; `commit-segv` is well until it is assembled, `run-sleep` but for one block."""
GOOD = {"well": (90, 200), "good": (90, 201)}
ONCE, RAISES = {"once": (90, 202)}, {"raises": (90, 203)}


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return Faults(tmp_path_factory.mktemp("faults") / "faults.json")


@pytest.fixture(scope="module")
def ray_host(package, faults):
    """One Ray for all tests of this file, whose workers find the faults."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in faults.environment.items():
            patch.setenv(name, value)
        with RayHost(load_package(str(package)), RayStream(max_workers=2), rules=RULES) as host:
            yield host


def through(plan, host, scene_ids):
    """Records of the blocks of these scenes, and of the commits of those that have parts."""
    stream = host.stream(plan.recipe, lease_n=LEASE)
    scenes = [scene for scene in plan.scenes if scene.scene_id in scene_ids]
    records = list(stream.records(work_items(scenes)))
    troubled = {record.scene_id for record in records if record.trouble}
    for scene in scenes:
        if not is_small(scene) and scene.scene_id not in troubled:
            stream.commit(scene)
    return records, list(stream.commits(wait=True))


def job_of(tmp_path, package, scenes):
    return make_job(tmp_path / "job", make_archive(tmp_path / "archive", scenes), package)


@pytest.mark.parametrize("poison", [CRASHES, HANGS], ids=["crashes", "hangs"])
def test_each_is_found_and_nothing_else_is_lost(tmp_path, package, faults, ray_host, poison):
    """Poisonous scenes, blocks and commits among others that are not, all at once."""
    shapes = {name: shape for name, (shape, _, _) in poison.items()}
    job = job_of(tmp_path, package, shapes | GOOD | ONCE | RAISES)
    faults.plant(
        *(planted for _, planted, _ in poison.values()),
        fault("read", ONCE["once"], "segv", times=1),
        fault("predict", RAISES["raises"], "raise"),
    )
    plan = build_plan(job.spec())
    records, commits = through(plan, ray_host, shapes | GOOD | ONCE | RAISES)
    troubles = {record.scene_id: record.trouble for record in [*records, *commits] if record.trouble}
    assert troubles.pop("raises").stage == "predict"
    said = {name: (trouble.stage, trouble.reason.rpartition("one ")[2]) for name, trouble in troubles.items()}
    assert said == {name: (planted["stage"], how) for name, (_, planted, how) in poison.items()}
    assert not any(trouble.transient for trouble in troubles.values())
    # Everything else is there, other scenes of the group, other blocks of the run, parts of the commit among it.
    assert set(job.markers()) == {"well", "good", "once"}
    for scene in plan.scenes:
        if not is_small(scene):
            every = {block.name for block in scene.grid().blocks()}
            assert job.parts()[scene.part_key] == every - {troubles[scene.scene_id].block}
    for shape, planted, _ in poison.values():
        assert faults.struck(planted["stage"], shape) == ["among others", "among others", "alone"], planted
    assert faults.struck("read", ONCE["once"]) == ["among others"]
    deaths = {name: told["deaths"] for (name, _), told in attempts(job).items()}
    assert deaths == {"once": 1} | dict.fromkeys(poison, 2)


@pytest.mark.parametrize(("how", "said"), [("kill", "died of signal SIGKILL"), ("hold the lock", HUNG)])
def test_a_header_is_found_too(tmp_path, package, faults, ray_host, how, said):
    scenes = {"bad": (90, 100), "fine": (90, 101), "well": (90, 102)}
    job = job_of(tmp_path, package, scenes)
    faults.plant()
    plan, prepared = build_plan(job.spec()), prepare(place(job.spec()), survey(job.store))
    faults.plant(fault("plan", scenes["bad"], how))
    made = make_plan(plan.recipe, prepared.work, prepared.known, ray_host.openers(plan.recipe))
    assert {scene.scene_id for scene in made.scenes} == {"fine", "well"}
    [aside] = made.set_aside
    assert (aside.scene_id, aside.stage, aside.transient) == ("bad", "plan", False)
    assert aside.reason.endswith(said)
    assert faults.struck("plan", scenes["bad"]) == ["among others", "among others", "alone"]


def test_an_object_replaced_in_mid_run_by_one_that_kills_its_reader(tmp_path, package, faults, ray_host):
    """It is planned once more under the same guard: not the driver dies of it."""
    job = job_of(tmp_path, package, {"bad": (90, 100)})
    plan, changed = build_plan(job.spec()), (90, 104)
    write_scene(tmp_path / "archive/bad.tif", *changed, seed=1)
    faults.plant(fault("plan", changed, "kill"))
    openers = ray_host.openers(plan.recipe)
    aside = replan_scene(plan.recipe, plan.scenes[0], survey_scene(job.store, "bad"), openers)
    assert (aside.scene_id, aside.stage, aside.transient) == ("bad", "plan", False)
    assert "SIGKILL" in aside.reason
    assert faults.struck("plan", changed) == ["among others", "among others", "alone"]


def test_a_count_outlives_the_driver(tmp_path, package, faults, ray_host):
    """A second driver takes up what the first one's ledger noted."""
    shape = (600, 1100)
    job = job_of(tmp_path, package, {"scene": shape})
    plan = build_plan(job.spec())
    faults.plant(fault("predict", shape, "kill", at=(0, 0), times=1))
    records, [commit] = through(plan, ray_host, ["scene"])
    assert not any(record.trouble for record in records)
    assert commit.committed
    [(block, told)] = attempts(job).items()
    assert (block, told["deaths"], told["stage"]) == (("scene", "0-0"), 1, "predict")
    faults.plant(fault("predict", shape, "kill", at=(0, 0)))
    records, _ = through(plan, ray_host, ["scene"])
    assert {record.trouble.block for record in records if record.trouble and record.trouble.died} == {"0-0"}
    assert faults.struck("predict", shape) == ["among others", "alone"]


def test_a_network_that_cannot_be_loaded_ends_the_run(tmp_path, package, faults, ray_host):
    """No block is to blame: actors die before they take one."""
    job = job_of(tmp_path, package, GOOD)
    faults.plant(fault("load", (0, 0), "segv"))
    with pytest.raises(EncdecError, match="died 2 times while it loaded it"):
        through(build_plan(job.spec()), ray_host, GOOD)
    assert attempts(job) == {}


LOCAL = ["compute.stream={kind: local, workers: 2}"]


@pytest.mark.parametrize(("stage", "how"), [("read", "segv"), ("predict", "hold the lock")])
def test_a_run_in_one_process_does_not_die_for_ever(tmp_path, package, stage, how):
    scenes = {"bad": (90, 100), "fine": (90, 101), "well": (600, 1100)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault(stage, scenes["bad"], how))
    for deaths in (1, 2):
        ended = run_apart(job, faults, *LOCAL)
        code = {"segv": -signal.SIGSEGV, "hold the lock": 1}[how]
        assert ended.returncode == code, ended.stderr
        assert "block 0-0" in ended.stderr
        told = attempts(job)["bad", "0-0"]
        assert (told["deaths"], told["stage"]) == (deaths, stage)
    ended = run_apart(job, faults, *LOCAL)
    assert ended.returncode == 3, ended.stderr
    [aside] = json.loads(ended.stdout)["set_aside"]
    assert (aside["scene_id"], aside["stage"], aside["transient"]) == ("bad", stage, False)
    assert set(job.markers()) == {"fine", "well"}
    assert attempts(job) == {}
    assert faults.struck(stage, scenes["bad"]) == ["among others", "among others", "alone"]


@pytest.mark.parametrize("how", ["segv", "hold the lock"])
def test_a_header_does_not_end_a_run_in_one_process_for_ever(tmp_path, package, how):
    scenes = {"bad": (90, 100), "fine": (90, 101), "well": (600, 1100)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault("plan", scenes["bad"], how))
    for deaths in (1, 2):
        ended = run_apart(job, faults, *LOCAL)
        assert ended.returncode == (-signal.SIGSEGV if how == "segv" else 1), ended.stderr
        assert "at plan of bad, block header" in ended.stderr
        told = attempts(job)["bad", "header"]
        assert (told["deaths"], told["stage"]) == (deaths, "plan")
    ended = run_apart(job, faults, *LOCAL)
    assert ended.returncode == 3, ended.stderr
    [aside] = json.loads(ended.stdout)["set_aside"]
    assert (aside["scene_id"], aside["stage"], aside["transient"]) == ("bad", "plan", False)
    assert aside["reason"].endswith("died of signal SIGSEGV" if how == "segv" else HUNG)
    assert set(job.markers()) == {"fine", "well"}
    assert attempts(job) == {}
    assert faults.struck("plan", scenes["bad"]) == ["among others", "among others", "alone"]


def test_ctrl_c_ends_a_run_in_which_a_header_hangs(tmp_path, package):
    """Also where its deadline is far away: the hang is told, and counted."""
    scenes = {"bad": (90, 100), "fine": (90, 101)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault("plan", scenes["bad"], "sleep"))
    with begin_apart(job, faults, *LOCAL) as process:
        while not faults.struck("plan", scenes["bad"]):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert attempts(job)["bad", "header"]["deaths"] == 1


def test_a_plan_heeds_what_runs_marked_and_marks_nothing(tmp_path, package, monkeypatch):
    scenes = {"bad": (90, 100), "fine": (90, 101)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    key = {scene.scene_id: scene.scene_key for scene in build_plan(job.spec()).scenes}["bad"]
    for _ in range(2):
        count_death(job.store, (key, "header"), scene_id="bad", stage="plan")
    faults.plant(fault("plan", scenes["bad"], "segv"))
    monkeypatch.setenv("ENCDEC_TEST_FAULTS", str(faults.file))
    monkeypatch.syspath_prepend(str(PLANTED))  # what a child is told to look through
    before = [info.path for info in job.store.list("")]
    plan = build_plan(job.spec(*LOCAL))
    assert [scene.scene_id for scene in plan.scenes] == ["fine"]
    assert "SIGSEGV" in plan.set_aside[0].reason
    assert faults.struck("plan", scenes["bad"]) == ["alone"]
    assert [info.path for info in job.store.list("")] == before


def test_a_commit_in_one_process_does_not_die_for_ever(tmp_path, package):
    scenes = {"bad": (600, 1100), "fine": (90, 101)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault("commit", scenes["bad"], "segv"))
    for _ in range(2):
        assert run_apart(job, faults, *LOCAL).returncode == -signal.SIGSEGV
    ended = run_apart(job, faults, *LOCAL)
    assert ended.returncode == 3, ended.stderr
    [aside] = json.loads(ended.stdout)["set_aside"]
    assert (aside["scene_id"], aside["stage"], aside["block"], aside["transient"]) == ("bad", "commit", None, False)
    assert "SIGSEGV" in aside["reason"]
    assert set(job.markers()) == {"fine"}


def test_a_run_stops_where_it_is_not_the_data(tmp_path, package):
    scenes = {f"s{n:02}": (90, 100) for n in range(14)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault("predict", (90, 100), "raise"))
    ended = run_apart(job, faults, "compute.stream={kind: local, workers: 1}")
    assert ended.returncode == 1
    assert "10 in a row of 10 scenes were condemned; the cause is probably not the data" in ended.stderr
    [run_folder] = (job.output / ".encdec" / "runs").iterdir()
    assert json.loads((run_folder / "progress.json").read_text())["state"] == "failed"
    assert json.loads((run_folder / "summary.json").read_text())["exit_code"] == 1
    assert len(list((job.output / ".encdec" / "quarantine").iterdir())) == 10
    assert "stopped" in (job.output / "report" / "index.html").read_text()
    # Mended: the ten are left as they are, the others are done.
    faults.plant()
    ended = run_apart(job, faults, *LOCAL)
    assert ended.returncode == 3
    assert (len(job.markers()), len(json.loads(ended.stdout)["set_aside"])) == (4, 10)


def test_a_kill_that_is_no_death_costs_nothing(tmp_path, package):
    """Struck once, as by an operator: the next run commits it, and forgets."""
    scenes = {"bad": (90, 100), "fine": (90, 101)}
    job, faults = job_of(tmp_path, package, scenes), Faults(tmp_path / "faults.json")
    faults.plant(fault("predict", scenes["bad"], "kill", times=1))
    assert run_apart(job, faults, *LOCAL).returncode == -signal.SIGKILL
    ended = run_apart(job, faults, *LOCAL)
    assert ended.returncode == 0, ended.stderr
    assert set(job.markers()) == set(scenes)
    assert attempts(job) == {}
