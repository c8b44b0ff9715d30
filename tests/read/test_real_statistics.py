"""Percentiles of a whole scene against those of its tiles, on real scenes with a gradient: why a tile's are never used.

The figures are printed (docs/results.md has them):
`GEO_SCENES=<folder> python -m pytest -s tests/read/test_real_statistics.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from encdec_batch.read.open import open_reader
from encdec_batch.read.patch import Patch
from encdec_batch.read.statistics import scene_percentiles
from encdec_batch.store.open import locate
from encdec_batch.window import Window

FOLDER = Path(os.environ.get("GEO_SCENES", Path(__file__).parents[2] / "../shared/data/geo_scenes"))
SCENES = ("dem_vestfold_float32_lerc.tif", "naip_nd_20180716_cog_deflate.tif", "sentinel1_grd_uint16_gcps.tif")
TILE = 128
PERCENTAGES = (1.0, 99.8)


def tiles(height: int, width: int) -> list[Window]:
    return [
        Window.from_bounds((row, min(row + TILE, height)), (col, min(col + TILE, width)))
        for row in range(0, height, TILE)
        for col in range(0, width, TILE)
    ]


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest) -> Path:
    path = FOLDER / request.param
    if not path.exists():
        pytest.skip("the shared scenes are not here")
    return path


def counted(path: Path, order: int) -> tuple[float, ...]:
    """Of the first band, its tiles read in some order."""
    store, name = locate(str(path))
    reader = open_reader(store, name)
    windows = tiles(reader.header.height, reader.header.width)
    Random(order).shuffle(windows)

    def patches() -> Iterator[Patch]:
        return (reader.read(window, [1], rule="any") for window in windows)

    try:
        return scene_percentiles(patches, reader.header.dtype, 1, PERCENTAGES)[0]
    finally:
        reader.close()


def stretched(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return (values - low) / ((high - low) or 1.0)


def seam_steps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of the neighbours on both sides of each tile border."""
    down = np.abs(values[TILE::TILE] - values[TILE - 1 : -1 : TILE]).ravel()
    across = np.abs(values[:, TILE::TILE] - values[:, TILE - 1 : -1 : TILE]).ravel()
    steps = np.concatenate([down, across])
    return steps[np.isfinite(steps)]


def test_a_tiles_own_percentiles_show_its_borders_and_the_scenes_do_not(scene: Path) -> None:
    with rasterio.open(scene) as file:
        values = file.read(1, masked=True).astype(np.float64).filled(np.nan)
    low, high = counted(scene, order=1)
    # Exact, whatever the order; numpy over the whole array is the oracle.
    assert counted(scene, order=2) == (low, high)
    expected = np.nanpercentile(values[~np.isnan(values)].astype(np.float32).astype(np.float64), PERCENTAGES)
    np.testing.assert_allclose((low, high), expected, rtol=1e-12)

    whole = stretched(values, low, high)
    by_tile = np.full_like(whole, np.nan)
    for window in tiles(*values.shape):
        part = values[window.rows, window.cols]
        if np.isfinite(part).any():
            by_tile[window.rows, window.cols] = stretched(part, *np.nanpercentile(part, PERCENTAGES))
    off = np.abs(by_tile - whole)
    off = off[np.isfinite(off)]
    natural, made = float(np.median(seam_steps(whole))), float(np.median(seam_steps(by_tile)))
    print(
        f"\n{scene.name}: differs by {off.mean():.3f} in the mean, {np.percentile(off, 99):.2f} for 1 pixel in 100;"
        f" step at tile borders, median: {natural:.4f} by the scene, {made:.4f} by tiles ({made / natural:.1f} times)"
    )
    assert off.mean() > 0.04
    assert made > 1.5 * natural
