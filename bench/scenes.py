"""Scenes to measure on: noise that compresses like an aerial image, and giants that repeat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

BANDS = 3
PERIOD = (16, 256)
"""Rows and columns after which a giant repeats: deflate sees it, so that 40,000 px a side take 0.2 GB."""
GEO: dict[str, Any] = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 4e6)}


def natural(side: int, seed: int = 0) -> NDArray[np.uint8]:
    """(3, side, side): fields, edges and grain; deflate takes it to about three quarters, as it does aerial images."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), np.float32)
    for step, weight in ((512, 50.0), (128, 30.0), (32, 20.0), (8, 10.0)):
        coarse = rng.normal(0, weight, (-(-side // step), -(-side // step))).astype(np.float32)
        image += np.kron(coarse, np.ones((step, step), np.float32))[:side, :side]
    bands = []
    for gain in (1.0, 0.9, 0.7):
        grain = rng.standard_normal((side, side), dtype=np.float32)
        bands.append(np.clip(image * gain + (grain * 5 + 110), 0, 255).astype(np.uint8))
    return np.stack(bands)


def write(path: Path, pixels: NDArray[np.uint8], **layout: Any) -> Path:
    """One scene; tiles of 512 px unless `layout` says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    with rasterio.open(path, "w", **_profile(height, width, count, layout)) as file:
        file.write(pixels)
    return path


def archive(folder: Path, count: int, side: int, *, distinct: int = 12) -> Path:
    """`count` scenes of which `distinct` differ; the others are links, read and computed like any other."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    store = folder.parent / f"natural-{side}"
    base = None
    for n in range(count):
        original = store / f"{n % distinct:04d}.tif"
        if not original.exists():
            base = natural(side) if base is None else base
            write(original, np.roll(base, (37 * n, 61 * n), axis=(1, 2)))
        os.link(original, folder / f"scene-{n:04d}.tif")
    return folder


def giant(path: Path, side: int, **layout: Any) -> Path:
    """A repetitive scene, written a band of rows at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return path
    rows, cols = PERIOD
    grain = np.random.default_rng(0).integers(60, 200, (BANDS, rows, cols), dtype=np.uint8)
    band = np.tile(grain, (1, 512 // rows, -(-side // cols)))[:, :, :side]
    temporary = path.with_suffix(".being-written")
    with rasterio.open(temporary, "w", **_profile(side, side, BANDS, layout)) as file:
        for top in range(0, side, 512):
            height = min(512, side - top)
            file.write(band[:, :height], window=Window(0, top, side, height))
    temporary.rename(path)
    return path


def _profile(height: int, width: int, count: int, layout: dict[str, Any]) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": height, "width": width, "count": count, "dtype": "uint8",
        "compress": "DEFLATE", "predictor": 2, "interleave": "pixel", "num_threads": 2, "bigtiff": "IF_SAFER", **GEO,
    }  # fmt: skip
    if min(height, width) >= 512:
        profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512}
    return profile | layout
