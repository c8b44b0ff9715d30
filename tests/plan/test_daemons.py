"""A thread that hangs keeps neither who closes its pool nor the interpreter."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from encdec_batch.plan.daemons import DaemonPool

HUNG = """
import threading
from encdec_batch.plan.daemons import DaemonPool

pool, begun = DaemonPool(1, "hung"), threading.Event()

def hang():
    begun.set()
    threading.Event().wait()

pool.submit(hang)
begun.wait()
pool.close(0.0)
print("closed")
"""


def test_results_and_errors_come_to_who_takes():
    pool, before = DaemonPool(3, "some"), set(threading.enumerate())
    futures = [pool.submit(lambda n=n: 10 // n) for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        futures[0].result()
    assert [future.result() for future in futures[1:]] == [10 // n for n in range(1, 20)]
    assert len(set(threading.enumerate()) - before) <= 3
    pool.close(60.0)
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(int)


def test_closed_it_waits_for_what_is_begun_and_cancels_the_rest():
    pool, begun, gate = DaemonPool(1, "one"), threading.Event(), threading.Event()

    def first():
        begun.set()
        gate.wait()
        return 1

    one, two = pool.submit(first), pool.submit(int)
    begun.wait()
    pool.close(0.0)
    assert two.cancelled()
    gate.set()
    pool.close(60.0)
    assert one.result(0) == 1


def test_a_hung_one_does_not_keep_the_interpreter():
    ended = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "closed\n"
