"""Processes that help with small scenes, while they die: nothing is lost, and what kills them is found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace

import psutil
import pytest
from contracts.stream import LEASE
from jobs_made import make_archive, make_job
from stream.deaths import PLANTED, RULES, Faults, attempts, fault

from encdec_batch.job.plan import build_plan
from encdec_batch.models.package import load_package
from encdec_batch.plan.item import work_items
from encdec_batch.stream.local import LocalHost
from encdec_batch.stream.local_room import AFTER, can_help, num_processes, num_processes_for, process_bytes

pytestmark = pytest.mark.integration

POISON = {
    "killed": ((90, 101), fault("predict", (90, 101), "kill"), "died of signal SIGKILL"),
    "quits": ((90, 102), fault("predict", (90, 102), "system exit"), "ended with exit code 4"),
}
"""Scene to its shape, what is planted there, and what is said of it."""
WELL = {f"well-{n}": (90, 200 + n) for n in range(6)}
ONCE = {"once": (90, 300)}
DRIVER = """
import sys
from encdec_batch.job.run import run
from encdec_batch.spec.load import load_spec
from encdec_batch.stream.local import LocalHost

LocalHost.__init__.__kwdefaults__["helped_after"] = 0
run(load_spec(sys.argv[1], ["compute.stream={kind: local, workers: 2}"]))
"""


@pytest.fixture
def faults(tmp_path, monkeypatch):
    faults = Faults(tmp_path / "faults.json")
    monkeypatch.setenv("ENCDEC_TEST_FAULTS", str(faults.file))
    monkeypatch.syspath_prepend(str(PLANTED))  # what a child is told to look through
    return faults


def job_of(tmp_path, package, scenes):
    return make_job(tmp_path / "job", make_archive(tmp_path / "archive", scenes), package)


def helped(package, **named):
    return LocalHost(load_package(str(package)), workers=2, helped_after=0, rules=RULES, **named)


def through(plan, package):
    with helped(package) as host:
        return list(host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes)))


def test_what_kills_them_is_found_and_nothing_else_is_lost(tmp_path, package, faults):
    shapes = {name: shape for name, (shape, _, _) in POISON.items()}
    job = job_of(tmp_path, package, shapes | WELL)
    plan = build_plan(job.spec())
    faults.plant(*(planted for _, planted, _ in POISON.values()))
    records = through(plan, package)
    assert Counter(record.scene_id for record in records) == Counter(dict.fromkeys(shapes | WELL, 1))
    said = {
        record.scene_id: (record.trouble.stage, record.trouble.reason.rpartition("one ")[2], record.trouble.transient)
        for record in records
        if record.trouble
    }
    assert said == {name: (planted["stage"], how, False) for name, (_, planted, how) in POISON.items()}
    assert set(job.markers()) == WELL.keys()
    for shape, planted, _ in POISON.values():
        assert faults.struck(planted["stage"], shape)[-1] == "alone"
    # Two threads of a process die together: others may have a mark as well, and are cleared when they run alone.
    deaths = {name: told["deaths"] for (name, _), told in attempts(job).items()}
    assert {name: deaths[name] for name in POISON} == dict.fromkeys(POISON, RULES.deaths)


def test_a_scene_that_was_struck_once_is_committed_all_the_same(tmp_path, package, faults):
    job = job_of(tmp_path, package, ONCE | WELL)
    plan = build_plan(job.spec())
    faults.plant(fault("write", ONCE["once"], "segv", times=1))
    records = through(plan, package)
    assert Counter(record.scene_id for record in records if record.committed) == Counter(dict.fromkeys(ONCE | WELL, 1))
    told = {name: (told["deaths"], told["stage"]) for (name, _), told in attempts(job).items()}
    assert told["once"] == (1, "write")
    assert faults.struck("write", ONCE["once"]) == ["among others"]


@pytest.mark.parametrize("how", ["segv", "kill", "raise"])
def test_where_no_process_can_load_the_network_the_threads_of_the_run_do_the_work(
    tmp_path, package, faults, caplog, how
):
    job = job_of(tmp_path, package, WELL)
    plan = build_plan(job.spec())
    faults.plant(fault("load", (0, 0), how))
    records = through(plan, package)
    assert Counter(record.scene_id for record in records if record.committed) == Counter(dict.fromkeys(WELL, 1))
    assert set(job.markers()) == WELL.keys()
    assert attempts(job) == {}
    said = next(record for record in caplog.records if record.getMessage() == "small.given_up")
    assert ("planted" if how == "raise" else "ended 2 times before it began one") in said.reason


def test_where_no_process_can_be_started_the_threads_of_the_run_do_the_work(tmp_path, package, caplog, monkeypatch):
    job = job_of(tmp_path, package, WELL)
    plan = build_plan(job.spec())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with LocalHost(load_package(str(package)), workers=2, helped_after=0, rules=RULES, witnessed=False) as host:
        records = list(host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes)))
    assert Counter(record.scene_id for record in records if record.committed) == Counter(dict.fromkeys(WELL, 1))
    assert any("cannot be started" in getattr(record, "reason", "") for record in caplog.records)


def test_leaving_the_host_ends_them(tmp_path, package):
    plan = build_plan(job_of(tmp_path, package, WELL).spec())
    threads, processes = set(threading.enumerate()), set(psutil.Process().children())
    with helped(package) as host:
        records = host.stream(plan.recipe, lease_n=LEASE).records(work_items(plan.scenes))
        next(records)
        assert any("small_child" in " ".join(process.cmdline()) for process in psutil.Process().children())
    assert set(threading.enumerate()) <= threads
    assert set(psutil.Process().children()) <= processes


def test_a_run_that_is_killed_takes_them_along_and_the_next_ends_its_work(tmp_path, package):
    job = job_of(tmp_path, package, {f"s{n:03}": (90, 100 + n) for n in range(40)})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", DRIVER, str(job.file)], env=environment) as process:
        while len(job.markers()) < 3:
            assert process.poll() is None
        children = psutil.Process(process.pid).children()
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=60)[1] == []
    # What was open then has a mark each, and a later run takes it up.
    assert {told["deaths"] for told in attempts(job).values()} <= {1}
    subprocess.run([sys.executable, "-c", DRIVER, str(job.file)], env=environment, check=True)
    assert len(job.markers()) == 40
    assert attempts(job) == {}


def test_only_small_scenes_of_stores_that_others_see_go_there(tmp_path, package):
    [scene] = build_plan(job_of(tmp_path, package, {"one": (90, 100)}).spec()).scenes
    assert can_help(scene, "/output")
    assert not can_help(scene, "memory://output")
    assert not can_help(replace(scene, uri="memory://scene.tif"), "/output")
    large = replace(scene, header=replace(scene.header, height=1025, width=1024))
    assert not can_help(large, "/output")


def test_a_ledger_of_a_run_counts_what_its_processes_die_of(tmp_path):
    from encdec_batch.commit.attempts import read_attempts
    from encdec_batch.store.open import open_store
    from encdec_batch.stream.ledger import Work, Worker
    from encdec_batch.stream.local_ledger import WitnessedLedger

    ledger, one, two = (
        WitnessedLedger(str(tmp_path), {}, RULES),
        Worker(node="", name="one"),
        Worker(node="", name="two"),
    )
    bad = Work(place=("key", "0-0"), scene_id="bad", stage="predict", mpx=1.0)
    well = Work(place=("other", "0-0"), scene_id="well", stage="predict", mpx=1.0)
    ledger.start(well, one)
    ledger.end(well, 1.0, one)
    for worker in (one, two):
        assert ledger.held([bad, well]) == frozenset()
        assert not ledger.start(bad, worker).held
        ledger.died([bad], worker)
    assert ledger.held([bad, well]) == {bad.place}
    ledger.close()
    told = read_attempts(open_store(str(tmp_path)))
    assert {place: json.loads(said.model_dump_json())["deaths"] for place, said in told.items()} == {bad.place: 2}


def test_no_more_processes_than_memory_and_workers(tmp_path, package):
    plan = build_plan(job_of(tmp_path, package, {"one": (90, 100)}).spec())
    one = process_bytes(plan.recipe)
    assert [num_processes(plan.recipe, 8, memory=2 * one * n) for n in (0, 1, 2, 3, 100)] == [0, 0, 2, 3, 8]
    assert num_processes(plan.recipe, 1, memory=2 * one * 100) == 0


def test_only_many_small_scenes_are_given_processes(tmp_path, package):
    plan = build_plan(job_of(tmp_path, package, {"one": (90, 100)}).spec())
    [scene] = plan.scenes
    assert num_processes_for(plan.recipe, 2, [scene] * AFTER) == 0
    assert num_processes_for(plan.recipe, 2, [scene] * (AFTER + 1)) == num_processes(plan.recipe, 2)
