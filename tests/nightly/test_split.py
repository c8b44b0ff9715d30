"""Sides of scenes: fixed for ever, whatever else happens."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import SpecError
from encdec_batch.nightly.split import AUDIT, HELD_OUT, TRAINING, keep_rule, side_of
from encdec_batch.spec.nightly import NightSplit
from encdec_batch.spec.source import PrefixSource
from encdec_batch.store.open import open_store
from encdec_batch.train.pairs.pair import File, Pair

FOLDER = PrefixSource(kind="prefix", uri="/data")
NAMES = st.text("abcdefghij/0123456789", min_size=1, max_size=12)
SPLITS = st.builds(
    NightSplit,
    held_out=st.floats(0.05, 0.5),
    audit=st.floats(0, 0.4),
    seed=st.integers(0, 5),
)


def pair(scene: str, group: str = "", target: str = "/data/t.png") -> Pair:
    image = File(uri=f"/data/{scene}.png", source=FOLDER)
    return Pair(image=image, target=File(uri=target, source=FOLDER), scene=scene, group=group)


@given(name=NAMES, split=SPLITS, labels=st.tuples(NAMES, NAMES))
def test_a_scene_that_is_labelled_anew_stays_where_it_was(name, split, labels):
    assert len({side_of(pair(name, target=f"/data/{label}.png"), split) for label in labels}) == 1


@given(name=NAMES, split=SPLITS, more=st.floats(0, 0.4))
def test_a_larger_held_out_share_would_take_scenes_in_and_lose_none(name, split, more):
    """Why the rule is written down all the same: a smaller one would let them go."""
    larger = split.model_copy(update={"held_out": split.held_out + more, "audit": 0.0})
    if side_of(pair(name), split) == HELD_OUT:
        assert side_of(pair(name), larger) == HELD_OUT


@given(group=st.text(min_size=1, max_size=8), names=st.lists(NAMES, min_size=2, max_size=6), split=SPLITS)
def test_all_scenes_of_a_place_are_on_one_side(group, names, split):
    by_group = split.model_copy(update={"by": "group"})
    assert len({side_of(pair(name, group), by_group) for name in names}) == 1
    by_folder = split.model_copy(update={"by": "folder"})
    assert len({side_of(pair(f"site-7/{name}"), by_folder) for name in names}) == 1


def test_shares_are_about_what_was_asked_for():
    split = NightSplit(held_out=0.2, audit=0.1)
    found = Counter(side_of(pair(f"scene-{number}"), split) for number in range(4000))
    assert found[HELD_OUT] == pytest.approx(800, abs=100)
    assert found[AUDIT] == pytest.approx(400, abs=80)
    assert found[TRAINING] == 4000 - found[HELD_OUT] - found[AUDIT]


def test_the_sides_of_some_scenes_are_these():
    """Another function would move scenes from one side to the other in registries that there are."""
    split = NightSplit(held_out=0.3, audit=0.2)
    sides = {name: side_of(pair(name), split) for name in ("a", "b", "c", "north/1", "north/2", "2026-11-28/17")}
    assert sides == FIXED


FIXED = {
    "a": TRAINING,
    "b": HELD_OUT,
    "c": TRAINING,
    "north/1": AUDIT,
    "north/2": HELD_OUT,
    "2026-11-28/17": HELD_OUT,
}


def test_a_scene_without_a_place_is_no_scene_of_a_split_by_places():
    with pytest.raises(SpecError, match="has no group"):
        side_of(pair("a"), NightSplit(by="group"))


def test_the_rule_of_the_first_night_holds(tmp_path):
    store = open_store(str(tmp_path))
    first = NightSplit(held_out=0.2)
    keep_rule(store, first, "nuclei")
    keep_rule(store, first, "nuclei")
    keep_rule(store, NightSplit(held_out=0.2, audit_scenes=3), "nuclei")
    with pytest.raises(SpecError, match=r"held_out was 0\.2, is 0\.3.*fixed for ever"):
        keep_rule(store, NightSplit(held_out=0.3), "nuclei")
    with pytest.raises(SpecError, match="model was 'nuclei', is 'water'"):
        keep_rule(store, first, "water")
