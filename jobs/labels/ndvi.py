"""Vegetation in NAIP images, taught by near infrared: the labels `naip_*.png` in this folder.

    python -m jobs.labels.ndvi data/geo_scenes/naip_*.tif

The network that learns from them sees red, green and blue alone, so that it works on images without the fourth band.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

LEAST = 0.2
"""NDVI = (NIR - R) / (NIR + R) of stored numbers, above which a pixel is vegetation."""
UNKNOWN = 255
"""No data, or no light in both bands."""


def labelled(path: Path) -> NDArray[np.uint8]:
    """(H, W) 1 where a NAIP file shows vegetation, 0 elsewhere, 255 where that is not known.

    Source: Rouse et al. 1973 (Monitoring vegetation systems in the Great Plains with ERTS).
    """
    with rasterio.open(path) as scene:
        red, infrared = scene.read([1, 4]).astype(np.float32)
        valid = scene.dataset_mask() > 0
    total = red + infrared
    index = (infrared - red) / np.maximum(total, 1)
    return np.where(valid & (total > 0), index > LEAST, UNKNOWN).astype(np.uint8)


def written(path: Path, folder: Path) -> Path:
    """The label of a scene as a PNG of the same name."""
    label, out = labelled(path), folder / f"{path.stem}.png"
    height, width = label.shape
    with warnings.catch_warnings():
        # A PNG has no place: it is paired with its scene by the table.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            out, "w", driver="PNG", width=width, height=height, count=1, dtype="uint8", zlevel=9
        ) as image:
            image.write(label, 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Label vegetation in NAIP images by their near infrared.")
    parser.add_argument("scene", type=Path, nargs="+", help="red, green, blue, near infrared")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder; that of this file")
    given = parser.parse_args()
    for path in given.scene:
        print(written(path, given.out))


if __name__ == "__main__":
    main()
