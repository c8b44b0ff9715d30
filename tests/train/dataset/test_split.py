from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train.made import spec_of, write_png

from encdec_batch.errors import SpecError
from encdec_batch.train.dataset.split import falls_in, split_pairs


@given(names=st.lists(st.text(), unique=True, max_size=30), share=st.floats(0.01, 0.99), seed=st.integers(0, 9))
def test_a_name_stays_on_its_side_whatever_comes_and_goes(names, share, seed):
    before = {name: falls_in(name, share, seed=seed) for name in names}
    assert before == {name: falls_in(name, share, seed=seed) for name in [*names[::2], *names[1::2], "new"][:-1]}
    larger = {name: falls_in(name, min(0.99, share * 1.5), seed=seed) for name in names}
    assert all(larger[name] for name, chosen in before.items() if chosen)


def test_the_share_is_about_the_one_that_was_asked_for():
    chosen = sum(falls_in(f"scene-{n}", 0.2, seed=3) for n in range(5000))
    assert abs(chosen - 1000) < 5 * (5000 * 0.2 * 0.8) ** 0.5


def test_the_hash_is_the_one_it_has_always_been():
    """Another would move scenes from one side to the other when the program is updated."""
    assert [falls_in(f"scene-{n}", 0.5, seed=0) for n in range(8)] == KNOWN


KNOWN = [True, False, False, False, True, False, True, True]


def write_table(folder, rows):
    lines = [f"{n}.png,m{n}.png,{side},{group}" for n, (side, group) in enumerate(rows)]
    (folder / "t.csv").write_text("image,target,split,flight\n" + "\n".join(lines) + "\n")
    return {"kind": "table", "uri": str(folder / "t.csv"), "group": "flight"}


def test_a_group_is_never_on_both_sides(tmp_path):
    train = write_table(tmp_path, [("", f"flight {n % 7}") for n in range(70)])
    sides = split_pairs(spec_of(tmp_path, train=train, split={"kind": "hash", "by": "group", "share": 0.4}))
    assert len(sides.train) + len(sides.val) == 70
    assert not {pair.group for pair in sides.train} & {pair.group for pair in sides.val}
    assert "40% by a hash of the group's name" in sides.note


def test_a_row_without_a_group(tmp_path):
    train = write_table(tmp_path, [("", ""), ("", "b")])
    with pytest.raises(SpecError, match=r"0\.png has no group"):
        split_pairs(spec_of(tmp_path, train=train, split={"kind": "hash", "by": "group"}))


def test_a_column_says_the_side_and_may_say_neither(tmp_path):
    train = write_table(tmp_path, [("train", "a"), ("val", "b"), ("test", "c"), ("fit", "d")])
    rule = {"kind": "column", "train": ["train", "fit"]}
    sides = split_pairs(spec_of(tmp_path, train=train, split=rule))
    assert [[pair.group for pair in side] for side in (sides.train, sides.val)] == [["a", "d"], ["b"]]


@pytest.mark.parametrize(
    ("rule", "use"),
    [
        ({"kind": "column", "val": ["nobody"]}, "validate"),
        ({"kind": "column", "train": ["nobody"]}, "train"),
        ({"kind": "hash", "share": 0.01}, "validate"),
    ],
)
def test_an_empty_side(tmp_path, rule, use):
    train = write_table(tmp_path, [("train", "a"), ("val", "b")])
    with pytest.raises(SpecError, match=f"none is left to {use} on"):
        split_pairs(spec_of(tmp_path, train=train, split=rule)).check()


def test_pairs_named_apart_and_no_split(tmp_path):
    train = write_table(tmp_path, [("train", "a")])
    other = {"kind": "pairs", "pairs": train}
    assert [len(side) for side in split_pairs(spec_of(tmp_path, train=train, split=other))[:2]] == [1, 1]
    assert [len(side) for side in split_pairs(spec_of(tmp_path, train=train, split={"kind": "none"}))[:2]] == [1, 0]
    write_png(tmp_path / "images/x.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(SpecError, match=r"x\.png: it has no target"):
        split_pairs(spec_of(tmp_path, split={"kind": "none"}))
