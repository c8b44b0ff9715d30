"""Pairs of slices, of low and of full dose, to train a denoiser of CT on, and a table of them.

    python -m jobs.phantoms train-output/ct --real data/medical/nifti/example_ct_sm.nii.gz

Invented bodies are learned from. Validated on are real slices, scanned as the invented ones are; without --real, more
invented ones.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import tifffile
from numpy.typing import NDArray

from jobs.phantoms.body import AIR, draw_body
from jobs.phantoms.scanner import scan

SIDE = 128
TRAIN, VAL = 400, 30
PHOTONS = 4e4, 1e6
"""Of each beam, drawn evenly by their logarithm: of few the noise of a large body is some 70 units, of many some 10."""
PIXEL_MM = 2.3, 3.4


class Slice(NamedTuple):
    name: str
    split: str
    units: NDArray[np.float32]
    """(H, W) in Hounsfield units."""
    pixel_mm: float


def invented(first: int, number: int, split: str) -> Iterator[Slice]:
    """The same for the same number, whatever is drawn before."""
    for index in range(first, first + number):
        rng = np.random.default_rng((index, 0))
        yield Slice(f"invented-{index:04d}", split, draw_body(rng, SIDE), rng.uniform(*PIXEL_MM))


def real(path: Path) -> Iterator[Slice]:
    """The axial slices of a volume of Hounsfield units, with air around them so that they are square."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    voxels, pixel_mm = np.asarray(image.dataobj, np.float32), float(image.header.get_zooms()[0])
    for index, units in enumerate(np.moveaxis(voxels, 2, 0)):
        rest = [max(units.shape) - side for side in units.shape]
        square = np.pad(units, [(extra // 2, extra - extra // 2) for extra in rest], constant_values=AIR)
        yield Slice(f"real-{index:04d}", "val", square.clip(AIR), pixel_mm)


def written(one: Slice, seed: int, folder: Path) -> tuple[str, str]:
    """Names of its two files in the folder."""
    rng = np.random.default_rng((seed, 1))
    photons = float(np.exp(rng.uniform(*np.log(PHOTONS))))
    names = f"{one.name}-low.tif", f"{one.name}-full.tif"
    for name, units in zip(names, scan(one.units, pixel_mm=one.pixel_mm, photons=photons, rng=rng), strict=True):
        tifffile.imwrite(folder / name, units.round().clip(-32768, 32767).astype(np.int16))
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="gets the pairs and pairs.csv")
    parser.add_argument("--real", type=Path, help="a NIfTI of Hounsfield units to validate on")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    slices = [*invented(0, TRAIN, "train"), *(real(given.real) if given.real else invented(TRAIN, VAL, "val"))]
    with (given.folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("low", "full", "split"))
        for seed, one in enumerate(slices):
            rows.writerow((*written(one, seed, given.folder), one.split))
    print(f"{given.folder}: {len(slices)} pairs")


if __name__ == "__main__":
    main()
