"""What a cluster started is found and ended, however whoever started it dies; a start that Ray gave up is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from jobs_made import wait_until

from tools import ray_cluster
from tools.ray_cluster import MARK, end_all, processes_of

MINE, OTHER = uuid.uuid4().hex, uuid.uuid4().hex
SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


def start(mark: str, *words: str) -> subprocess.Popen:
    return subprocess.Popen(words or SLEEPS, env={**os.environ, MARK: mark}, start_new_session=True)


def test_all_that_has_the_mark_is_ended_and_what_that_started():
    # The second of them begins anew, without the mark.
    renamed = f"import os, subprocess; del os.environ['{MARK}']; subprocess.run({SLEEPS!r})"
    mine = [start(MINE), start(MINE, sys.executable, "-c", renamed)]
    other = start(OTHER)
    try:
        wait_until(lambda: len(processes_of(MINE)) == 3, what="all of them")
        end_all(MINE)
        assert [process.wait(10) for process in mine] == [-signal.SIGKILL] * 2
        assert processes_of(MINE) == []
        assert processes_of(OTHER) == [other.pid]
    finally:
        other.kill()
        other.wait()


def test_a_cluster_ends_with_whoever_started_it(tmp_path):
    process = start(MINE)
    folder = tmp_path / "cluster"
    folder.mkdir()
    words = [sys.executable, str(Path(ray_cluster.__file__)), MINE, str(folder)]
    watcher = subprocess.Popen(words, stdin=subprocess.PIPE)
    assert process.poll() is None
    watcher.stdin.close()
    assert watcher.wait(30) == 0
    assert process.wait(10) == -signal.SIGKILL
    assert not folder.exists()


@pytest.fixture
def ray(tmp_path, monkeypatch):
    """Makes a stand-in for `ray` whose starts end with these lines, one after the other; the last goes on for ever."""

    def make(*lines: str) -> Path:
        starts = tmp_path / "starts"
        starts.write_text("")
        said = "\n".join(f"{number}) {line};;" for number, line in enumerate(lines, 1))
        script = tmp_path / "ray"
        script.write_text(f'#!/bin/sh\necho "$@" >> {starts}\ncase $(wc -l < {starts}) in\n{said}\nesac\n')
        script.chmod(0o755)
        monkeypatch.setattr(ray_cluster, "_ray", lambda: str(script))
        return starts

    return make


TOO_SLOW = "sleep 600 & echo 'Traceback\nException: The current node timed out during startup. This could'; exit 1"


def test_a_start_that_was_too_slow_for_ray_is_repeated_and_leaves_nothing(ray, capsys, monkeypatch):
    starts = ray(TOO_SLOW, TOO_SLOW, "echo Ray runtime started; sleep 600")
    monkeypatch.setattr(ray_cluster, "_answers", lambda _: True)
    with ray_cluster.ray_cluster() as cluster:
        assert len(starts.read_text().splitlines()) == 3
        # The third, and what it sleeps by.
        assert len(processes_of(cluster.environment[MARK])) == 2
    assert processes_of(cluster.environment[MARK]) == []
    assert "(try 2 of 3)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (TOO_SLOW, "error: head: not up in the time that Ray gives it, 3 times, at a load of "),
        ("echo Traceback; echo; echo 'ValueError: no such flag'; exit 1", "error: head: `ray start` ended: ValueError"),
    ],
)
def test_a_cluster_that_does_not_start_is_said_in_one_line(ray, last, said):
    ray(TOO_SLOW, TOO_SLOW, last)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            ray_cluster.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert str(ended.value).startswith(said)
    assert "\n" not in str(ended.value).partition("\nthe end of its log:")[0]
