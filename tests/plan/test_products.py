"""What rasters of images hold, and what integers of them stand for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from encdec_batch.models.card import ImageOutput
from encdec_batch.plan.products import _image
from encdec_batch.predict.head import ImageHead

VALUES = torch.tensor([[[-1.5, 0.0, 0.25, 1.0]]])
VALID = torch.ones(1, 4, dtype=torch.bool)


def stored(output: ImageOutput) -> tuple[np.ndarray, float, float]:
    product = _image(output)
    return ImageHead(output, product)(VALUES, VALID).rasters["image"].numpy(), product.scale, product.offset


def output_of(dtype: str, **units: float) -> ImageOutput:
    return ImageOutput(kind="image", band_names=("a",), dtype=dtype, range=(-1.5, 1), **units)


def test_float32_is_in_the_units_of_the_card():
    made, scale, offset = stored(output_of("float32", scale=400, offset=-50))
    assert made.ravel().tolist() == [-650, -50, 50, 350]
    assert (scale, offset) == (1, 0)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_stand_for_the_units_of_the_card(dtype):
    made, scale, offset = stored(output_of(dtype, scale=400, offset=-50))
    np.testing.assert_allclose(made.ravel() * scale + offset, [-650, -50, 50, 350], atol=scale / 2)
    assert made.min() == 1, "0 is nodata"


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_without_units_nothing_is_said(dtype):
    _, scale, offset = stored(output_of(dtype))
    assert (scale, offset) == (1, 0)
