"""What stands round a stage: the ledger is told, the process has a deadline, and what is held keeps its place."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from encdec_batch.job.plan import build_plan
from encdec_batch.pipeline import Read
from encdec_batch.plan.item import WorkItem, work_items
from encdec_batch.stream.guard import Alone, Guard
from encdec_batch.stream.ledger import Start, Work
from encdec_batch.stream.rules import Rules

RULES = Rules()
WORK = Work(place=("key", "0-0"), scene_id="scene", stage="predict", mpx=2.0)


@dataclass
class ToldLedger:
    """Remembers what it is told; holds what it is given to hold."""

    holds: frozenset[str] = frozenset()
    pace: float | None = None
    open: list[Work] = field(default_factory=list)
    ended: list[Work] = field(default_factory=list)

    def held(self, works):
        return frozenset(work.place for work in works if work.place[1] in self.holds)

    def start(self, work):
        if work.place[1] in self.holds:
            return Start(held=True)
        self.open.append(work)
        return Start(held=False, pace=self.pace)

    def end(self, work, seconds):
        assert seconds >= 0
        self.open.remove(work)
        self.ended.append(work)


class ToldTimer:
    def __init__(self):
        self.seconds = []

    @contextmanager
    def within(self, seconds):
        self.seconds.append(seconds)
        yield


def test_what_ends_is_told_well_or_not():
    ledger = ToldLedger()
    guard = Guard(ledger, RULES, None)
    with guard.doing(WORK) as may:
        assert may
        assert ledger.open == [WORK]
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), guard.doing(WORK):
            raise error
    assert (ledger.open, len(ledger.ended)) == ([], 3)


def test_what_ends_the_process_stays_open():
    """`sys.exit` in a stage ends a worker as surely as a crash."""
    ledger = ToldLedger()
    with pytest.raises(SystemExit), Guard(ledger, RULES, None).doing(WORK):
        raise SystemExit(4)
    assert (ledger.open, ledger.ended) == ([WORK], [])


def test_what_is_held_is_not_begun():
    ledger, timer = ToldLedger(holds=frozenset({"0-0"})), ToldTimer()
    with Guard(ledger, RULES, timer).doing(WORK) as may:
        assert not may
    assert (ledger.open, ledger.ended, timer.seconds) == ([], [], [])


def test_the_first_of_a_thread_has_longer():
    ledger, timer = ToldLedger(pace=20.0), ToldTimer()
    guard = Guard(ledger, RULES, timer)

    def two():
        for _ in range(2):
            with guard.doing(WORK):
                pass

    for _ in range(2):
        thread = threading.Thread(target=two)
        thread.start()
        thread.join(60)
    assert timer.seconds == [902.0, 400.0] * 2


@pytest.fixture
def plan(job):
    return build_plan(job.spec())


def scene_of(plan, scene_id):
    [scene] = [scene for scene in plan.scenes if scene.scene_id == scene_id]
    return scene


def read(plan, scene_id, ledger):
    """What is read of a scene, in its order."""
    guard = Guard(ledger, RULES, None)
    values = [value for item in work_items([scene_of(plan, scene_id)]) for value in guard.read(plan.recipe, item)]
    assert all(isinstance(value, Read | Alone) for value in values)
    return values


def names(values):
    """Of blocks and check windows, those that are held with `alone` before."""
    return [value.block.name if isinstance(value, Read) else f"alone {value.name}" for value in values]


@pytest.mark.integration
def test_what_is_held_keeps_its_place(plan):
    checks = scene_of(plan, "large").checks.names
    every = [*(f"{row}-{col}" for row in range(3) for col in range(3)), *checks]
    assert len(checks) >= 4
    assert names(read(plan, "large", ToldLedger())) == every
    held = {"0-0", "1-1", "2-1", "2-2", checks[1]}
    ledger = ToldLedger(holds=frozenset(held))
    assert names(read(plan, "large", ledger)) == [f"alone {name}" if name in held else name for name in every]
    assert ledger.open == []
    assert {work.place[1] for work in ledger.ended} == set(every) - held


@pytest.mark.integration
def test_what_is_held_takes_along_all_that_is_needed_to_do_it_alone(plan):
    """Read by itself, it is what it would have been among the others."""
    for scene_id in (scene.scene_id for scene in plan.scenes):
        together = read(plan, scene_id, ToldLedger())
        apart = read(plan, scene_id, ToldLedger(holds=frozenset(names(together))))
        for value, alone in zip(together, apart, strict=True):
            [again] = Guard(ToldLedger(), RULES, None).read(plan.recipe, WorkItem(pieces=(alone.piece,)))
            assert (again.block.name, again.check) == (value.block.name, value.check)
            np.testing.assert_array_equal(again.patch.pixels, value.patch.pixels)
            assert len(again.checks) == len(value.checks)


@pytest.mark.integration
def test_neither_check_windows_nor_the_end_of_a_reader_measure_its_pace(plan):
    ledger = ToldLedger()
    read(plan, "tall", ledger)
    checks = len(scene_of(plan, "tall").checks.windows)
    assert checks
    assert [work.mpx > 0 for work in ledger.ended] == [True, False, True, False, *[False] * (checks + 1)]
