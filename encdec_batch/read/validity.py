"""Which pixels are valid. A mask of ours is True where a pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.reader import Rule

_TOLERANCE = 2 * float(np.finfo(np.float32).eps)


def valid_of_bands(
    pixels_BHW: NDArray[np.generic], nodata: Sequence[float | None], *, rule: Rule, nan_is_nodata: bool
) -> NDArray[np.bool_]:
    """Where nodata values and NaNs leave a pixel valid.

    Args:
        pixels_BHW: (bands, height, width).
        nodata: per band, None where there is none.
        rule: "any": one band without a value makes the pixel invalid; "all": only when no band has one.
        nan_is_nodata: a NaN is no value.

    Returns:
        (height, width), True is valid.
    """
    looks_at_nan = nan_is_nodata and pixels_BHW.dtype.kind == "f"
    if not looks_at_nan and all(value is None for value in nodata):
        return np.ones(pixels_BHW.shape[1:], dtype=np.bool_)
    missing: NDArray[np.bool_] | None = None
    for band_HW, value in zip(pixels_BHW, nodata, strict=True):
        missing_HW = np.isnan(band_HW) if looks_at_nan else np.zeros(band_HW.shape, dtype=np.bool_)
        if value is not None:
            missing_HW |= equals_nodata(band_HW, value)
        if missing is None:
            missing = missing_HW
        elif rule == "any":
            missing |= missing_HW
        else:
            missing &= missing_HW
    return ~missing if missing is not None else np.ones(pixels_BHW.shape[1:], dtype=np.bool_)


def equals_nodata(band_HW: NDArray[np.generic], value: float) -> NDArray[np.bool_]:
    """Where GDAL takes a pixel for its nodata value.

    Floats, doubles too, are compared with a tolerance of four units in a float's last place, because the value is
    written in decimal: GDAL 3.10, gcore/gdal_priv_templates.hpp, ARE_REAL_EQUAL.
    """
    pixels_HW: NDArray[Any] = band_HW
    if np.isnan(value):
        missing: NDArray[np.bool_] = np.isnan(pixels_HW)
        return missing
    if pixels_HW.dtype.kind != "f" and not np.iinfo(pixels_HW.dtype).min <= value <= np.iinfo(pixels_HW.dtype).max:
        return np.zeros(pixels_HW.shape, dtype=np.bool_)
    nodata = pixels_HW.dtype.type(value)
    exact: NDArray[np.bool_] = pixels_HW == nodata
    if pixels_HW.dtype.kind != "f" or not np.isfinite(nodata):
        return exact
    with np.errstate(over="ignore", invalid="ignore"):
        near: NDArray[np.bool_] = abs(pixels_HW - nodata) < _TOLERANCE * abs(pixels_HW + nodata)
    return exact | near
