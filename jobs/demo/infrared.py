"""The near infrared of aerial images from red, green and blue: Pix2Pix beside predict-the-mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.train.evaluation.metrics import Fidelity
from jobs.demo import pictures
from jobs.demo.pieces import FOLDER, NORTH_DAKOTA, VIRGINIA, read, trained_infrared
from jobs.demo.record import Figure, Picture, Place, Row, Strip
from jobs.demo.restoration import everywhere
from jobs.demo.results import as_pixels, report_of, result, run_job
from jobs.scores.restoration import as_file
from jobs.scores.translation import agreement, ndvi

TASK = "Image to image"
MEAN, PIX2PIX = "Predict the mean", "Pix2Pix"
SIDE = 288
SHOWN = {"north_dakota_2012": (0, 200), "north_dakota_2015": (0, 200), VIRGINIA: (150, 100)}
"""Column and row where the cut-out begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Infrared:
    """Of one piece: red (H, W), and the near infrared (1, H, W), true and made."""

    name: str
    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    made: dict[str, NDArray[Any]]
    """By method, as stored in files of 8 bits."""


def infrared() -> Row:
    """Runs a job and judges it."""
    run_job("demo-infrared.yaml", "infrared")
    mean = trained_infrared()
    dakota, virginia = ([_infrared(name, mean) for name in names] for names in (NORTH_DAKOTA, (VIRGINIA,)))
    return Row(
        task=TASK,
        text="Near infrared from red, green and blue by the package pix2pix-nir (a narrow Pix2Pix generator), beside "
        f"the mean near infrared of training, {mean:.0f} everywhere. The vegetation index NDVI = (NIR - red) / (NIR + "
        "red) is of stored numbers, from the made band against the true one. Errors are mean absolute ones.",
        places=(
            _place(
                "North Dakota",
                "Three dates, 5 m. Columns 640 to 933, of a place whose other columns were trained on.",
                dakota,
            ),
            _place("Virginia", "1 m: another place and scale, which the training did not see.", virginia),
        ),
        reports=(report_of("infrared"),),
    )


def judge(pieces: Sequence[Infrared]) -> tuple[Figure, ...]:
    """By method, over all pixels of these pieces: absolute error and SSIM of the band, absolute error of the index."""
    found = {method: _scores(pieces, method) for method in pieces[0].made}
    return tuple(
        Figure(
            measure=measure,
            higher_is_better=higher,
            plain={MEAN: found[MEAN][number]},
            networks={PIX2PIX: found[PIX2PIX][number]},
            digits=digits,
        )
        for number, (measure, higher, digits) in enumerate(
            [("NIR error", False, 1), ("NIR SSIM", True, 3), ("NDVI error", False, 3)]
        )
    )


def _scores(pieces: Sequence[Infrared], method: str) -> tuple[float, float, float]:
    counted = [Fidelity.of(one.truth, one.made[method], everywhere(one.truth), 255.0) for one in pieces]
    pooled = sum(counted[1:], start=counted[0])
    made, truth = (
        np.concatenate([ndvi(nir, one.rgb[:1]).ravel() for one, nir in zip(pieces, bands, strict=True)])
        for bands in ([one.made[method] for one in pieces], [one.truth for one in pieces])
    )
    return pooled.figures()["mae"], pooled.ssim, agreement(made, truth)[0]


def _infrared(name: str, mean: float) -> Infrared:
    pixels = read(FOLDER / "clean" / f"{name}.tif")
    made = {MEAN: np.full((1, *pixels.shape[1:]), mean), PIX2PIX: as_pixels(result("infrared", name, "image.tif"))}
    return Infrared(
        name=name, rgb=pixels[:3], truth=pixels[3:], made={key: as_file(one, "uint8") for key, one in made.items()}
    )


def _place(title: str, note: str, pieces: Sequence[Infrared]) -> Place:
    strips = [strip for piece in pieces if piece.name in SHOWN for strip in _strips(piece)]
    return Place(title=title, note=note, figures=judge(pieces), strips=tuple(strips))


def _strips(piece: Infrared) -> tuple[Strip, Strip]:
    """The band itself, and the vegetation index from it."""
    error, _, index_error = judge([piece])
    col, row = SHOWN[piece.name]
    cut = (slice(None), slice(row, row + SIDE), slice(col, col + SIDE))
    place = piece.name.replace("_", " ").title()

    def picture(name: str, nir: NDArray[Any], figure: Figure) -> Picture:
        band, red = nir[cut], piece.rgb[:1][cut]
        image = pictures.photo(band) if figure is error else pictures.index_map(ndvi(band, red)[0])
        values = figure.plain | figure.networks
        role = "truth" if name not in values else "plain" if name == MEAN else "network"
        said = f"mean error {figure.said(values[name])}" if name in values else ""
        return Picture(name=name, role=role, image=image, said=said, fault=figure.fault(name))

    given = Picture(name="Red, green, blue", role="input", image=pictures.photo(piece.rgb[cut]))
    shown = [*piece.made.items(), ("Truth", piece.truth)]
    height, width = piece.truth.shape[1:]
    size = f"a cut-out of {SIDE} x {SIDE} px; the figures are of all {width} x {height} px"
    return (
        Strip(caption=f"{place}, near infrared: {size}", pictures=(given, *(picture(*one, error) for one in shown))),
        Strip(
            caption=f"{place}, vegetation index, brown below 0, green above",
            pictures=(given, *(picture(*one, index_error) for one in shown)),
        ),
    )
