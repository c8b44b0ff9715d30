"""Written pixels beside a window computed once more: what rounding explains, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commit.scenes import MASK, Array, image_product

from encdec_batch.commit.difference import FLIPS, Comparison, Difference, tolerance_for, total
from encdec_batch.models.card import ClassCard, ClassesOutput, ImageOutput, ToleranceCard
from encdec_batch.window import Window
from encdec_batch.write.check import Check

CLASSES = ClassesOutput(
    kind="classes",
    activation="softmax",
    classes=tuple(ClassCard(id=i, name=str(i), color=(0, 0, 0)) for i in MASK.class_ids),
)
HOLE = MASK.nodata


def image(dtype: str) -> ImageOutput:
    """Between 0 and 254: a step of uint8 is 1, and stored value v is v - 1."""
    return ImageOutput(kind="image", band_names=("a", "b"), dtype=dtype, range=(0, 254))


def of_classes(tolerance: float | None = 0.02) -> Comparison:
    return Comparison(output=CLASSES, product=MASK, tolerance=tolerance)


def of_images(dtype: str, tolerance: float | None = 0.01, num_bands: int = 1) -> Comparison:
    product = image_product(dtype, num_bands, np.nan if dtype == "float32" else 0)
    return Comparison(output=image(dtype), product=product, tolerance=tolerance)


def classes(seen: list[int], margins: list[float]) -> Check:
    rasters: dict[str, Array] = {"mask": np.array([[seen]], np.uint8), "margin": np.array([[margins]], np.float32)}
    return Check(window=Window(8, 16, len(seen), 1), rasters=rasters)


def values(*bands: list[float]) -> Check:
    raster = np.array([[band] for band in bands], np.float32)
    return Check(window=Window(8, 16, raster.shape[2], 1), rasters={"image": raster})


def row(*bands: list[float], dtype: str) -> Array:
    return np.array([[band] for band in bands], dtype)


def test_a_label_may_flip_where_its_class_hardly_leads():
    written = row([0, 0, 1, HOLE], dtype="uint8")
    found = of_classes().of(written, classes([0, 1, 1, HOLE], [9, 0.019, 9, np.nan]))
    assert (found.pixels, found.holes, found.differing, found.where) == (3, 0, 1, Window(8, 16, 4, 1))
    assert found.worst == pytest.approx(0.019)
    assert list(of_classes().faults(found)) == []
    found = of_classes().of(written, classes([0, 1, 1, HOLE], [9, 0.03, 9, np.nan]))
    assert list(of_classes().faults(found)) == [
        "1 are of another class, by a margin of up to 0.03 where 0.02 is rounding"
    ]


def test_a_margin_that_is_no_number_is_the_worst():
    found = of_classes().of(row([0, 1], dtype="uint8"), classes([1, 1], [np.nan, np.nan]))
    assert (found.differing, found.worst) == (1, np.inf)
    assert len(list(of_classes().faults(found))) == 1


def test_nodata_on_one_side_alone_is_a_fault_however_small_the_margin():
    found = of_classes().of(row([HOLE, 0, 1], dtype="uint8"), classes([0, HOLE, 1], [0, np.nan, 0]))
    assert (found.pixels, found.holes, found.differing, found.worst, found.where) == (1, 2, 0, 0.0, None)
    assert list(of_classes().faults(found)) == ["2 are nodata on one side alone"]


def test_more_flips_than_one_in_ten_thousand_are_a_fault_of_a_scene_however_close():
    few = Difference(pixels=30_000, differing=3, worst=0.001)
    assert few.differing == FLIPS * few.pixels
    assert list(of_classes().flips(few)) == []
    many = Difference(pixels=30_000, differing=4, worst=0.001)
    assert list(of_classes().flips(many)) == ["4 are of another class, more than rounding explains"]
    assert list(of_classes().faults(many)) == []
    # What is above the tolerance is said by `faults`, once.
    assert list(of_classes().flips(Difference(pixels=30_000, differing=4, worst=5.0))) == []
    # Of few pixels one is not many, two are.
    of_few = [list(of_classes().flips(replace(many, pixels=50, differing=number))) for number in (1, 2)]
    assert [bool(said) for said in of_few] == [False, True]
    assert list(of_images("float32").flips(many)) == []


def test_values_may_differ_by_the_tolerance():
    comparison, written = of_images("float32"), row([1.0, np.nan, np.inf], dtype="float32")
    assert list(comparison.faults(comparison.of(written, values([1.009, np.nan, np.inf])))) == []
    [fault] = comparison.faults(comparison.of(written, values([1.02, np.nan, np.inf])))
    assert fault == "1 have another value, by up to 0.02 where 0.01 is rounding"
    [fault] = comparison.faults(comparison.of(written, values([1.0, 2.0, np.inf])))
    assert fault == "1 are nodata on one side alone"
    [fault] = comparison.faults(comparison.of(written, values([1.0, np.nan, -np.inf])))
    assert "by up to inf" in fault


def test_quantised_values_are_given_half_a_step_and_no_more():
    comparison, written = of_images("uint8"), row([11, 21, 0], dtype="uint8")
    half = comparison.of(written, values([10.5, 19.5, np.nan]))
    assert (half.pixels, half.differing) == (2, 0)
    assert half.worst == pytest.approx(0, abs=1e-3)
    assert list(comparison.faults(comparison.of(written, values([10.509, 20.0, np.nan])))) == []
    found = comparison.of(written, values([10.0, 20.75, np.nan]))
    assert found.worst == pytest.approx(0.25, abs=1e-3)
    assert len(list(comparison.faults(found))) == 1
    [fault] = comparison.faults(comparison.of(written, values([10.0, 20.0, 1.0])))
    assert fault == "1 are nodata on one side alone"


def test_what_lies_beyond_the_range_is_stored_as_its_end():
    comparison = of_images("uint8")
    found = comparison.of(row([1, 255, 1], dtype="uint8"), values([-50.0, 300.0, -np.inf]))
    assert (found.pixels, found.worst) == (3, 0.0)


def test_a_pixel_counts_once_whatever_its_bands():
    comparison = of_images("float32", num_bands=2)
    written = row([1, 1, np.nan, 1], [1, 1, np.nan, 1], dtype="float32")
    found = comparison.of(written, values([1, 2, 1, np.nan], [1, 3, 1, np.nan]))
    assert (found.pixels, found.differing, found.holes, found.worst) == (2, 1, 2, 2.0)


def test_without_a_tolerance_nothing_is_a_fault_and_everything_is_measured():
    found = of_classes(None).of(row([0, HOLE], dtype="uint8"), classes([1, 0], [0.5, 0.5]))
    assert (found.holes, found.differing, found.worst) == (1, 1, 0.5)
    assert [*of_classes(None).faults(found), *of_classes(None).flips(found)] == []
    found = of_images("float32", None).of(row([1], dtype="float32"), values([3]))
    assert (found.differing, found.worst) == (0, 2.0)
    assert list(of_images("float32", None).faults(found)) == []


def test_windows_together_are_their_sums_and_the_worst_of_them():
    first, second = Window(0, 0, 64, 64), Window(64, 0, 64, 64)
    windows = [
        Difference(pixels=10, holes=1, differing=2, worst=0.5, where=first),
        Difference(pixels=20, holes=0, differing=3, worst=0.75, where=second),
        Difference(pixels=30),
    ]
    assert total(windows) == Difference(pixels=60, holes=1, differing=5, worst=0.75, where=second)


def test_classes_have_the_tolerance_of_margins_and_images_that_of_values():
    both = ToleranceCard(value=0.01, margin=0.02)
    assert tolerance_for(CLASSES, both) == 0.02
    assert tolerance_for(image("uint8"), both) == 0.01
    assert tolerance_for(CLASSES, None) is None


def test_values_in_other_units_are_compared_in_those_of_the_tolerance():
    output = ImageOutput(kind="image", band_names=("a",), dtype="float32", range=(-3, 3), scale=500, offset=40)
    compared = Comparison(output=output, product=image_product("float32", 1, np.nan), tolerance=1e-4)
    own = [-2.0, 0.1234567, 3.0, np.nan]
    written = np.float32(own) * np.float32(500) + np.float32(40)
    found = compared.of(written[None, None], values(own))
    assert (found.pixels, found.holes, found.worst) == (3, 0, 0)
    found = compared.of((written + np.float32([0, 1, 0, 0]))[None, None], values(own))
    assert (found.differing, found.worst) == (1, pytest.approx(1 / 500, rel=0.01))
