"""Aerial images at twice their resolution: EDSR beside bicubic interpolation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.samples.resample import nearest
from jobs.demo.pieces import FOLDER, RESTORED, SCALE, read
from jobs.demo.record import Figure, Place, Row
from jobs.demo.restoration import Made, everywhere, figures, place
from jobs.demo.results import as_pixels, report_of, result, run_job
from jobs.scores.restoration import as_file, bicubic, luma, shaved

TASK = "Super-resolution"
GIVEN, BICUBIC, EDSR = "Input, its pixels enlarged", "Bicubic", "EDSR"


def enlarging() -> Row:
    """Runs a job and judges it."""
    run_job("demo-enlarging.yaml", "enlarged")
    return Row(
        task=TASK,
        text="Images at half their resolution, made by bicubic interpolation with antialiasing, brought back to "
        "all of it by the package sr-x2 (a narrow EDSR), beside bicubic interpolation. Figures are of luma, without 2 "
        "pixels of the border.",
        places=tuple(_place(name) for name in RESTORED),
        reports=(report_of("enlarged"),),
    )


def judge(clean: NDArray[Any], made: Made) -> tuple[Figure, ...]:
    """PSNR and SSIM as papers count them: files of 8 bits, on Y, without as many pixels of the border as the scale."""
    truth, valid = luma(clean), everywhere(clean)
    counted = {
        name: shaved(truth, luma(as_file(one, "uint8")), valid, border=SCALE, span=255.0) for name, one in made.items()
    }
    return figures(counted, (EDSR,))


def without_network(small: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """By name: what plain methods make of it."""
    return {BICUBIC: bicubic(small, SCALE)}


def _place(name: str) -> Place:
    clean, small = (read(FOLDER / folder / f"{name}.tif")[:3] for folder in ("clean", "small"))
    given = nearest(small, *clean.shape[1:])
    made = without_network(small) | {EDSR: as_pixels(result("enlarged", name, "image.tif"))}
    return place(name, judge(clean, made), {GIVEN: given, **made}, clean)
