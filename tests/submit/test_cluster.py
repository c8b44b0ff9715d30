"""What is not the cluster it should be, or does not let us in: said in one line, within seconds."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from contextlib import contextmanager
from importlib.metadata import version

import pytest
from e2e.made import command

from encdec_batch.errors import SpecError, SubmitError
from encdec_batch.submit.cluster import check_id, connect
from encdec_batch.submit.token import use_token

RAY = version("ray")


@contextmanager
def answering(status: int, body: bytes):
    """A server that says one thing to whoever asks, and keeps what it was asked."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def token(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)


@pytest.mark.parametrize(
    "address", ["head:8265", "ray://head:10001", "auto", "", "http://", "http://me:secret@head:8265"]
)
def test_what_is_no_address(address):
    with pytest.raises(SpecError, match="not the address"):
        connect(address)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, json.dumps({"ray_version": "2.59.0"}).encode(), f"runs Ray 2.59.0, this machine has {RAY}"),
        (200, b"<html>", "says no version"),
        (200, b"[]", "says no version"),
        (404, b"", "HTTP status 404"),
        (401, b"", "does not take this token"),
        (403, b"", "does not take this token"),
    ],
)
def test_what_is_no_cluster_of_ours(status, body, said):
    with answering(status, body) as (address, asked):
        with pytest.raises(SubmitError) as raised:
            connect(f"{address}/")
        assert said in str(raised.value)
        assert address in str(raised.value)
        assert asked == [("/api/version", f"Bearer {'0' * 64}")]


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SubmitError, match="no cluster answers at http"):
        connect(f"http://127.0.0.1:{port}")
    with pytest.raises(SubmitError, match="no cluster answers"):
        connect("http://nowhere.invalid:8265")


def test_the_address_that_was_given_counts_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:2")
    with answering(200, json.dumps({"ray_version": RAY}).encode()) as (address, asked):
        assert connect(address).get_address() == address
        assert asked


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
    assert use_token() == {"Authorization": "Bearer home"}
    (tmp_path / "named").write_text("named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "named"))
    assert use_token() == {"Authorization": "Bearer named"}
    monkeypatch.setenv("RAY_AUTH_TOKEN", "said")
    assert use_token() == {"Authorization": "Bearer said"}
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert use_token() == {}


@pytest.mark.parametrize("wrong", ["", "a/b", "../x", "-x", "a b", "x" * 101, "näh"])
def test_what_is_no_id(wrong):
    with pytest.raises(SpecError, match="no id of a job"):
        check_id(wrong)


def test_an_error_is_one_line_and_tells_apart_what_was_asked_wrongly():
    wrong = command("cancel", "x", "--address", "head:8265")
    nobody = command("logs", "x", "--address", "http://127.0.0.1:1")
    assert (wrong.code, nobody.code) == (2, 1)
    assert [len(ended.stderr.splitlines()) for ended in (wrong, nobody)] == [1, 1]
