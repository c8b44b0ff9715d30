"""How long an item may take, and the end of a process that takes longer."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.stream.deadline import LATE, Timer
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
    armed = []
    timer = Timer(armed.append, clock=lambda: 0.0)
    with timer.within(100):
        with timer.within(50):
            pass
        with timer.within(500):
            pass
    assert armed == pytest.approx([110, 55, 110, None])


def test_the_timer_is_seldom_set():
    """One thing after another, by two threads: it moves only where it would fire too early."""
    armed, times = [], [0.0]
    timer = Timer(armed.append, clock=lambda: times[0])
    ours, theirs = ExitStack(), ExitStack()
    for second in range(1000):
        times[0] = float(second)
        (ours if second % 2 else theirs).close()
        (ours if second % 2 else theirs).enter_context(timer.within(120))
    ours.close()
    theirs.close()
    assert armed.pop() is None
    assert len(armed) < 1000 / 12


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 500), st.integers(0, 60)), max_size=60))
def test_it_never_fires_before_an_end_and_never_long_after_one(steps):
    """Threads begin and end things at any times; the timer ends the process when its time has come."""
    now, fires = [0.0], [math.inf]
    timer = Timer(lambda s: fires.append(math.inf if s is None else now[0] + s), clock=lambda: now[0])
    running = {}
    for thread, seconds, pause in steps:
        if thread in running:
            running.pop(thread)[0].close()
        stack = ExitStack()
        stack.enter_context(timer.within(seconds))
        running[thread] = stack, now[0] + seconds, now[0] + (1 + LATE) * seconds
        if fires[-1] <= now[0] + pause:
            assert any(end <= fires[-1] <= latest + 1e-6 for _, end, latest in running.values())
            return
        now[0] += pause
        assert all(now[0] < latest for _, _, latest in running.values())
    while running:
        running.popitem()[1][0].close()
    assert fires[-1] == math.inf


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
        assert armed[-1] <= 11
        leave.set()
        thread.join(30)
        assert 11 < armed[-1] <= 1100
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
    # Not this one: tests call commands, whose process it is.
    asked = "import encdec_batch.job.run; from encdec_batch.stream import deadline; print(deadline.is_own_process())"
    assert subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout == "False\n"
