from __future__ import annotations

import numpy as np
import pytest

from encdec_batch.errors import PartMissing
from encdec_batch.window import Window
from encdec_batch.write.check import Check, decode_check, encode_check


def check(rasters: dict[str, np.ndarray]) -> Check:
    return Check(window=Window(64, 8, 5, 3), rasters=rasters)


CLASSES = {
    "mask": np.arange(15, dtype=np.uint8).reshape(1, 3, 5),
    "margin": np.linspace(0, 9, 15, dtype=np.float32).reshape(1, 3, 5),
}
IMAGE = {"image": np.random.default_rng(0).normal(size=(3, 3, 5)).astype(np.float32)}
MANY = {"mask": np.full((1, 3, 5), 65535, np.uint16), "margin": np.full((1, 3, 5), np.nan, np.float32)}


@pytest.mark.parametrize("rasters", [CLASSES, IMAGE, MANY])
def test_a_check_comes_back_as_it_was(rasters):
    data = encode_check(check(rasters))
    assert encode_check(check(rasters)) == data
    back = decode_check(data)
    assert back.window == Window(64, 8, 5, 3)
    assert back.rasters.keys() == rasters.keys()
    for name, pixels in rasters.items():
        assert back.rasters[name].dtype == pixels.dtype
        np.testing.assert_array_equal(back.rasters[name], pixels)


def test_a_damaged_check_is_told():
    data = encode_check(check(CLASSES))
    for place in range(len(data)):
        with pytest.raises(PartMissing):
            decode_check(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    for size in (0, 4, 8, len(data) - 1):
        with pytest.raises(PartMissing):
            decode_check(data[:size])
