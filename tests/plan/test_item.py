"""Work items: each block exactly once, in runs of neighbours of one block row, small scenes in groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from plan.recipes import header, scene

from encdec_batch.plan.checks import choose_checks
from encdec_batch.plan.item import GROUP_PIXELS, GROUP_SCENES, RUN, WorkItem, is_small, work_items
from encdec_batch.plan.scene import ScenePlan

sides = st.integers(1, 6000)


@st.composite
def planned(draw, name: str = "a") -> ScenePlan:
    """A scene some of whose blocks are done."""
    made = scene(name, draw(sides), draw(sides), staged=draw(st.booleans()))
    names = [block.name for block in made.grid().blocks()]
    if is_small(made):
        return made
    if draw(st.booleans()):
        return replace(made, blocks_done=frozenset(draw(st.lists(st.sampled_from(names), max_size=len(names)))))
    return made


scene_lists = st.integers(0, 5).flatmap(lambda n: st.tuples(*(planned(f"s{i}") for i in range(n))))


@given(scene_lists)
def test_every_block_that_is_left_comes_exactly_once(scenes):
    given_out = Counter(
        (piece.scene.scene_id, row, col)
        for item in work_items(scenes)
        for piece in item.pieces
        for row, col in piece.blocks
    )
    left = {
        (made.scene_id, block.row, block.col)
        for made in scenes
        for block in made.grid().blocks()
        if block.name not in made.blocks_done
    }
    assert set(given_out) == left
    assert set(given_out.values()) <= {1}


@given(scene_lists, st.data())
def test_so_does_every_check(scenes, data):
    scenes = [
        replace(made, checks=checks, checks_done=frozenset() if is_small(made) else frozenset(done))
        for made in scenes
        for checks in [choose_checks(made.grid(), made.tiling, made.scene_key, "all")]
        for done in [data.draw(st.sets(st.sampled_from(checks.names)) if checks.names else st.just(set()))]
    ]
    pieces = [piece for item in work_items(scenes) for piece in item.pieces]
    given_out = Counter((piece.scene.scene_id, n) for piece in pieces for n in piece.checks)
    left = [(made.scene_id, n, name in made.checks_done) for made in scenes for n, name in enumerate(made.checks.names)]
    assert given_out == Counter((scene_id, n) for scene_id, n, is_done in left if not is_done)
    # Whoever commits a small scene from memory has its checks at hand.
    assert all(piece.blocks for piece in pieces if is_small(piece.scene))


@given(planned())
def test_blocks_of_a_run_are_neighbours_of_one_row(made):
    if made.staged:
        made = replace(made, staged=False)
    for item in work_items([made]):
        (piece,) = item.pieces
        rows = {row for row, _ in piece.blocks}
        cols = [col for _, col in piece.blocks]
        assert len(rows) == 1
        assert cols == list(range(cols[0], cols[0] + len(cols)))


@given(st.integers(1, 100))
def test_runs_are_long_where_the_scene_is_wide(num_blocks):
    wide = scene("a", 600, 512 * num_blocks)
    runs = [len(piece.blocks) for item in work_items([wide]) for piece in item.pieces]
    assert sum(runs) == wide.grid().num_blocks
    if num_blocks >= RUN:
        assert min(runs) >= RUN
        assert max(runs) < 2 * RUN


def test_a_gap_begins_a_new_run():
    made = scene("a", 600, 512 * 6)
    made = replace(made, blocks_done=frozenset({made.grid().block(0, 2).name}))
    assert [piece.blocks for item in work_items([made]) for piece in item.pieces] == [
        ((0, 0), (0, 1)),
        ((0, 3), (0, 4), (0, 5)),
    ]


@given(st.lists(st.tuples(st.integers(1, 512), st.integers(1, 512)), min_size=1, max_size=200))
def test_small_scenes_travel_in_groups_of_about_a_block(shapes):
    scenes = [scene(f"s{n}", height, width) for n, (height, width) in enumerate(shapes)]
    items = list(work_items(scenes))
    assert [piece.scene.scene_id for item in items for piece in item.pieces] == [made.scene_id for made in scenes]
    for item in items:
        pixels = [piece.scene.num_pixels for piece in item.pieces]
        assert len(pixels) <= GROUP_SCENES
        assert sum(pixels) <= GROUP_PIXELS or len(pixels) == 1
    for item, following in pairwise(items):
        size = sum(piece.scene.num_pixels for piece in item.pieces)
        assert len(item.pieces) == GROUP_SCENES or size + following.pieces[0].scene.num_pixels > GROUP_PIXELS


def test_items_are_made_as_they_are_drawn():
    def scenes():
        yield scene("a", 600, 2000)
        raise AssertionError("the second scene was drawn")

    assert next(work_items(scenes())).pieces[0].scene.scene_id == "a"


@given(planned())
def test_no_piece_carries_what_is_done(made):
    """Workers do not ask for it, and it would make each of a giant's thousand items as large as all its names."""
    for item in work_items([made]):
        assert all(piece.scene == made.with_done(()) for piece in item.pieces)


@given(planned())
def test_an_item_survives_its_journey(made):
    for item in work_items([made]):
        assert WorkItem.from_json(item.to_json()) == item


def test_numbers_that_json_has_no_word_for_survive_too():
    made = scene("a", 100, 100, header=header(nodata=(float("nan"), float("-inf")), scales=(float("nan"), 1.0)))
    (item,) = work_items([made])
    read = WorkItem.from_json(item.to_json()).pieces[0].scene
    assert repr(read) == repr(made)
    assert repr(ScenePlan.from_json(made.to_json())) == repr(made)
