"""A log that is read again from its start is shown once; how a job ended is said as `run` would."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from submit.jobs_server import DROP, HANG, TOKEN

from encdec_batch.errors import ClusterSilent, SubmitError
from encdec_batch.submit import follow as following
from encdec_batch.submit.cluster import Cluster
from encdec_batch.submit.dashboard import Dashboard
from encdec_batch.submit.follow import STOPPED, Log, ended, exit_code_in, follow
from encdec_batch.submit.job import Job

TEXT = st.text(alphabet="ab\n", max_size=40)


@given(text=TEXT, data=st.data())
def test_a_log_is_shown_once_however_often_its_connection_breaks(text, data):
    shown = []
    log = Log(shown.append)
    for _ in range(data.draw(st.integers(0, 4))):
        log.begin()
        read, end = 0, data.draw(st.integers(0, len(text)))
        while read < end:
            piece = data.draw(st.integers(1, end - read))
            log.add(text[read : read + piece])
            read += piece
    log.begin()
    log.add(text)
    assert "".join(shown) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [("a\nexit code 3\n", 3), ("exit code 0\n", 0), ("exit code 3\nexit code 0\n", 0), ("said exit code 3\n", None)],
)
def test_the_driver_says_last_what_run_would_end_with(text, code):
    log = Log(lambda text: None)
    for letter in text:
        log.add(letter)
    assert exit_code_in(text) == code
    assert log.end(info("succeeded", code=0)).exit_code == (code or 0)


def info(state: str, *, code: int | None = None, message: str = "", error_type: str = "") -> Job:
    return Job(submission_id="a", state=state, driver_exit_code=code, message=message, error_type=error_type)


@pytest.mark.parametrize(
    ("given_info", "said", "code", "why"),
    [
        (info("succeeded", code=0), 0, 0, ""),
        (info("succeeded", code=0), 3, 3, ""),
        (info("succeeded", code=0), None, 0, ""),
        (info("stopped"), None, 1, "cancelled"),
        (info("failed", code=2, message="x\nerror: source.uri is wrong\nexit code 2\n"), 2, 2, "source.uri is wrong"),
        (
            info("failed", code=1, message="No module named encdec_batch.driver"),
            None,
            1,
            "the nodes have no encdec-batch",
        ),
        (info("failed", code=127, message="sh: 1: python: not found"), None, 1, "not that of an image of ours"),
        (info("failed", code=-9, message="killed", error_type="JOB_X"), None, 1, "JOB_X killed"),
        (info("failed", message="gone", error_type="JOB_SUPERVISOR_ACTOR_DIED"), None, 1, "SUPERVISOR_ACTOR_DIED gone"),
    ],
)
def test_how_a_job_ended(given_info, said, code, why):
    made = ended(given_info, said)
    assert made.exit_code == code
    assert why in made.message
    assert bool(made.message) == bool(why)


class Followed:
    """A job of this server, followed with little patience."""

    def __init__(self, server):
        self.shown, self.told = [], []
        self._cluster = Cluster(Dashboard(address=server.address, token=TOKEN, within_s=0.3))

    def to_its_end(self, name: str = "a", *, whole: bool = False):
        return follow(self._cluster, name, self.shown.append, tell=self.told.append, whole=whole, pauses=(0.01, 0.01))


def test_a_log_is_followed_to_its_end(server):
    server.add("a", log="one\n")
    server.acts.append(["two\n", server.ends("a", log="exit code 3\n")])
    followed = Followed(server)
    assert followed.to_its_end().exit_code == 3
    assert "".join(followed.shown) == "one\ntwo\nexit code 3\n"
    assert followed.told == []


def test_connections_may_break_as_often_as_they_like_while_the_log_grows(server):
    """More often than a silent cluster is asked."""
    server.add("a")
    lines = [f"{number}\n" for number in range(6)]
    server.acts.extend([line, DROP] for line in lines)
    server.acts.append([server.ends("a")])
    for request in ("GET /api/jobs/a", "GET /api/jobs/a/logs"):
        server.fail(request, DROP, 502)
    followed = Followed(server)
    assert followed.to_its_end().exit_code == 0
    assert "".join(followed.shown) == "".join(lines)


def test_a_cluster_that_stays_silent_is_given_up(server):
    server.add("a")
    server.fail("GET /api/jobs/a", DROP, HANG, 503)
    followed = Followed(server)
    with pytest.raises(ClusterSilent, match=r"a is no longer followed: .*HTTP status 503.*the job may go on"):
        followed.to_its_end()
    assert len(followed.told) == 1


def test_a_job_that_the_cluster_has_forgotten_is_said_at_once(server):
    with pytest.raises(SubmitError, match="knows no job a"):
        Followed(server).to_its_end()
    assert server.asked == ["GET /api/jobs/a"]


def test_a_silent_log_is_no_silent_cluster(server, monkeypatch):
    """And what a job waits for is said once, however long it does."""
    monkeypatch.setattr(following, "_SILENCE_S", 0.05)
    server.add("a", "PENDING", message="no CPU\nis free")
    server.acts.extend([[HANG]] * 4)
    server.acts.append(["ran\n", server.ends("a")])
    followed = Followed(server)
    assert followed.to_its_end().exit_code == 0
    assert followed.told == ["a: not begun yet: no CPU is free"]


def test_of_a_job_that_had_ended_the_last_lines_are_shown_and_it_is_said(server):
    lines = [f"{number}\n" for number in range(1, 3000)]
    server.add("a", "SUCCEEDED", log="".join(lines) + "exit code 3\n", end_time=1_764_000_000_000)
    followed = Followed(server)
    assert followed.to_its_end().exit_code == 3
    assert "".join(followed.shown).split("\n")[:2] == ["2981", "2982"]
    [told] = followed.told
    assert told.startswith("a: had succeeded at 2025-11-24T16:00:00Z, exit code 3; the last 20 of 3,000 lines (")
    assert f"`encdec-batch logs a --address {server.address}`" in told
    server.add("b", "FAILED", log="few\n")
    followed.to_its_end("b")
    assert followed.told[1:] == ["b: had failed, exit code 1; its log:"]
    assert followed.shown[-1] == "few\n"


def test_all_is_shown_of_a_job_that_ended_as_soon_as_it_was_submitted(server):
    log = "".join(f"{number}\n" for number in range(100))
    server.add("a", "SUCCEEDED", log=log)
    followed = Followed(server)
    followed.to_its_end(whole=True)
    assert ("".join(followed.shown), followed.told) == (log, [])


@pytest.mark.parametrize(
    ("status", "log", "more", "why"),
    [
        ("FAILED", "error: no such model\nexit code 2\n", {"message": "log:\nerror: no such model\nexit code 2\n"}, ""),
        ("FAILED", "killed\n", {"message": "out of memory", "error_type": "OOM"}, "OOM out of memory"),
        ("STOPPED", f"{STOPPED}\nexit code 1\n", {}, ""),
        ("STOPPED", "", {}, "cancelled; submitted again it goes on where it was"),
    ],
)
def test_what_a_log_has_said_is_not_said_again(server, status, log, more, why):
    server.add("a")
    server.acts.append([server.ends("a", status, log=log, **more)])
    assert Followed(server).to_its_end().message == why


def test_rays_own_words_for_a_job_that_waits_are_said_once():
    message = "Job has not started yet. It may be waiting for resources."
    assert info("pending", message=message).reason == "It may be waiting for resources."
    assert info("pending", message="Job has not started yet.").reason == ""
