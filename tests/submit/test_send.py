"""One id is done once, and goes on where it died; whoever submits knows the id before the cluster does."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
import yaml
from e2e.made import command
from submit.jobs_server import DROP, LOSE, TOKEN
from submit.test_spec import ARCHIVE

from encdec_batch.errors import ClusterSilent, SubmitError
from encdec_batch.submit.cluster import Cluster
from encdec_batch.submit.dashboard import Dashboard
from encdec_batch.submit.parcel import make_parcel
from encdec_batch.submit.send import send, turn_of
from encdec_batch.submit.spec import ClusterSpec

SPEC = ClusterSpec(kind="archive", text=b"source: {}\n", output_uri="s3://a/out", package=None)
PARCEL = make_parcel(SPEC, wheel="none")


@pytest.fixture
def cluster(server):
    return Cluster(Dashboard(address=server.address, token=TOKEN, within_s=0.3))


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(ARCHIVE))
    return path


@pytest.fixture
def submit(server, spec):
    return lambda *words: command("submit", spec, "--address", server.address, "--wheel", "none", *words)


def test_a_job_is_what_the_parcel_says(server, cluster):
    assert send(cluster, PARCEL, "a") is None
    job = server.jobs["a"]
    assert job["entrypoint"] == "python -m encdec_batch.driver spec.yaml"
    assert job["metadata"] == dict(PARCEL.metadata)
    assert job["runtime_env"]["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "30"}
    sent = server.packages[job["runtime_env"]["working_dir"].removeprefix("gcs://")]
    with zipfile.ZipFile(io.BytesIO(sent)) as folder:
        assert {name: folder.read(name) for name in folder.namelist()} == dict(PARCEL.files)


def test_what_the_cluster_has_is_not_uploaded_twice(server, cluster):
    send(cluster, PARCEL, "a")
    send(cluster, PARCEL, "b")
    assert sum(request.startswith("PUT") for request in server.asked) == 1


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "SUCCEEDED"])
def test_an_id_that_lives_or_is_done_is_not_done_again(server, cluster, state):
    server.add("a", state, metadata=dict(PARCEL.metadata))
    turn = turn_of(cluster, PARCEL, "a")
    assert turn.job
    assert (turn.submission_id, turn.job.state) == ("a", state.lower())


@pytest.mark.parametrize("state", ["FAILED", "STOPPED"])
def test_an_id_that_died_has_another_turn(server, cluster, state):
    for name in ("a", "a.2"):
        server.add(name, state, metadata=dict(PARCEL.metadata))
    turn = turn_of(cluster, PARCEL, "a")
    assert (turn.submission_id, turn.job) == ("a.3", None)
    send(cluster, PARCEL, turn.submission_id)
    again = turn_of(cluster, PARCEL, "a")
    assert again.job
    assert (again.submission_id, again.job.state) == ("a.3", "pending")


def test_an_id_of_other_contents_is_refused(server, cluster):
    server.add("a", "FAILED", metadata={"encdec_batch.digest": "0" * 64})
    with pytest.raises(SubmitError, match=r"has another job called a \(failed\)"):
        turn_of(cluster, PARCEL, "a")


def test_of_two_that_send_at_once_one_is_told_that_the_job_is_there(server, cluster):
    server.add("a", "RUNNING", metadata=dict(PARCEL.metadata))
    there = send(cluster, PARCEL, "a")
    assert there
    assert there.state == "running"


def test_an_answer_that_is_lost_may_have_been_a_yes(server, cluster):
    server.fail("POST /api/jobs/", LOSE)
    with pytest.raises(ClusterSilent, match="may have been taken; encdec-batch status a --address http") as raised:
        send(cluster, PARCEL, "a")
    assert server.address in str(raised.value)
    assert "a" in server.jobs
    server.fail(f"PUT /api/packages/gcs/_ray_pkg_{PARCEL.digest[:40]}.zip", DROP)
    server.packages.clear()
    with pytest.raises(ClusterSilent) as raised:
        send(cluster, PARCEL, "b")
    assert "taken" not in str(raised.value)


def test_the_id_is_said_before_anything_is_sent(server, submit):
    server.fail("POST /api/jobs/", LOSE)
    ended = submit()
    assert ended.code == 1
    assert ended.stdout.split() == list(server.jobs)
    assert ended.stdout.strip() in ended.stderr


def test_submitted_again_by_its_id_a_job_says_its_state_and_ends_with_its_code(server, submit):
    first = submit("--id", "tonight")
    assert (first.code, first.stdout, first.stderr) == (0, "tonight\n", "")
    again = submit("--id", "tonight")
    assert (again.code, again.stdout) == (0, "tonight\n")
    assert "tonight: submitted before (pending); nothing was sent" in again.stderr
    server.ends("tonight", log="exit code 3\n")()
    done = submit("--id", "tonight")
    assert (done.code, done.stdout) == (3, "tonight\n")
    assert "(succeeded)" in done.stderr


def test_a_night_that_died_goes_on_by_the_same_id(server, submit):
    submit("--id", "tonight")
    server.ends("tonight", "FAILED", driver_exit_code=1)()
    server.acts.append(["went on\n", server.ends("tonight.2", log="exit code 0\n")])
    again = submit("--id", "tonight", "--follow")
    assert (again.code, again.stdout) == (0, "tonight.2\n")
    assert "went on" in again.stderr


def test_one_submission_followed_shown_and_cancelled(server, submit):
    name = submit().stdout.strip()
    address = ("--address", server.address)
    told = json.loads(command("status", name, *address, "--json").stdout)
    assert (told["state"], told["output"]) == ("pending", "s3://archive/masks")
    assert command("cancel", name, *address).stdout == f"{name}: stopped\n"
    server.logs[name] = "said\n"
    assert command("logs", name, *address).stdout == "said\n"
    followed = command("logs", name, *address, "--follow")
    assert (followed.code, followed.stdout) == (1, "said\n")
    assert followed.stderr.startswith(f"{name}: had stopped, exit code 1; its log:\n")
    assert f"{name} stopped: cancelled" in followed.stderr
    assert command("logs", "never", *address).code == 1


@pytest.mark.parametrize(
    ("state", "more", "said"),
    [
        ("PENDING", {"message": "Job has not started yet. It may wait."}, "a: not begun yet: It may wait."),
        ("RUNNING", {}, "a: running, and has said nothing yet"),
        ("FAILED", {"message": "no node", "error_type": "START"}, "a: failed, and left no log: START no node"),
    ],
)
def test_where_there_is_no_log_the_state_is_said(server, state, more, said):
    server.add("a", state, **more)
    ended = command("logs", "a", "--address", server.address)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", f"{said}\n")
