"""What `auto` becomes on this machine."""

from __future__ import annotations

import pytest
from plan.recipes import card

from encdec_batch.models.card import ImageOutput
from encdec_batch.predict.device import choose_device
from encdec_batch.predict.resolve import device_for


@pytest.mark.parametrize(("dtype", "lower"), [("uint8", True), ("uint16", False), ("float32", False)])
def test_values_that_are_kept_as_they_are_have_no_lower_precision_by_themselves(dtype, lower):
    output = ImageOutput(kind="image", band_names=("a",), dtype=dtype, range=(0, 1))
    found = device_for(card(output=output), "cpu", "auto", "auto").precision
    assert found == (choose_device("cpu", "auto", "auto").precision if lower else "float32")
    assert device_for(card(output=output), "cpu", "bfloat16", "auto").precision == "bfloat16"
