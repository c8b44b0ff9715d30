"""What every reader promises, with rasterio on a local copy as the oracle, or pixels that another library gave.

Each check takes what opens a fresh reader of a scene and the path of its copy, or what the scene must be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from encdec_batch.read.reader import Reader
from encdec_batch.window import Window

Open = Callable[[], Reader]


def seeded_windows(height: int, width: int, *, seed: int = 0, count: int = 6) -> list[Window]:
    """The whole (where it is small), corners, edges, single pixels and some anywhere."""
    rng = np.random.default_rng(seed)
    side_h, side_w = max(1, height // 4), max(1, width // 4)
    windows = [
        Window(0, 0, 1, 1),
        Window(width - 1, height - 1, 1, 1),
        Window(0, 0, side_w, side_h),
        Window(width - side_w, height - side_h, side_w, side_h),
        Window(width - 1, 0, 1, side_h),
        Window(0, height - 1, side_w, 1),
    ]
    if height * width <= 1 << 20:
        windows.append(Window(0, 0, width, height))
    for _ in range(count):
        rows = sorted(rng.choice(height + 1, 2, replace=False).tolist())
        cols = sorted(rng.choice(width + 1, 2, replace=False).tolist())
        windows.append(
            Window.from_bounds((rows[0], min(rows[1], rows[0] + 700)), (cols[0], min(cols[1], cols[0] + 700)))
        )
    return windows


def run_of_windows(height: int, width: int, *, side: int, halo: int) -> list[Window]:
    """Neighbouring windows of one row of blocks, with what they share."""
    stop = min(height, side + halo)
    return [
        Window.from_bounds((0, stop), (max(0, first - halo), min(width, first + side + halo)))
        for first in range(0, width, side)
    ]


def check_header(open_scene: Open, copy: Path) -> None:
    """The header says what rasterio says."""
    reader = open_scene()
    header = reader.header
    with rasterio.open(copy) as dataset:
        bands = pixel_bands(dataset)
        assert (header.height, header.width) == dataset.shape
        assert header.num_bands == len(bands)
        assert {header.dtype} == {dataset.dtypes[band - 1] for band in bands}
        np.testing.assert_equal(header.nodata, tuple(dataset.nodatavals[band - 1] for band in bands))
        assert header.scales == tuple(dataset.scales[band - 1] for band in bands)
        assert header.offsets == tuple(dataset.offsets[band - 1] for band in bands)
        assert header.band_names == tuple(dataset.descriptions[band - 1] for band in bands)
        assert header.crs_wkt == (dataset.crs.to_wkt() if dataset.crs else None)
        if header.transform is None:
            assert dataset.transform.is_identity
        else:
            assert header.transform == tuple(dataset.transform)[:6]
        points, points_crs = dataset.gcps
        assert [(p.row, p.col, p.x, p.y, p.z) for p in header.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
        assert header.gcps_crs_wkt == (points_crs.to_wkt() if points_crs else None)
    assert reader.size_bytes == copy.stat().st_size
    reader.close()


def check_windows(open_scene: Open, copy: Path, *, seed: int = 0, count: int = 4) -> None:
    """Pixels and masks are those rasterio reads, bit for bit, in any order of windows and bands."""
    reader = open_scene()
    rng = np.random.default_rng(seed)
    with rasterio.open(copy) as dataset:
        numbers = pixel_bands(dataset)
        for window in seeded_windows(*dataset.shape, seed=seed, count=count):
            bands = [int(band) for band in 1 + rng.permutation(len(numbers))[: rng.integers(1, len(numbers) + 1)]]
            for rule in ("any", "all"):
                patch = reader.read(window, bands, rule=rule)
                pixels, valid = oracle(dataset, window, [numbers[band - 1] for band in bands], rule=rule)
                np.testing.assert_array_equal(patch.pixels, pixels, strict=True)
                np.testing.assert_array_equal(patch.valid_mask, valid, strict=True)
    reader.close()


def check_crops(
    open_scene: Open,
    whole_CHW: NDArray[Any],
    *,
    valid_HW: NDArray[np.bool_] | None = None,
    seed: int = 0,
    count: int = 4,
) -> None:
    """Pixels and masks of any window are those of the whole scene there, in any order of windows and bands."""
    reader = open_scene()
    rng = np.random.default_rng(seed)
    num_bands, height, width = whole_CHW.shape
    assert (reader.header.num_bands, reader.header.height, reader.header.width) == whole_CHW.shape
    valid = np.ones((height, width), np.bool_) if valid_HW is None else valid_HW
    for window in seeded_windows(height, width, seed=seed, count=count):
        bands = [int(band) for band in 1 + rng.permutation(num_bands)[: rng.integers(1, num_bands + 1)]]
        patch = reader.read(window, bands, rule="any")
        expected = whole_CHW[[band - 1 for band in bands], window.rows, window.cols]
        np.testing.assert_array_equal(patch.pixels, expected, strict=True)
        np.testing.assert_array_equal(patch.valid_mask, valid[window.rows, window.cols], strict=True)
    reader.close()


def check_pixels(
    open_scene: Open, pixels_BHW: NDArray[Any], valid_BHW: NDArray[np.bool_] | None = None, *, seed: int = 0
) -> None:
    """Pixels and masks are these, bit for bit, in any order of windows and bands; what a caller does to them is his.

    Args:
        open_scene: opens it.
        pixels_BHW: of the whole scene, in the type that they are read in.
        valid_BHW: where each band has a value; None: everywhere but at NaN.
        seed: of windows and bands.
    """
    reader = open_scene()
    rng = np.random.default_rng(seed)
    header = reader.header
    assert (header.num_bands, header.height, header.width) == pixels_BHW.shape
    assert header.dtype == pixels_BHW.dtype.name
    valid_BHW = np.ones(pixels_BHW.shape, np.bool_) if valid_BHW is None else valid_BHW
    for window in seeded_windows(*pixels_BHW.shape[1:], seed=seed, count=4):
        chosen = rng.permutation(header.num_bands)[: rng.integers(1, header.num_bands + 1)].tolist()
        expected = pixels_BHW[chosen, window.rows, window.cols]
        for rule in ("any", "all"):
            for nan_is_nodata in (True, False):
                patch = reader.read(window, [band + 1 for band in chosen], rule=rule, nan_is_nodata=nan_is_nodata)
                np.testing.assert_array_equal(patch.pixels, expected, strict=True)
                valid = valid_BHW[chosen, window.rows, window.cols]
                valid = valid & ~np.isnan(expected) if nan_is_nodata else valid
                wanted = valid.all(axis=0) if rule == "any" else valid.any(axis=0)
                np.testing.assert_array_equal(patch.valid_mask, wanted, strict=True)
                patch.pixels[:] = 0
    reader.close()


def check_nan_kept(open_scene: Open, copy: Path) -> None:
    """Where NaN is a value, the masks are rasterio's own."""
    reader = open_scene()
    with rasterio.open(copy) as dataset:
        bands = range(1, reader.header.num_bands + 1)
        window = Window(0, 0, min(dataset.width, 500), min(dataset.height, 500))
        patch = reader.read(window, bands, rule="any", nan_is_nodata=False)
        valid = oracle(dataset, window, pixel_bands(dataset), rule="any", nan_is_nodata=False)[1]
        np.testing.assert_array_equal(patch.valid_mask, valid)
    reader.close()


