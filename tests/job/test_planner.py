"""A bounded number of blocks is planned before they are asked for, and nothing is lost between two threads."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan.recipes import scene

from encdec_batch.errors import SpecError
from encdec_batch.job.planner import FIRST_BLOCKS, LARGEST_BLOCKS, Planner
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.scene import SetAside


def planned(name: str, blocks: int = 1) -> Planned:
    return Planned(scene=scene(name, 10, 512 * blocks), bytes_to_read=1)


def aside(name: str) -> SetAside:
    return SetAside(scene_id=name, uri=name, stage="plan", reason="bad", hint="")


def names(results) -> list[str]:
    return [one.scene.scene_id if isinstance(one, Planned) else one.scene_id for one in results]


@given(st.lists(st.integers(0, 300), max_size=40))
def test_everything_comes_once_and_scenes_in_their_order(sizes):
    results = [planned(f"s{n}", size) if size else aside(f"s{n}") for n, size in enumerate(sizes)]
    with Planner(iter(results)) as planner:
        segments = list(planner.segments())
        assert planner.num_planned == len(results)
    assert names(one for segment in segments for one in segment.planned) == names(
        one for one in results if isinstance(one, Planned)
    )
    assert names(one for segment in segments for one in segment.set_aside) == names(
        one for one in results if isinstance(one, SetAside)
    )


def test_the_first_segment_is_there_before_the_last_scene_is_planned():
    gate = threading.Event()

    def results():
        for n in range(FIRST_BLOCKS):
            yield planned(f"early{n}")
        gate.wait()
        yield planned("late")

    with Planner(results()) as planner:
        segments = (segment for segment in planner.segments() if segment.planned)
        assert len(next(segments).planned) == FIRST_BLOCKS
        gate.set()
        assert [one.scene.scene_id for one in next(segments).planned] == ["late"]


def test_a_segment_need_not_be_full_when_headers_come_slowly():
    """And whoever waits is given an empty one now and then."""
    gate, times = threading.Event(), iter(range(0, 1000, 2))

    def results():
        yield planned("alone")
        gate.wait()

    with Planner(results(), clock=lambda: next(times)) as planner:
        segments = planner.segments()
        seen = [next(segments)]
        while not seen[-1].planned:
            seen.append(next(segments))
        assert len(seen) > 1
        gate.set()
        assert list(segments) == []


def test_no_more_is_planned_than_there_is_room_for():
    drawn = []

    def results():
        for n in range(1000):
            drawn.append(n)
            yield planned(f"s{n}", 300)

    with Planner(results()) as planner:
        segments = (segment for segment in planner.segments() if segment.planned)
        taken = len(next(segments).planned)
        taken += len(next(segments).planned)
        # One more waits to be put down.
        assert len(drawn) <= taken + LARGEST_BLOCKS // 300 + 2
    assert len(drawn) < 1000


def test_an_error_of_the_spec_reaches_whoever_takes():
    def results():
        yield planned("a")
        raise SpecError("no block fits")

    with Planner(results()) as planner, pytest.raises(SpecError, match="no block fits"):
        list(planner.segments())


def test_a_scene_that_hangs_does_not_keep_who_leaves(monkeypatch):
    """Ctrl-C, while a library hangs in a header."""
    monkeypatch.setattr("encdec_batch.job.planner.LEAVE_S", 0.0)
    begun, gate = threading.Event(), threading.Event()

    def results():
        begun.set()
        gate.wait()
        yield planned("late")

    with Planner(results()):
        begun.wait()
    # Only now, and by a thread that is left to itself.
    gate.set()
