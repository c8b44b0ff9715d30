"""What `verify --deep` says of a scene's windows; whole jobs: tests/e2e/test_deep.py."""

from __future__ import annotations

import numpy as np
import pytest
from commit.scenes import MASK

from encdec_batch.commit.difference import Comparison, Difference
from encdec_batch.job.deep import lines_of
from encdec_batch.models.card import ClassCard, ClassesOutput
from encdec_batch.window import Window
from encdec_batch.write.check import Check

WINDOWS = (Window(0, 0, 64, 64), Window(128, 64, 64, 32), Window(9, 9, 64, 64))
PIXELS = [window.width * window.height for window in WINDOWS]


def said(*found: Difference) -> list[str]:
    pairs = zip(MASK.class_ids, MASK.class_names, strict=True)
    classes = tuple(ClassCard(id=number, name=name, color=(0, 0, 0)) for number, name in pairs)
    output = ClassesOutput(kind="classes", activation="softmax", classes=classes)
    comparison = Comparison(output=output, product=MASK, tolerance=0.02)
    checks = [Check(window=window, rasters={"mask": np.zeros((1, 1, 1), np.uint8)}) for window in WINDOWS]
    return list(lines_of("s", comparison, checks, found))


def differences(*differing: int, worst: float = 0.001) -> list[Difference]:
    return [Difference(pixels=p, differing=n, worst=worst if n else 0) for p, n in zip(PIXELS, differing, strict=True)]


def test_each_window_with_a_fault_is_named_once():
    first, second, third = differences(0, 3, 0, worst=0.5)
    holed = Difference(pixels=second.pixels - 7, holes=7, differing=3, worst=0.5)
    [line] = said(first, holed, third)
    assert line.startswith(
        "s at row 64, column 128: of 2048 pixels 7 are nodata on one side alone, and 3 are of another "
    )
    assert line.endswith("class, by a margin of up to 0.5 where 0.02 is rounding")


@pytest.mark.parametrize(("flips", "lines"), [((0, 0, 0), 0), ((0, 1, 0), 0), ((0, 1, 1), 1), ((9, 0, 9), 1)])
def test_labels_that_flip_closely_are_counted_over_the_scene(flips, lines):
    assert sum(PIXELS) > 10_000, "one of them is rounding"
    found = said(*differences(*flips))
    assert len(found) == lines
    assert all(
        line == f"s: of {sum(PIXELS)} pixels {sum(flips)} are of another class, more than rounding explains"
        for line in found
    )
