from __future__ import annotations

import json

import pytest

from encdec_batch.job.progress import Progress, Watch


def watch(*times: float) -> tuple[Watch, list[Progress]]:
    shown: list[Progress] = []
    clock = iter(times)
    return Watch(shown.append, Progress(run_id="r", started=100.0), lambda: next(clock)), shown


def test_every_change_is_shown_with_its_time():
    told, shown = watch(101.0, 102.0)
    told.update(state="running", blocks_total=4)
    told.add(blocks=1, pixels=5)
    assert [(now.state, now.blocks_done, now.updated) for now in shown] == [
        ("running", 0, 101.0),
        ("running", 1, 102.0),
    ]
    assert told.now is shown[-1]


def test_counts_add_up():
    told, shown = watch(*range(101, 110))
    told.update(scenes_done=2, scenes_aside=1)
    for _ in range(3):
        told.add(blocks=2, pixels=10, done=1, aside=1)
    now = told.now
    assert (now.blocks_done, now.pixels_done, now.scenes_done, now.scenes_aside) == (6, 30, 5, 4)
    assert len(shown) == 4


def test_rate_and_time_left_are_of_this_run_alone():
    told, _ = watch(110.0, 120.0)
    told.update(streaming_since=110.0, pixels_total=60_000_000)
    assert (told.now.mpx_per_s, told.now.seconds_left) == (0.0, None)
    told.add(pixels=20_000_000)
    assert told.now.mpx_per_s == pytest.approx(2.0)
    assert told.now.seconds_left == pytest.approx(20.0)


def test_before_the_stream_there_is_no_rate():
    now = Progress(run_id="r", updated=5.0, pixels_done=10)
    assert (now.mpx_per_s, now.seconds_left) == (0.0, None)
    assert json.loads(json.dumps(now.to_dict()))["seconds_left"] is None


def test_while_planning_goes_on_the_time_left_is_of_scenes_like_those_that_are_planned():
    told, _ = watch(110.0, 120.0)
    told.update(streaming_since=110.0, pixels_total=60_000_000, headers=(10, 40))
    told.add(pixels=20_000_000)
    assert not told.now.planned
    assert told.now.seconds_left == pytest.approx((4 * 60 - 20) / 2)
    assert told.now.to_dict()["planned"] is False
