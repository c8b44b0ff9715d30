"""Aerial images that no package here was trained on, and what is made of them for the networks to work on.

Of the North Dakota scenes trainings saw columns 0 to 599 (`jobs/tables/naip.csv`, `jobs/tables/public.csv`); pieces are
cut from column 640 on, so that networks are shown no pixel that was trained on. Virginia was in no training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.windows import Window

from encdec_batch.spec.train_target import Gaussian
from encdec_batch.train.samples.noise import add_noise, quantised
from encdec_batch.train.samples.resample import shrink
from jobs.demo.command import OUTPUT, SAMPLES

TRAINED_COLUMNS, HELD_OUT_FROM = 600, 640
NORTH_DAKOTA = ("north_dakota_2010", "north_dakota_2012", "north_dakota_2015")
VIRGINIA = "virginia"
RESTORED = ("north_dakota_2012", VIRGINIA)
"""Of which noisy and small versions are made: the date whose file is lossless, and the other place."""
SIGMA, SEED, SCALE = 25.0, 0, 2
FOLDER = OUTPUT / "pieces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Pixels and where they lie."""

    pixels: NDArray[np.uint8]
    """(bands, H, W): red, green, blue, near infrared. Sides are even."""
    crs: Any
    transform: Affine


def write_pieces() -> None:
    """`clean` (four bands), `noisy` and `small` (three), each a folder of GeoTIFF below `pieces` of the output."""
    for name in (*NORTH_DAKOTA, VIRGINIA):
        piece = held_out(name)
        _write(FOLDER / "clean" / f"{name}.tif", piece.pixels, piece, 1)
        if name in RESTORED:
            _write(FOLDER / "noisy" / f"{name}.tif", noisy(piece.pixels[:3]), piece, 1)
            _write(FOLDER / "small" / f"{name}.tif", small(piece.pixels[:3]), piece, SCALE)


def held_out(name: str) -> Piece:
    """The part of a sample that no network was trained on."""
    with rasterio.open(SAMPLES / "aerial" / f"{name}.tif") as scene:
        left = 0 if name == VIRGINIA else HELD_OUT_FROM
        window = Window(left, 0, _even(scene.width - left), _even(scene.height))
        return Piece(pixels=scene.read(window=window), crs=scene.crs, transform=_cut(scene.transform, left, 1))


def trained_infrared() -> float:
    """All that predict-the-mean knows: the mean near infrared of the columns trained on, of the three dates here."""
    window = Window(0, 0, TRAINED_COLUMNS, 10_000)
    means = []
    for name in NORTH_DAKOTA:
        with rasterio.open(SAMPLES / "aerial" / f"{name}.tif") as scene:
            means.append(float(scene.read(4, window=window).mean()))
    return sum(means) / len(means)


def noisy(clean_CHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With Gaussian noise as trainings add it, rounded and clipped as a file of it would be; the same each time."""
    made = add_noise(clean_CHW.astype(np.float32), Gaussian(kind="gaussian", sigma=SIGMA), np.random.default_rng(SEED))
    return quantised(made.pixels, "uint8").astype(np.uint8)


def small(clean_CHW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At half the resolution, as trainings make it."""
    return shrink(clean_CHW.astype(np.float32), SCALE, dtype="uint8").astype(np.uint8)


def read(path: Path) -> NDArray[Any]:
    """(bands, H, W)."""
    with rasterio.open(path) as scene:
        pixels: NDArray[Any] = scene.read()
    return pixels


def _write(path: Path, pixels: NDArray[np.uint8], piece: Piece, shrunk: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype="uint8", compress="deflate",
        tiled=True, blockxsize=256, blockysize=256, crs=piece.crs, transform=_cut(piece.transform, 0, shrunk),
    ) as target:  # fmt: skip
        target.write(pixels)


def _cut(transform: Affine, left: int, shrunk: int) -> Affine:
    """Of an image that begins `left` columns later, and whose pixels are `shrunk` times as large."""
    a, b, c, d, e, f = transform[:6]
    return Affine(a * shrunk, b * shrunk, c + a * left, d * shrunk, e * shrunk, f + d * left)


def _even(side: int) -> int:
    return side - side % SCALE
