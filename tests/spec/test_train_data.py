from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_target import MaskClass, ranges_of

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
CLASSES = [{"id": 0, "name": "a", "color": BLACK}, {"id": 1, "name": "b", "color": WHITE}]
FOLDERS = {"kind": "folders", "images": "x", "targets": "y"}
IMAGES = {"kind": "images", "uri": "x"}
TABLE = {"kind": "table", "uri": "t.csv"}
MASK = {"kind": "mask", "classes": CLASSES}
CLEAN = {"kind": "clean", "noise": {"kind": "gaussian", "sigma": 25}}
PLAIN = {"train": FOLDERS, "split": {"kind": "hash"}, "target": MASK}
POOLED = {"kind": "estimate", "per_band": False}


def spec(**changes: Any) -> DataSpec:
    return DataSpec.model_validate(PLAIN | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"train": TABLE, "split": {"kind": "column"}},
        {"train": TABLE | {"group": "place"}, "split": {"kind": "hash", "by": "group"}},
        {"split": {"kind": "pairs", "pairs": TABLE}},
        {"train": IMAGES, "target": CLEAN, "normalization": POOLED},
        {"train": IMAGES, "target": {"kind": "high_resolution", "scale": 3}, "normalization": POOLED},
        {"train": IMAGES, "target": {"kind": "image", "bands": [4]}},
        {"target": {"kind": "image"}, "input": {"kind": "labels", "classes": CLASSES}},
    ],
)
def test_what_may_be_asked_for(changes):
    assert DataSpec.model_validate(spec(**changes).model_dump(mode="json")) == spec(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split": {"kind": "column"}}, "needs train.kind table"),
        ({"split": {"kind": "hash", "by": "group"}}, "needs a table with train.group"),
        ({"train": TABLE, "split": {"kind": "hash", "by": "group"}}, "needs a table with train.group"),
        ({"train": IMAGES}, "kind mask needs files of its own"),
        ({"train": TABLE | {"target": None}}, "kind mask needs files of its own"),
        ({"split": {"kind": "pairs", "pairs": IMAGES}}, "kind mask needs files of its own"),
        ({"train": IMAGES, "target": {"kind": "image"}}, "target.bands is to say"),
        ({"target": CLEAN, "normalization": POOLED}, "targets has no effect"),
        ({"train": IMAGES, "target": CLEAN}, "normalization.per_band: false"),
        ({"train": IMAGES, "target": CLEAN, "normalization": {"kind": "percentiles"}}, "not percentiles"),
        (
            {
                "train": IMAGES,
                "target": CLEAN,
                "normalization": {"kind": "constants", "mean": [1, 2], "std": [1, 1]},
            },
            "equal mean and std",
        ),
        (
            {"train": IMAGES, "target": CLEAN, "normalization": POOLED, "augment": {"noise": 0.1}},
            "would be part of a target",
        ),
        ({"target": {"kind": "image"}, "sampling": {"class_balance": 0.5}}, "class_balance has no effect"),
        ({"input": {"kind": "labels", "classes": CLASSES}}, "is for targets of kind image"),
        (
            {
                "target": {"kind": "image"},
                "input": {"kind": "labels", "classes": CLASSES},
                "augment": {"brightness": 1},
            },
            "labels have neither",
        ),
        (
            {"target": {"kind": "image"}, "input": {"kind": "labels", "classes": CLASSES}, "normalization": POOLED},
            "labels are not normalised",
        ),
        ({"target": MASK | {"ignore": [1]}}, "b and ignore have labels in common"),
        ({"target": MASK | {"classes": [CLASSES[0], CLASSES[0]]}}, "not all different"),
        ({"target": MASK | {"classes": CLASSES[:1]}}, "at least 2"),
        ({"augment": {"zoom": [2, 1]}}, "the first is to be the smaller"),
        ({"augment": {"flips": ["vertical", "vertical"]}}, "names one twice"),
        ({"allow_leak": "why not"}, "at least 10 characters"),
        ({"normalization": {"kind": "percentiles", "lower": 60, "upper": 50}}, "enclose nothing"),
        ({"normalization": {"kind": "constants", "mean": [1], "std": [1, 2]}}, "1 means, but 2"),
        ({"target": {"kind": "image", "range": [3, 3]}}, "is empty"),
        ({"train": FOLDERS | {"suffix": ".png"}}, "suffix"),
    ],
)
def test_what_has_no_effect_or_cannot_be_is_said(changes, words):
    with pytest.raises(ValidationError, match=words):
        spec(**changes)


def test_labels_of_a_class():
    assert MaskClass(id=3, name="c", color=BLACK).ranges == ((3, 3),)
    assert MaskClass(id=3, name="c", color=BLACK, values=((5, 9), 1)).ranges == ((1, 1), (5, 9))
    with pytest.raises(ValueError, match="the range 9 to 5 is empty"):
        ranges_of(((9, 5),))
    with pytest.raises(ValueError, match="named twice"):
        ranges_of((3, (1, 4)))


@pytest.mark.parametrize(("crop", "sides"), [(64, (64, 64)), ((32, 48), (32, 48))])
def test_sides(crop, sides):
    assert spec(sampling={"crop": crop}).sampling.sides == sides
