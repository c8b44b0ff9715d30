"""Nuclei of cells: a U-Net and a SegNet beside Otsu's threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.evaluation.metrics import Confusion
from jobs.demo import pictures
from jobs.demo.command import SAMPLES
from jobs.demo.pieces import read
from jobs.demo.record import Figure, Picture, Place, Row, Strip
from jobs.demo.results import report_of, result, run_job
from jobs.scores.thresholds import otsu

TASK = "Segmentation"
SHOWN = ("003cee89357d", "c96109cbebcf", "d52958107d0b")
"""One of each size."""
OTSU, UNET, SEGNET = "Otsu", "U-Net", "SegNet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """Of one image, all (H, W): nuclei are above 0."""

    name: str
    grey: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    found: dict[str, NDArray[np.integer]]
    """By method."""


def segmentation() -> Row:
    """Runs two jobs and judges them."""
    run_job("demo-nuclei.yaml", "nuclei")
    run_job("demo-nuclei.yaml", "nuclei-segnet", "nuclei-segnet")
    images = [_masks(path.stem) for path in sorted((SAMPLES / "nuclei").glob("*.png"))]
    place = Place(
        title=f"{len(images)} images",
        note="Fluorescence, of the validation split; images of one plate may lie in both splits. Blue: missed; orange: "
        "wrongly found.",
        figures=(figure([(image.truth, image.found) for image in images]),),
        strips=tuple(_strip(image) for image in images if image.name in SHOWN),
    )
    return Row(
        task=TASK,
        text="Nuclei of cells in grey images, by the packages nuclei (U-Net) and nuclei-segnet (SegNet), beside Otsu's "
        "threshold, the bright side being nuclei. IoU is of the class nucleus, over all pixels together.",
        places=(place,),
        reports=(report_of("nuclei"), report_of("nuclei-segnet")),
    )


def figure(images: list[tuple[NDArray[np.integer], dict[str, NDArray[np.integer]]]]) -> Figure:
    """IoU of nuclei by method, over all pixels of these images: the truth, and what each method found."""
    found = {method: _iou([(truth, made[method]) for truth, made in images]) for method in images[0][1]}
    return Figure(
        measure="IoU",
        higher_is_better=True,
        plain={OTSU: found[OTSU]},
        networks={name: value for name, value in found.items() if name != OTSU},
        digits=3,
    )


def _masks(name: str) -> Masks:
    grey, truth = read(SAMPLES / f"nuclei/{name}.png"), read(SAMPLES / f"nuclei-labels/{name}.png")
    return Masks(
        name=name,
        grey=grey[0],
        truth=truth[0],
        found={
            OTSU: otsu(grey, np.ones(grey.shape[1:], bool), above=1),
            UNET: result("nuclei", name, "mask.tif")[0],
            SEGNET: result("nuclei-segnet", name, "mask.tif")[0],
        },
    )


def _strip(image: Masks) -> Strip:
    judged = figure([(image.truth, image.found)])
    scores = judged.plain | judged.networks
    made = [
        Picture(
            name=method,
            role="plain" if method == OTSU else "network",
            image=pictures.mask(found, image.truth),
            said=f"IoU {judged.said(scores[method])}",
            fault=judged.fault(method),
        )
        for method, found in image.found.items()
    ]
    given = Picture(name="Input, stretched", role="input", image=pictures.stretched(image.grey))
    truth = Picture(name="Labels", role="truth", image=pictures.mask(image.truth, image.truth))
    height, width = image.grey.shape
    return Strip(caption=f"{image.name}, {width} x {height} px", pictures=(given, *made, truth))


def _iou(pairs: list[tuple[NDArray[np.integer], NDArray[np.integer]]]) -> float:
    counted = [Confusion.of(truth > 0, made > 0, np.ones(truth.shape, bool), 2) for truth, made in pairs]
    return float(sum(counted[1:], start=counted[0]).iou[1])
