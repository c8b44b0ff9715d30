"""What a cluster started is found and ended, however whoever started it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

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
