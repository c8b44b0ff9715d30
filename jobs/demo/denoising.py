"""Noise of known strength in aerial images: a U-Net and an autoencoder beside medians and non-local means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.evaluation.metrics import Fidelity
from jobs.demo.pieces import FOLDER, RESTORED, SIGMA, read
from jobs.demo.record import Figure, Place, Row
from jobs.demo.restoration import Made, everywhere, figures, place
from jobs.demo.results import as_pixels, report_of, result, run_job
from jobs.scores.restoration import as_file, median, nl_means

TASK = "Denoising"
NOISY, MEDIAN_3, MEDIAN_5, NL_MEANS = "Noisy", "Median 3x3", "Median 5x5", "Non-local means"
NETWORKS = UNET, AUTOENCODER = "U-Net", "Autoencoder"
SHOWN = (NOISY, MEDIAN_5, NL_MEANS, AUTOENCODER, UNET)


def denoising() -> Row:
    """Runs two jobs and judges them."""
    run_job("demo-denoising.yaml", "denoised")
    run_job("demo-denoising.yaml", "denoised-autoencoder", "autoencoder")
    return Row(
        task=TASK,
        text=f"Gaussian noise of standard deviation {SIGMA:.0f}, added with a fixed seed, rounded and clipped to 8 "
        "bits, taken off by the packages denoiser (U-Net, trained for all strengths from 5 to 50) and autoencoder "
        "(for 25), beside medians of 3x3 and 5x5 and non-local means, which alone are told the strength.",
        places=tuple(_place(name) for name in RESTORED),
        reports=(report_of("denoised"), report_of("denoised-autoencoder")),
    )


def judge(clean: NDArray[Any], made: Made) -> tuple[Figure, ...]:
    """PSNR and SSIM as files of 8 bits, over all bands, by method."""
    counted = {name: Fidelity.of(clean, as_file(one, "uint8"), everywhere(clean), 255.0) for name, one in made.items()}
    return figures(counted, tuple(name for name in NETWORKS if name in made))


def without_network(noisy: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """By name: as it is, and what plain methods make of it."""
    return {
        NOISY: noisy,
        MEDIAN_3: median(noisy, 3),
        MEDIAN_5: median(noisy, 5),
        NL_MEANS: nl_means(noisy, SIGMA),
    }


def _place(name: str) -> Place:
    clean, noisy = (read(FOLDER / folder / f"{name}.tif")[:3] for folder in ("clean", "noisy"))
    made = without_network(noisy) | {
        UNET: as_pixels(result("denoised", name, "image.tif")),
        AUTOENCODER: as_pixels(result("denoised-autoencoder", name, "image.tif")),
    }
    return place(name, judge(clean, made), {title: made[title] for title in SHOWN}, clean)
