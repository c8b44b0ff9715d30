from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import UnsupportedScene
from encdec_batch.spec.train_target import LabelsInput, MaskClass, MaskTarget
from encdec_batch.train.batch import IGNORE
from encdec_batch.train.pairs.labels import channels_of, coded

TARGET = MaskTarget(
    kind="mask",
    classes=(
        MaskClass(id=7, name="ground", color=(1, 2, 3)),
        MaskClass(id=1, name="nucleus", color=(4, 5, 6), values=((10, 65_000), 2)),
    ),
    ignore=(0, (100_000, 200_000), -1),
)


def channels(labels: np.ndarray) -> np.ndarray:
    return channels_of(labels, TARGET.classes, TARGET.ignore, uri="m.png")


@given(
    values=st.lists(st.sampled_from([7, 10, 11, 65_000, 2, 0]), min_size=1, max_size=30),
    dtype=st.sampled_from(["uint16", "float32", "float64"]),
)
def test_every_label_goes_to_its_channel(values, dtype):
    wanted = [0 if value == 7 else IGNORE if value == 0 else 1 for value in values]
    found = channels(np.array([values], dtype))
    assert found.dtype == np.uint8
    assert found.tolist() == [wanted]


def test_labels_below_zero():
    assert channels(np.array([[-1, 7, 2]], np.int16)).tolist() == [[IGNORE, 0, 1]]


@pytest.mark.parametrize("value", [3, 9, 1])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_a_label_of_no_class_names_file_and_value(value, dtype):
    with pytest.raises(UnsupportedScene, match=rf"m.png: label {value}(\.0)? is of no class") as caught:
        channels(np.array([[7, value]], dtype))
    assert "ignore" in caught.value.hint


@pytest.mark.parametrize("value", [7.5, float("nan"), float("inf")])
def test_a_label_that_is_no_whole_number(value):
    with pytest.raises(UnsupportedScene, match=f"label {value} is of no class"):
        channels(np.array([[value]], np.float64))


def test_labels_as_input():
    spec = LabelsInput(kind="labels", classes=TARGET.classes, ignore=(0,))
    seen = np.array([[0, 1, IGNORE]], np.uint8)
    assert coded(seen, spec).tolist() == [[[1, 0, 0]], [[0, 1, 0]]]
    colours = coded(seen, spec.model_copy(update={"code": "colour"}))
    assert colours.tolist() == [[[1, 4, 0]], [[2, 5, 0]], [[3, 6, 0]]]
    assert colours.dtype == np.float32
