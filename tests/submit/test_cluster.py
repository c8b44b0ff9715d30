"""What is not the cluster it should be, does not let us in, or does not answer: said in one line, within seconds."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
from contextlib import contextmanager
from importlib.metadata import version

import pytest
from e2e.made import command
from servers import serving
from submit.jobs_server import DROP, HANG, TOKEN, jobs_server

from encdec_batch.errors import ClusterSilent, SpecError, SubmitError
from encdec_batch.submit.cancel import cancel
from encdec_batch.submit.cluster import Cluster, check_id, connect
from encdec_batch.submit.dashboard import Dashboard
from encdec_batch.submit.token import find_token

RAY = version("ray")


@contextmanager
def answering(body: bytes):
    """A server that says one thing to whoever asks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with serving(Handler) as address:
        yield address


def impatient(server) -> Cluster:
    return Cluster(Dashboard(address=server.address, token=TOKEN, within_s=0.3))


@pytest.mark.parametrize(
    "address", ["head:8265", "ray://head:10001", "auto", "", "http://", "http://me:secret@head:8265"]
)
def test_what_is_no_address(address):
    with pytest.raises(SpecError, match="not the address"):
        connect(address)


def test_a_cluster_of_ours(server):
    assert connect(f"{server.address}/").address == server.address
    assert (server.asked, server.tokens) == (["GET /api/version"], [f"Bearer {TOKEN}"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps({"ray_version": "2.59.0"}).encode(), f"runs Ray 2.59.0, this machine has {RAY}"),
        (b"<html>", "says no version"),
        (b"[]", "says no version"),
    ],
)
def test_what_is_no_cluster_of_ours(body, said):
    with answering(body) as address, pytest.raises(SubmitError) as raised:
        connect(address)
    assert said in str(raised.value)
    assert address in str(raised.value)


def test_what_is_no_dashboard(server):
    server.fail("GET /api/version", 404)
    with pytest.raises(SubmitError, match="is no Ray dashboard with a Jobs API: HTTP status 404"):
        connect(server.address)


def test_a_token_that_is_not_taken_and_one_that_is_not_sent(server, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1" * 64)
    with pytest.raises(SubmitError, match="does not take this token"):
        connect(server.address)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(SubmitError, match="wants a token, and none was sent"):
        connect(server.address)
    assert server.tokens == [f"Bearer {'1' * 64}", None]


def test_a_token_goes_to_no_other_address(server):
    with jobs_server() as other:
        server.fail("GET /api/version", f"{other.address}/api/version")
        with pytest.raises(SubmitError, match=r"sends to another address \(HTTP status 307\)"):
            connect(server.address)
        assert other.asked == []


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterSilent, match="no cluster answers at http"):
        connect(f"http://127.0.0.1:{port}")
    with pytest.raises(ClusterSilent, match="no cluster answers"):
        connect("http://nowhere.invalid:8265")


def test_the_address_that_was_given_counts_whatever_the_environment_says(server, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
    server.add("a")
    assert connect(server.address).job("a").state == "running"


@pytest.mark.parametrize("fault", [HANG, DROP, 500, 503])
def test_no_question_waits_for_ever_and_silence_is_told_from_refusal(server, fault):
    server.add("a")
    cluster = impatient(server)
    questions = {
        "GET /api/jobs/a": lambda: cluster.job("a"),
        "GET /api/jobs/a/logs": lambda: cluster.log("a"),
        "POST /api/jobs/a/stop": lambda: cluster.stop("a"),
        "PUT /api/packages/gcs/_ray_pkg_x.zip": lambda: cluster.upload("x", b"zip"),
    }
    for request, ask in questions.items():
        server.fail(request, fault)
        with pytest.raises(ClusterSilent) as raised:
            ask()
        assert server.address in str(raised.value)
        assert "Traceback" not in str(raised.value)


def test_a_connection_of_a_log_that_breaks_is_silence(server):
    async def read(name):
        return [piece async for piece in impatient(server).tail(name)]

    server.add("a", log="one\n")
    with pytest.raises(ClusterSilent):
        asyncio.run(read("never"))
    server.acts.append(["two\n"])
    assert asyncio.run(read("a")) == ["one\n", "two\n"]


def test_what_is_refused_is_no_silence(server):
    server.fail("POST /api/jobs/a/stop", 400)
    with pytest.raises(SubmitError, match="HTTP status 400: OSError: broken") as raised:
        impatient(server).stop("a")
    assert not isinstance(raised.value, ClusterSilent)
    with pytest.raises(SubmitError, match="knows no job never"):
        impatient(server).job("never")


def test_a_cancelled_job_is_waited_for(server):
    server.add("a")
    job, was_running = cancel(impatient(server), "a")
    assert (job.state, was_running) == ("stopped", True)
    assert "POST /api/jobs/a/stop" in server.asked
    job, was_running = cancel(impatient(server), "a")
    assert (job.state, was_running) == ("stopped", False)


def test_no_token(monkeypatch):
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(SubmitError, match="no token for the cluster is here; set RAY_AUTH_TOKEN"):
        connect("http://127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere/token")
    with pytest.raises(SubmitError, match="/nowhere/token, cannot be read"):
        connect("http://127.0.0.1:1")


def test_where_a_token_is_found(monkeypatch, tmp_path):
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("home\n")
    assert find_token() == "home"
    (tmp_path / "named").write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert find_token() == "named"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "said\r\n")
    assert find_token() == "said"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert find_token() == ""


@pytest.mark.parametrize("wrong", ["a\rb", "a\nb", "a b", "ä", "a\x7fb"])
def test_what_is_no_token(monkeypatch, wrong):
    monkeypatch.setenv("RAY_AUTH_TOKEN", wrong)
    with pytest.raises(SubmitError, match="RAY_AUTH_TOKEN holds no token") as raised:
        find_token()
    assert wrong not in str(raised.value)


@pytest.mark.parametrize("wrong", ["", "a/b", "../x", "-x", "a b", "x" * 101, "näh"])
def test_what_is_no_id(wrong):
    with pytest.raises(SpecError, match="no id of a job"):
        check_id(wrong)


def test_an_error_is_one_line_and_tells_apart_what_was_asked_wrongly():
    wrong = command("cancel", "x", "--address", "head:8265")
    nobody = command("logs", "x", "--address", "http://127.0.0.1:1")
    assert (wrong.code, nobody.code) == (2, 1)
    assert [len(ended.stderr.splitlines()) for ended in (wrong, nobody)] == [1, 1]
