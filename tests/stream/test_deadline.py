"""How long an item may take, and the end of a process that takes longer."""

from __future__ import annotations

import subprocess
import sys
import threading
from itertools import count

import pytest

from encdec_batch.stream import deadline
from encdec_batch.stream.deadline import Timer
from encdec_batch.stream.rules import Rules

RULES = Rules()


@pytest.mark.parametrize(
    ("stage", "mpx", "pace", "first", "seconds"),
    [
        ("predict", 4.0, None, True, 904.0),
        ("predict", 4.0, None, False, 904.0),
        ("predict", 4.0, 0.5, False, 120.0),
        ("predict", 4.0, 5.0, False, 200.0),
        ("predict", 4.0, 5.0, True, 904.0),
        ("predict", 400.0, 5.0, True, 20_000.0),
        ("read", 4.0, 0.5, False, 900.0),
        ("commit", 10_000.0, None, True, 10_900.0),
        ("commit", 10_000.0, 0.02, False, 2000.0),
    ],
)
def test_how_long_an_item_may_take(stage, mpx, pace, first, seconds):
    assert RULES.deadline_s(stage, mpx, pace=pace, first=first) == seconds


def test_the_timer_is_set_to_the_earliest_end():
    armed, clock = [], count()
    timer = Timer(armed.append, clock=lambda: float(next(clock)))
    with timer.within(100):
        with timer.within(50):
            pass
        with timer.within(500):
            pass
    # Each look at the clock takes a second here.
    assert armed == [100 - 1, 50 - 1, 100 - 4, 100 - 6, 100 - 7, None]


def test_what_is_late_fires_at_once():
    armed, times = [], iter([0.0, 0.0, 10.0, 10.0, 10.0, 10.0])
    timer = Timer(armed.append, clock=lambda: next(times))
    with timer.within(5), timer.within(100):
        pass
    assert 0 < armed[1] < 0.01


def test_an_error_takes_its_deadline_along():
    armed = []
    timer = Timer(armed.append)
    with pytest.raises(KeyError), timer.within(5):
        raise KeyError
    assert armed[-1] is None


def test_threads_have_ends_of_their_own():
    armed = []
    timer, inside, leave = Timer(armed.append), threading.Event(), threading.Event()

    def short():
        with timer.within(10):
            inside.set()
            assert leave.wait(30)

    thread = threading.Thread(target=short)
    thread.start()
    assert inside.wait(30)
    with timer.within(1000):
        assert armed[-1] <= 10
        leave.set()
        thread.join(30)
        assert 10 < armed[-1] <= 1000
    assert armed[-1] is None


HANGS = {
    "sleeps": "time.sleep(60)",
    # A call through PyDLL keeps the interpreter's lock: no thread of Python's gets to run.
    "holds_the_lock": "ctypes.PyDLL(None).sleep(60)",
}


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_process_that_hangs_is_ended(hang):
    code = f"import ctypes, time\nfrom encdec_batch.stream.deadline import PROCESS\nwith PROCESS.within(0.1): {hang}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_a_process_that_imports_us_is_not_ours_to_end():
    assert not deadline.is_own_process()
