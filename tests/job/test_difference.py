"""A window computed again against what was written: what rounding explains, and what it does not."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from models.made import declared

from encdec_batch.job.difference import compare
from encdec_batch.job.makers import Maker
from encdec_batch.models.card import Card, GeometryCard, ImageOutput, MemoryCard, ToleranceCard
from encdec_batch.plan.products import products_of
from encdec_batch.predict.window import WindowOutput
from encdec_batch.spec.output import OutputSpec

TOLERANCE = ToleranceCard(value=0.01, margin=0.02)


def maker(dtype: str = "") -> Maker:
    """Of classes, or of images of a dtype between 0 and 254: a step of uint8 is 1."""
    fields: dict[str, Any] = {}
    if dtype:
        fields["output"] = ImageOutput(kind="image", band_names=("out",), dtype=dtype, range=(0, 254))
    card = Card(
        **declared(**fields).model_dump(),
        format_version=1,
        geometry=GeometryCard(scale=1, stride=1, reach=1, exactness="exact"),
        memory=MemoryCard(parameters=0, activations=1.0),
        files={"weights.safetensors": "0" * 64, "golden.safetensors": "0" * 64},
    )
    product = products_of(card, OutputSpec(uri="memory"))[0]
    nothing = cast("Any", None)
    return Maker(spec=nothing, card=card, product=product, engine=nothing, tolerance=TOLERANCE)


def classes(stored: list[int], margins: list[float]) -> WindowOutput:
    return WindowOutput(stored=np.array([[stored]], np.uint8), margin_HW=np.array([margins], np.float32))


def image(values: list[float], dtype: str) -> WindowOutput:
    return WindowOutput(stored=np.array([[values]], dtype), margin_HW=None)


def test_a_label_may_flip_where_its_class_hardly_leads():
    written = np.array([[[0, 0, 1, 255]]], np.uint8)
    found = compare(maker(), classes([0, 1, 1, 255], [9, 0.019, 9, 9]), written)
    assert (found.pixels, found.faults) == (4, ())
    assert found.worst == pytest.approx(0.019)
    found = compare(maker(), classes([0, 1, 1, 255], [9, 0.03, 9, 9]), written)
    assert found.faults == ("1 of 4 labels are others, by a margin of up to 0.03, where 0.02 is rounding",)


def test_nodata_on_one_side_alone_is_a_fault_however_small_the_margin():
    found = compare(maker(), classes([0, 255, 1], [0, 0, 0]), np.array([[[255, 0, 1]]], np.uint8))
    assert found.faults == ("2 of 3 values are nodata on one side alone",)
    assert found.worst == 0


def test_values_may_differ_by_the_tolerance():
    written = np.array([[[1.0, np.nan, np.inf]]], np.float32)
    assert compare(maker("float32"), image([1.009, np.nan, np.inf], "float32"), written).faults == ()
    [fault] = compare(maker("float32"), image([1.02, np.nan, np.inf], "float32"), written).faults
    assert "1 of 3 values are others, by up to 0.02" in fault
    [fault] = compare(maker("float32"), image([1.0, 2.0, np.inf], "float32"), written).faults
    assert "nodata on one side" in fault
    [fault] = compare(maker("float32"), image([1.0, np.nan, -np.inf], "float32"), written).faults
    assert "by up to inf" in fault


def test_quantised_values_may_differ_by_one_step_and_not_by_two():
    written = np.array([[[10, 20, 0]]], np.uint8)
    assert compare(maker("uint8"), image([11, 19, 0], "uint8"), written).faults == ()
    found = compare(maker("uint8"), image([12, 20, 0], "uint8"), written)
    assert found.worst == pytest.approx(2.0)
    assert len(found.faults) == 1
    [fault] = compare(maker("uint8"), image([10, 20, 1], "uint8"), written).faults
    assert "nodata on one side" in fault
