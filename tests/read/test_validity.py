from __future__ import annotations

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from rasterio.io import MemoryFile

from encdec_batch.read.validity import equals_nodata, valid_of_bands

SHAPE = (3, 4, 5)
few_values = npst.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0, -9999.0, np.nan, np.inf]))
nodata_values = st.lists(st.sampled_from([None, 0.0, -9999.0, float("nan"), float("inf")]), min_size=3, max_size=3)


@given(few_values, nodata_values, st.sampled_from(["any", "all"]), st.booleans())
def test_a_pixel_is_invalid_where_any_or_all_bands_have_no_value(pixels, nodata, rule, nan_is_nodata):
    valid = valid_of_bands(pixels, nodata, rule=rule, nan_is_nodata=nan_is_nodata)
    for row, col in np.ndindex(SHAPE[1:]):
        missing = [
            (np.isnan(value) and (nan_is_nodata or (no is not None and np.isnan(no)))) or value == no
            for value, no in zip(pixels[:, row, col].tolist(), nodata, strict=True)
        ]
        assert valid[row, col] == (not (any if rule == "any" else all)(missing))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nodata", [-3.3999999521442643e38, -9999.0, 0.1, 1e-30, 0.0, 1.7976931348623157e308])
def test_floats_near_the_nodata_value_are_taken_for_it_as_gdal_does(dtype, nodata):
    if dtype == "float32" and abs(nodata) > 1e39:
        pytest.skip("no float32")
    value = np.dtype(dtype).type(nodata)
    units = np.concatenate([np.arange(-12, 13), np.geomspace(1e-3, 40, 100)])
    with np.errstate(over="ignore"):
        near = (value * (1 + units * np.finfo(dtype).eps)).astype(dtype)
        nearer = (value * (1 + units * np.finfo(np.float32).eps)).astype(dtype)
    band = np.concatenate([[value], near, nearer, [0, 1, 100, -1e30]]).astype(dtype)[None]
    shape = {"height": 1, "width": band.shape[1], "count": 1, "dtype": dtype}
    with MemoryFile() as file, file.open(driver="GTiff", nodata=nodata, **shape) as dataset:
        dataset.write(band, 1)
        np.testing.assert_array_equal(equals_nodata(band, nodata), dataset.read_masks(1) == 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_integers_are_never_near(dtype):
    pixels = np.arange(100, dtype=dtype).reshape(1, 10, 10)
    valid = valid_of_bands(pixels, [37.0], rule="any", nan_is_nodata=True)
    assert np.flatnonzero(~valid).tolist() == [37]
    assert rasterio.dtypes.check_dtype(dtype)
