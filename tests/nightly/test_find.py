"""What is labelled, and what of it is a question that was asked before."""

from __future__ import annotations

import pytest
from nightly.nuclei import nightly_values
from train.made import mask_of, picture, write_pairs, write_png

from encdec_batch.nightly.find import Labels, find_labels
from encdec_batch.nightly.plan import question_of
from encdec_batch.spec.load_nightly import parse_nightly_spec


def test_an_image_that_is_labelled_in_two_ways_is_set_aside_and_one_that_stands_twice_is_not(tmp_path):
    write_pairs(tmp_path, 3)
    write_png(tmp_path / "masks/other.png", 1 - mask_of(picture(0)))
    rows = ["00.png,00.png", "01.png,01.png", "00.png,other.png", "02.png,02.png", "02.png,02.png"]
    pairs = [f"images/{image},masks/{target}" for image, target in (row.split(",") for row in rows)]
    (tmp_path / "pairs.csv").write_text("\n".join(["image,target", *pairs]) + "\n")
    table = {"kind": "table", "uri": str(tmp_path / "pairs.csv")}
    found = find_labels(
        parse_nightly_spec(nightly_values(tmp_path, train__data__train=table, judge__groups={"kind": "none"}))
    )
    assert [one.key.rpartition("/")[2] for one in found.scenes] == ["01.png", "02.png"]
    assert len(found.aside) == 2
    assert all("00.png" in one.uri and "is labelled in 2 ways" in one.reason for one in found.aside)
    assert {one.reason.rpartition("/")[2] for one in found.aside} == {"00.png", "other.png"}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"train__network__architecture": "unetplusplus"}, False),
        ({"train__network__arguments": {"width": 8, "depth": 2, "out_channels": 1}}, False),
        ({"train__learn__steps": 41}, False),
        ({"judge__margin": 0.1}, False),
        ({"train__network__storage": {"region": "eu-central-1"}}, True),
        ({"judge__pictures": 1}, True),
        ({"new_scenes": 3}, True),
    ],
)
def test_a_question_is_all_that_decides_its_answer(tmp_path, changes, same):
    assert_same(tmp_path, {}, changes, same)


def test_a_table_that_is_signed_anew_asks_the_same(tmp_path):
    one, two = (
        {"train__data__train": {"kind": "table", "uri": f"https://h.example/t.csv?sig={n}"}, "judge__groups": NONE}
        for n in range(2)
    )
    assert_same(tmp_path, one, two, same=True)


NONE = {"kind": "none"}


def assert_same(tmp_path, one, other, same):
    labels = Labels(scenes=(), aside=())

    def asked(**values):
        return question_of(parse_nightly_spec(nightly_values(tmp_path, **values)), labels, "p", "a")

    assert (asked(**other) == asked(**one)) is same