def check_costs(
    open_scene: Open, copy: Path | None = None, *, keeps_a_window: bool = True, looks_up: bool = False
) -> None:
    """A run of windows costs exactly what was said beforehand, and less than its windows one by one.

    Args:
        open_scene: opens it.
        copy: not looked at.
        keeps_a_window: the last window is at hand.
        looks_up: where pixels lie is fetched when it is first asked for, and not with the header.
    """
    reader = open_scene()
    header = reader.header
    bands = (1,)
    windows = run_of_windows(header.height, header.width, side=96, halo=16)
    opened, said, before = reader.bytes_read, reader.bytes_for(windows, bands), reader.bytes_read
    assert before == opened or looks_up
    assert (reader.bytes_for(windows, bands), reader.bytes_read) == (said, before)
    for number, window in enumerate(windows):
        reader.read(window, bands, rule="any")
        assert reader.bytes_read + reader.bytes_for(windows[number + 1 :], bands) == before + said
    if keeps_a_window:
        assert reader.bytes_for(windows[-1:], bands) == 0
    reader.close()
    alone = open_scene()
    assert said <= sum(alone.bytes_for([window], bands) for window in windows)
    alone.close()


def check_thumbnail(open_scene: Open, copy: Path | None = None, *, max_side: int = 64) -> None:
    """A thumbnail is small, and of the scene's bands and type."""
    reader = open_scene()
    header = reader.header
    patch = reader.thumbnail(max_side)
    bands, height, width = patch.pixels.shape
    assert bands == header.num_bands
    assert patch.pixels.dtype.name == header.dtype
    assert max(height, width) <= max_side
    assert max(height, width) >= min(max_side // 2, header.height, header.width)
    assert abs(height / width - header.height / header.width) <= 2 * max(1, height / width) / min(height, width)
    assert patch.valid_mask.shape == (height, width)
    reader.close()


def oracle(
    dataset: Any, window: Window, bands: Sequence[int], *, rule: str, nan_is_nodata: bool = True
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels and validity by rasterio, for band numbers of the file."""
    place = rasterio.windows.Window(window.col_off, window.row_off, window.width, window.height)
    pixels = dataset.read(list(bands), window=place)
    alphas = [band for band, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha]
    if alphas:
        valid = np.repeat(dataset.read(alphas, window=place) != 0, len(bands), axis=0)
    else:
        valid = dataset.read_masks(list(bands), window=place) != 0
    if nan_is_nodata:
        valid &= ~np.isnan(pixels)
    return pixels, valid.all(axis=0) if rule == "any" else valid.any(axis=0)


def pixel_bands(dataset: Any) -> list[int]:
    """1-based numbers of the bands that are not alpha."""
    return [band for band, kind in enumerate(dataset.colorinterp, 1) if kind != ColorInterp.alpha]
