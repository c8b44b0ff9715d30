"""No pixel of the demo's rows was trained on, and what networks are given is what trainings gave them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio

from jobs.demo import pieces
from jobs.demo.command import SAMPLES

TABLES = Path(__file__).parents[3] / "jobs/tables"
TRAINED = [
    row
    for name in ("naip", "public", "vegetation")
    for row in csv.DictReader((TABLES / f"{name}.csv").open())
    if row["split"] == "train"
]
CLEAN = pieces.held_out(pieces.VIRGINIA).pixels[:3]


def test_no_training_saw_a_piece():
    here = [row for row in TRAINED if "naip_nd_" in row["image"]]
    assert here
    assert all(int(row["col_off"]) + int(row["width"]) <= pieces.HELD_OUT_FROM for row in here)
    assert not [row for row in TRAINED if "naip_va_" in row["image"]]


def test_no_training_saw_an_image_of_cells():
    trained = {Path(row["image"]).stem for row in TRAINED}
    shown = {path.stem for path in (SAMPLES / "nuclei").glob("*.png")}
    assert len(shown) >= 4
    assert not shown & trained
    assert shown == {path.stem for path in (SAMPLES / "nuclei-labels").glob("*.png")}


@pytest.mark.parametrize("name", [*pieces.NORTH_DAKOTA, pieces.VIRGINIA])
def test_a_piece_lies_where_it_lay(name):
    piece = pieces.held_out(name)
    left = 0 if name == pieces.VIRGINIA else pieces.HELD_OUT_FROM
    with rasterio.open(SAMPLES / f"aerial/{name}.tif") as scene:
        height, width = piece.pixels.shape[1:]
        np.testing.assert_array_equal(piece.pixels, scene.read()[:, :height, left : left + width])
        assert piece.transform[:6] == pytest.approx(
            (*scene.transform[:2], scene.bounds.left + left * scene.res[0], *scene.transform[3:6])
        )
        assert width % 2 == height % 2 == 0
        assert scene.width - left - width < 2


def test_noise_is_of_the_strength_it_says_and_the_same_each_time():
    made = pieces.noisy(CLEAN)
    middle = (CLEAN > 100) & (CLEAN < 155)  # where hardly anything is clipped
    assert np.std(made[middle].astype(float) - CLEAN[middle]) == pytest.approx(pieces.SIGMA, rel=0.02)
    np.testing.assert_array_equal(made, pieces.noisy(CLEAN))


def test_a_small_image_has_half_the_sides_and_the_same_mean():
    made = pieces.small(CLEAN)
    assert made.shape == (3, CLEAN.shape[1] // 2, CLEAN.shape[2] // 2)
    assert made.mean() == pytest.approx(CLEAN.mean(), abs=0.5)


def test_the_mean_is_of_the_columns_trained_on():
    with rasterio.open(SAMPLES / "aerial/north_dakota_2012.tif") as scene:
        whole = scene.read(4)
    assert whole[:, :600].mean() != pytest.approx(whole.mean(), abs=0.5)
    parts = []
    for name in pieces.NORTH_DAKOTA:
        with rasterio.open(SAMPLES / f"aerial/{name}.tif") as scene:
            parts.append(scene.read(4)[:, : pieces.TRAINED_COLUMNS])
    assert pieces.trained_infrared() == pytest.approx(np.stack(parts).mean())
