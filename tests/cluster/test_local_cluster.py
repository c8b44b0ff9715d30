"""A real cluster of several nodes on this machine: jobs are submitted, cancelled, killed from below, and end right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cluster.place import ROOT, SCENES, Place
from servers import SECRET_VARIABLE
from stream.deaths import attempts, fault

from encdec_batch.submit.follow import STOPPED

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.skipif("ENCDEC_LONG" not in os.environ, reason="takes minutes: `make long`"),
]

STAGES = ("read", "predict", "write", "commit")
APART = {"labels": {"encdec-batch/node": "one"}, "io_labels": {"encdec-batch/node": "two"}, "address": "auto"}
"""Networks on one node, all else on the other."""


def raylet_of(pid: int) -> int:
    """The parent of a worker; 0 for a process that is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def in_flight(place: Place) -> dict[int, int]:
    """Processes that wait in a planted fault, and the raylet of each."""
    return {pid: raylet for pid in place.faults.pids() if (raylet := raylet_of(pid))}


def hold(place: Place, *names: str) -> None:
    """From now on the first block of each of these scenes waits."""
    place.faults.plant(*(fault("predict", SCENES[name], "wait", times=1) for name in names))


def test_a_cancelled_job_leaves_nothing_half_visible_and_goes_on(place):
    job = place.job("cancelled", **APART)
    hold(place, "second")
    sent = place.command("submit", job.file)
    assert sent.returncode == 0, sent.stderr
    first = sent.stdout.strip()
    place.wait_for(first, lambda: bool(in_flight(place)) and bool(job.parts()), what="a block in flight, and a part")
    assert json.loads(place.command("status", first, "--json").stdout)["state"] == "running"
    cancelled = place.command("cancel", first)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"{first}: stopped\n")
    [lease] = job.store.list(".encdec/lease/")
    assert json.loads(job.store.get(lease.path))["ended"] is True
    job.verified()
    followed = place.command("logs", first, "--follow")
    assert followed.returncode == 1
    assert STOPPED in followed.stdout
    assert followed.stderr.splitlines()[-1] == f"{first} stopped", "the log says the rest"

    place.faults.plant(*(fault(stage, shape, "note") for stage in STAGES for shape in SCENES.values()))
    again = place.command("submit", job.file, "--follow", "--id", "once")
    assert (again.returncode, again.stdout) == (0, "once\n"), again.stderr
    assert f"digest  {place.quiet}" in again.stderr
    assert job.verified() == place.quiet
    networks, others = (place.cluster.workers[name].pids["raylet"] for name in ("one", "two"))
    assert {stage: place.faults.raylets(stage) for stage in STAGES} == {
        "read": {others},
        "predict": {networks},
        "write": {others},
        "commit": {others},
    }


def test_what_is_submitted_by_one_id_is_done_once(place):
    """After the test before, whose job is called so."""
    again = place.command("submit", place.job("cancelled", **APART).file, "--id", "once", "--follow")
    assert (again.returncode, again.stdout) == (0, "once\n")
    assert "submitted before" in again.stderr
    other = place.command("submit", place.job("other").file, "--id", "once")
    assert (other.returncode, other.stdout) == (1, "")
    assert "has another job called once (succeeded)" in other.stderr
    assert place.command("cancel", "once").stdout == "once: had ended before (succeeded)\n"


def test_by_rays_own_client(place, tmp_path):
    spec = yaml.safe_load(place.job("cancelled", **APART).file.read_text())
    spec["model"]["package"] = f"file://{place.package}"
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(spec))
    words = ["job", "submit", "--address", place.cluster.address, "--working-dir", str(tmp_path)]
    words += ["--runtime-env-json", json.dumps({"env_vars": {"PYTHONPATH": str(ROOT)}})]
    ended = subprocess.run(
        [
            str(Path(sys.executable).with_name("ray")),
            *words,
            "--",
            "python",
            f"{ROOT}/jobs/infer_archive.py",
            "archive.yaml",
        ],
        env=place.cluster.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert f"digest  {place.quiet}" in ended.stdout


def test_the_jobs_api_shows_no_secret(place):
    told = place.api("/api/jobs/")
    jobs = {job["submission_id"]: job for job in json.loads(told)}
    assert jobs["once"]["metadata"]["encdec_batch.output"] == place.job("cancelled").output_uri
    assert jobs["once"]["entrypoint"] == "python -m encdec_batch.driver spec.yaml"
    assert set(jobs["once"]["runtime_env"]) <= {"working_dir", "env_vars", "_ray_commit"}
    for secret in (os.environ[SECRET_VARIABLE], place.cluster.environment["RAY_AUTH_TOKEN"]):
        assert secret not in told
        assert secret not in place.api("/api/jobs/once/logs")


@pytest.mark.parametrize(
    ("words", "variables", "code", "said"),
    [
        (["logs", "never", "--follow"], {}, 1, "knows no job never"),
        (["cancel", "never"], {}, 1, "knows no job never"),
        (["status", "once"], {"RAY_AUTH_TOKEN": "1" * 64}, 1, "does not take this token"),
    ],
)
def test_what_the_cluster_refuses_is_one_line(place, words, variables, code, said):
    ended = place.command(*words, **variables)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_what_it_can_never_give_is_said_at_once(place):
    job = place.job("impossible", gpus_per_worker=1)
    ended = place.command("submit", job.file, "--follow")
    assert ended.returncode == 2
    assert "a worker with the network wants 0.5 CPU, 1 GPU, and no node of this Ray has that" in ended.stderr
    assert job.markers() == {}


def test_nodes_die_are_drained_and_come_back_in_mid_run(place):
    """The pool grows to four on two nodes, each with blocks in flight; one node is killed and comes back, the other is
    drained; nothing of it is to be seen in what comes out.
    """
    cluster, job = place.cluster, place.job("shaken")
    one, two = cluster.workers["one"], cluster.workers["two"]
    hold(place, *SCENES)
    sent = place.command("submit", job.file)
    assert sent.returncode == 0, sent.stderr
    name = sent.stdout.strip()
    place.wait_for(name, lambda: len(in_flight(place)) == len(SCENES), what="a block of each scene in flight")
    assert set(in_flight(place).values()) == {one.pids["raylet"], two.pids["raylet"]}

    one.kill_raylet()
    place.wait_for(name, lambda: len(set(in_flight(place).values())) == 1, what="the end of its workers")
    cluster.add("one")
    drained = next(
        node["node_id"]
        for node in json.loads(place.api("/api/v0/nodes?detail=1"))["data"]["result"]["result"]
        if (node.get("labels") or {}).get("encdec-batch/node") == "two"
    )
    place.faults.go_on()
    cluster.take_back(two, drained, 5)
    followed = place.command("logs", name, "--follow")
    assert followed.returncode == 0, followed.stdout
    assert "4 scenes done (4 by this run), 0 set aside" in followed.stdout
    assert job.verified() == place.quiet
    assert attempts(job) == {}
