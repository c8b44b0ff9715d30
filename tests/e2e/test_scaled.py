"""Bands whose card says `unit: scaled`: the network sees stored * scale + offset, as the file says it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from e2e.made import classes_package, image_of, plain_labels, run, write_spec, write_tiff

pytestmark = pytest.mark.integration

SCALES, OFFSETS = (0.01, 0.5, 1.0), (130.0, -40.0, 7.0)
BANDS = (3, 1)
"""Neither all of them nor in the order of the file: each must be given its own scale."""


@pytest.fixture
def stored(tmp_path: Path) -> np.ndarray:
    """(3, height, width) int16 in a file that says how to scale it."""
    rng = np.random.default_rng(8)
    pixels = np.stack([rng.normal(mean, std, (700, 600)) for mean, std in ((0, 9000), (300, 150), (110, 70))])
    pixels = pixels.astype(np.int16)
    path = write_tiff(tmp_path / "in/a.tif", pixels)
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = SCALES, OFFSETS
    return pixels


@pytest.mark.parametrize("unit", ["scaled", "raw"])
def test_a_job_equals_the_plain_pass_on_scaled_values_where_the_card_says_so(
    tmp_path: Path, stored: np.ndarray, unit: str
) -> None:
    package = classes_package(2, ("int16",), unit=unit, seed=1)
    source = {"kind": "prefix", "uri": str(tmp_path / "in"), "bands": list(BANDS)}
    ended = run(write_spec(tmp_path, source, package))
    assert ended.code == 0, ended
    made = image_of(tmp_path / "out", "a", "mask.tif")[0]
    at = [band - 1 for band in BANDS]
    scale, offset = (np.array(values)[at, None, None] for values in (SCALES, OFFSETS))
    by_unit = {"raw": plain_labels(package, stored[at]), "scaled": plain_labels(package, stored[at] * scale + offset)}
    assert 0.1 < by_unit["scaled"].mean() < 0.9
    # One multiplication here, two there: a label may flip where both classes are as good.
    assert (made != by_unit.pop(unit)).mean() <= 1e-5
    [(_, other)] = by_unit.items()
    assert (made != other).mean() > 0.05
