"""The scripts of cluster/bin, run as they are, with fakes of what they call and ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from cluster.manifests import CLUSTER, ROOT

from encdec_batch.nightly.night import night_of

BIN = CLUSTER / "bin"


def run(*command, env=None, cwd=None):
    environment = {"PATH": os.environ["PATH"], **(env or {})}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def path(tmp_path):
    """A PATH whose `ray` and `python` write down how they are called; what pgrep is to find is one file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, does in {
        "ray": f'echo "$RAY_ADDRESS $*" >> {tmp_path}/called',
        "python": f'echo "$PWD $*" >> {tmp_path}/called',
        # A raylet that is seen twice, and is gone then.
        "pgrep": f"echo . >> {tmp_path}/seen; [ $(wc -l < {tmp_path}/seen) -le 2 ]",
        "sleep": f'echo "$1" >> {tmp_path}/slept',
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_night_runs_from_the_root_with_the_spec_that_is_asked_for(path, tmp_path):
    run(BIN / "nightly", "--shadow", env={"PATH": path}, cwd="/")
    run(BIN / "nightly", env={"PATH": path, "ENCDEC_NIGHTLY_SPEC": "/etc/mine.yaml"}, cwd="/")
    assert (tmp_path / "called").read_text().splitlines() == [
        f"{ROOT} jobs/nightly_retrain.py --spec jobs/nightly.yaml --shadow",
        f"{ROOT} jobs/nightly_retrain.py --spec /etc/mine.yaml",
    ]


def test_a_night_that_is_started_again_keeps_its_name(path, tmp_path):
    state, kept = {"PATH": path, "STATE_DIRECTORY": str(tmp_path)}, tmp_path / "night"

    def named(*more) -> str:
        done = run(BIN / "nightly", *more, env=state)
        assert done.returncode == 0, done.stderr
        return (tmp_path / "called").read_text().splitlines()[-1].partition("nightly.yaml ")[2]

    before, first, after = night_of(time.time()), named(), night_of(time.time())
    assert first in (f"--night {before}", f"--night {after}")
    # It is past noon, and another day.
    kept.write_text("2026-01-02\n")
    assert named() == "--night 2026-01-02"
    assert named("--night", "2026-03-04") == "--night 2026-03-04"
    # Given up a day ago: the timer has come again.
    os.utime(kept, (time.time() - 86_400,) * 2)
    assert named() == f"--night {night_of(time.time())}"


def test_a_drain_waits_until_the_raylet_is_gone(path, tmp_path):
    done = run(BIN / "drain", "100", env={"PATH": path, "RAY_ADDRESS": "head:6379"})
    assert done.returncode == 0, done.stderr
    (called,) = (tmp_path / "called").read_text().splitlines()
    assert called.startswith("head:6379 drain-node --address head:6379 --reason DRAIN_NODE_REASON_PREEMPTION ")
    assert called.endswith(" --deadline-remaining-seconds 100")
    assert len((tmp_path / "slept").read_text().splitlines()) == 2


def test_a_drain_says_what_it_lacks(path):
    assert "SECONDS" in run(BIN / "drain", env={"PATH": path, "RAY_ADDRESS": "head:6379"}).stderr
    done = run(BIN / "drain", "100", env={"PATH": path})
    assert done.returncode
    assert "host:port" in done.stderr


class Metadata(BaseHTTPRequestHandler):
    """EC2's metadata service, IMDSv2 alone; the notice comes with the third question."""

    asked = 0

    def do_PUT(self):
        self._answer(200 if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, b"a-token")

    def do_GET(self):
        if self.headers["X-aws-ec2-metadata-token"] != "a-token":
            self._answer(401)
            return
        Metadata.asked += 1
        there = Metadata.asked >= 3 and self.path == "/latest/meta-data/spot/instance-action"
        self._answer(200 if there else 404, b'{"action": "terminate"}')

    def _answer(self, code, body=b""):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("flock")), reason="curl or flock is not installed")
def test_a_node_that_ec2_takes_back_is_drained(path, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        "PATH": path,
        "RAY_ADDRESS": "head:6379",
        "METADATA": f"http://127.0.0.1:{server.server_port}/latest",
        "WATCH_LOCK": str(tmp_path / "lock"),
        "no_proxy": "127.0.0.1",
    }
    try:
        done = run(BIN / "watch-spot", env=environment)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    assert Metadata.asked == 3
    assert (tmp_path / "slept").read_text().split()[:2] == ["5", "5"]
    assert (tmp_path / "called").read_text().rstrip().endswith("--deadline-remaining-seconds 100")
