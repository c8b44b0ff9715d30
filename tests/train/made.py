"""Small training sets, made by code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.prepare import Prepared, prepare

CLASSES = (
    {"id": 0, "name": "ground", "color": (0, 0, 0)},
    {"id": 1, "name": "thing", "color": (255, 255, 255)},
)


def write_png(path: Path, pixels: NDArray[Any]) -> Path:
    """(height, width) or (height, width, 3)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_tif(path: Path, pixels: NDArray[Any], *, origin: tuple[float, float] | None = None, **profile: Any) -> Path:
    """(bands, height, width); with an origin, in UTM zone 33 at 0.5 m."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if origin is not None:
        profile = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, origin[0], 0, -0.5, origin[1])} | profile
    shape = dict(zip(("count", "height", "width"), pixels.shape, strict=True))
    with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype.name, **shape, **profile) as dataset:
        dataset.write(pixels)
    return path


def picture(seed: int, height: int = 60, width: int = 80, bands: int = 3) -> NDArray[np.uint8]:
    """(height, width, bands) of rectangles that cover each other: no two seeds alike, all frequencies in it."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, bands), 128.0)
    for _ in range(60):
        row, col = rng.integers(0, height), rng.integers(0, width)
        down, across = rng.integers(2, height // 2), rng.integers(2, width // 2)
        image[row : row + down, col : col + across] = rng.uniform(10, 240, bands)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def mask_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where the first band is bright."""
    return (image[..., 0] > 150).astype(np.uint8)


def write_pairs(folder: Path, count: int, *, first: int = 0, height: int = 60, width: int = 80) -> None:
    """`images/<n>.png` and `masks/<n>.png`."""
    for number in range(first, first + count):
        image = picture(number, height, width)
        write_png(folder / "images" / f"{number:02}.png", image)
        write_png(folder / "masks" / f"{number:02}.png", mask_of(image))


def spec_of(folder: Path, **changes: Any) -> DataSpec:
    """Masks below a folder, validated on a share of the scenes; `changes` replace whole sections."""
    values = {
        "train": {"kind": "folders", "images": str(folder / "images"), "targets": str(folder / "masks")},
        "split": {"kind": "hash", "share": 0.3},
        "target": {"kind": "mask", "classes": CLASSES},
        "sampling": {"crop": 32, "samples": 24},
    }
    return DataSpec.model_validate(values | changes)


def alone(folder: Path, **changes: Any) -> DataSpec:
    """The images below a folder, with targets made from them."""
    values = {
        "train": {"kind": "images", "uri": str(folder / "images")},
        "normalization": {"kind": "estimate", "per_band": False},
    }
    return spec_of(folder, **(values | changes))


def made(spec: DataSpec) -> Prepared:
    """Looked through, one after the other."""
    return prepare(spec, mapper=map)
