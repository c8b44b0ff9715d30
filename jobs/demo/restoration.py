"""What denoising and enlarging have in common: methods that are judged by how near they come to the clean image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.evaluation.metrics import Fidelity
from encdec_batch.train.samples.resample import nearest
from jobs.demo import pictures
from jobs.demo.pieces import VIRGINIA
from jobs.demo.record import Figure, Picture, Place, Strip

SIDE, ENLARGED = 144, 2
"""Of the cut-outs that are shown: large enough to see an image, small enough to see its pixels, each as 2 x 2."""
CUT = {"north_dakota_2012": (60, 250), VIRGINIA: (150, 170)}
"""Column and row of a piece where the cut-out begins; even."""
TITLES = {
    "north_dakota_2012": "North Dakota",
    VIRGINIA: "Virginia",
}
NOTES = {
    "north_dakota_2012": "31 July 2012, 5 m. Columns 640 to 933 of a scene whose columns 0 to 599 were trained on.",
    VIRGINIA: "1 m: another place, date and scale, which no training saw.",
}

Made = Mapping[str, NDArray[Any]]
"""Images (C, H, W) in stored units, by the name of what made them."""


def figures(fidelities: Mapping[str, Fidelity], networks: tuple[str, ...]) -> tuple[Figure, ...]:
    """PSNR and SSIM by method, those of `networks` apart from the plain ones."""
    made = []
    for measure, unit, digits in (("psnr", "PSNR dB", 2), ("ssim", "SSIM", 3)):
        values = {name: float(getattr(one, measure)) for name, one in fidelities.items()}
        made.append(
            Figure(
                measure=unit,
                higher_is_better=True,
                plain={name: value for name, value in values.items() if name not in networks},
                networks={name: values[name] for name in networks},
                digits=digits,
            )
        )
    return tuple(made)


def place(name: str, judged: tuple[Figure, ...], shown: Made, clean: NDArray[Any]) -> Place:
    """A piece with its figures, and a cut-out of each image in `shown`, with the figures of the methods among them."""
    made = tuple(_picture(title, cut_out(name, image), judged) for title, image in shown.items())
    truth = Picture(name="Original", role="truth", image=pictures.photo(cut_out(name, clean)))
    height, width = clean.shape[1:]
    caption = f"A cut-out of {SIDE} x {SIDE} px; the figures are of all {width} x {height} px"
    strip = Strip(caption=caption, pictures=(*made, truth))
    return Place(title=TITLES[name], note=NOTES[name], figures=judged, strips=(strip,))


def cut_out(name: str, image_CHW: NDArray[Any]) -> NDArray[Any]:
    """The part of a piece that is shown, each pixel as a square of several."""
    col, row = CUT[name]
    return nearest(image_CHW[:, row : row + SIDE, col : col + SIDE], ENLARGED * SIDE, ENLARGED * SIDE)


def _picture(title: str, image: NDArray[Any], judged: tuple[Figure, ...]) -> Picture:
    scores = [(figure, (figure.plain | figure.networks).get(title)) for figure in judged]
    said = [f"{figure.measure.split()[0]} {figure.said(value)}" for figure, value in scores if value is not None]
    network = any(title in figure.networks for figure in judged)
    role = "network" if network else "plain" if said else "input"
    return Picture(
        name=title,
        role=role,
        image=pictures.photo(image),
        said=", ".join(said),
        fault=max((figure.fault(title) for figure in judged), key=len),
    )


def everywhere(image_CHW: NDArray[Any]) -> NDArray[np.bool_]:
    """(H, W) all of it counts."""
    return np.ones(image_CHW.shape[1:], bool)
