from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.grid import NetworkGeometry, Tiling
from encdec_batch.job.tracker import Tracker
from encdec_batch.pipeline import Cost, Record
from encdec_batch.plan.checks import choose_checks
from encdec_batch.plan.item import is_small
from encdec_batch.plan.scene import ScenePlan, SetAside
from encdec_batch.read.header import SceneHeader


def scene(scene_id: str = "a", side: int = 1024) -> ScenePlan:
    """A scene of (side / 512) ^ 2 blocks."""
    header = SceneHeader(
        driver="GTiff",
        height=side,
        width=side,
        num_bands=1,
        dtype="uint8",
        nodata=(None,),
        mask="none",
        scales=(1.0,),
        offsets=(0.0,),
        band_names=(None,),
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout="tiled",
        tile_height=512,
        tile_width=512,
        compression="deflate",
        planar=False,
        encoded_bytes=1,
    )
    return ScenePlan(
        scene_id=scene_id,
        uri=f"file:///{scene_id}.tif",
        etag="1",
        size_bytes=1,
        header=header,
        bands=(1,),
        asked_bands=None,
        geometry=NetworkGeometry(reach=8, stride=4),
        tiling=Tiling(core=256, block=512),
        levels=0,
        scene_key="0" * 64,
        part_key="1" * 64,
        outputs=("mask.tif",),
        generation=1,
        marker_etag=None,
    )


def names(planned: ScenePlan) -> list[str]:
    return [block.name for block in planned.grid().blocks()]


def done(planned: ScenePlan, *blocks: str, **fields) -> Record:
    return Record(scene_id=planned.scene_id, blocks=blocks, cost=Cost(), **fields)


def trouble(planned: ScenePlan) -> SetAside:
    return SetAside(scene_id=planned.scene_id, uri=planned.uri, stage="read", reason="bad", hint="")


@given(st.data())
def test_a_scene_is_ready_once_at_its_last_block_in_any_order(data):
    scenes = [scene("a", 1024), scene("b", 1536)]
    left = [(planned, name) for planned in scenes for name in names(planned)]
    tracker = Tracker()
    assert tracker.start(scenes) == []
    ready = []
    for planned, name in data.draw(st.permutations(left)):
        left.remove((planned, name))
        found = tracker.note(done(planned, name))
        assert (found is planned) == (planned not in [other for other, _ in left])
        ready += [found] if found else []
    assert len(ready) == 2


def test_parts_that_are_there_already_are_not_waited_for():
    planned = scene()
    first, *others = names(planned)
    tracker = Tracker()
    tracker.start([replace(planned, blocks_done=frozenset(others))])
    assert tracker.note(done(planned, first)) is not None


def test_a_scene_whose_parts_are_all_there_is_ready_at_once():
    planned = replace(scene(), blocks_done=frozenset([*names(scene()), "coarse"]))
    tracker = Tracker()
    assert tracker.start([planned]) == [planned]
    # The record of its commit makes nothing ready once more.
    assert tracker.note(done(planned, committed=True)) is None


def test_a_scene_of_one_block_is_committed_where_it_is_written():
    planned = scene(side=512)
    assert is_small(planned)
    tracker = Tracker()
    assert tracker.start([planned]) == []
    assert tracker.note(done(planned, "0-0", committed=True)) is None


@pytest.mark.parametrize("bad", [0, 3])
def test_a_scene_with_a_bad_block_is_never_ready(bad):
    planned = scene()
    tracker = Tracker()
    tracker.start([planned])
    for number, name in enumerate(names(planned)):
        aside = trouble(planned) if number == bad else None
        assert tracker.note(done(planned, name, trouble=aside)) is None


def test_a_scene_that_is_taken_up_again_starts_clean():
    planned = scene()
    first, *others = names(planned)
    tracker = Tracker()
    tracker.start([planned])
    tracker.note(done(planned, *names(planned), trouble=trouble(planned)))
    tracker.start([replace(planned, blocks_done=frozenset(others))])
    found = tracker.note(done(planned, first))
    assert found is not None
    assert found.blocks_done == frozenset(others)


def test_parts_missing_at_the_commit_make_nothing_ready_by_themselves():
    planned = scene()
    tracker = Tracker()
    tracker.start([planned])
    assert tracker.note(done(planned, *names(planned))) is planned
    assert tracker.note(done(planned, missing=("0-0",))) is None


def test_what_is_through_is_forgotten_and_what_is_not_is_kept():
    good, bad, small, waiting = scene("good"), scene("bad"), scene("small", 512), scene("waiting")
    tracker = Tracker()
    tracker.start([good, bad, small, waiting])
    first, *others = names(bad)
    tracker.note(done(good, *names(good)))
    tracker.note(done(bad, first, trouble=trouble(bad)))
    tracker.note(done(small, "0-0", committed=True))
    tracker.note(done(waiting, first))
    # The good one waits for its commit, the bad one for its other blocks.
    assert set(tracker.scenes) == set(tracker.left) == {"good", "bad", "waiting"}
    tracker.note(done(good, committed=True))
    tracker.note(done(bad, *others))
    assert set(tracker.scenes) == set(tracker.left) == {"waiting"}
    assert tracker.troubled == set()


def test_the_parts_of_every_scene_that_leaves_any_are_remembered():
    large, small = scene("large"), scene("small", 512)
    tracker = Tracker()
    tracker.start([large, small])
    tracker.note(done(large, *names(large)))
    tracker.note(done(large, committed=True))
    tracker.start([replace(large, part_key="2" * 64, scene_key="3" * 64)])
    assert tracker.part_keys == {large.part_key: "large", "2" * 64: "large"}
    assert tracker.scene_keys == {"large": "3" * 64}


def checked(planned: ScenePlan) -> ScenePlan:
    return replace(planned, checks=choose_checks(planned.grid(), planned.tiling, planned.scene_key, "all"))


def test_a_scene_waits_for_its_checks():
    planned = checked(scene())
    tracker = Tracker()
    assert tracker.start([planned]) == []
    *first, last = planned.checks.names
    assert tracker.note(done(planned, *names(planned))) is None
    assert tracker.note(done(planned, checks=tuple(first))) is None
    assert tracker.note(done(planned, checks=(last,))) is planned


def test_checks_that_lie_there_are_not_waited_for():
    planned = checked(scene())
    everything = [*names(planned), *planned.checks.names]
    assert Tracker().start([planned.with_done(everything)]) == [planned.with_done(everything)]
    tracker = Tracker()
    assert tracker.start([planned.with_done(everything[:-1])]) == []
    assert tracker.left["a"] == {everything[-1]}


def test_a_check_that_failed_holds_its_scene_back():
    planned = checked(scene())
    tracker = Tracker()
    tracker.start([planned])
    tracker.note(done(planned, checks=planned.checks.names, trouble=trouble(planned)))
    assert tracker.note(done(planned, *names(planned))) is None
