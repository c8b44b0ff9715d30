from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import rasterio

from jobs.labels import ndvi

JOBS = Path(__file__).parents[3] / "jobs"


def test_vegetation_is_taught_by_the_fourth_band(tmp_path):
    path = tmp_path / "naip.tif"
    pixels = np.zeros((4, 1, 4), np.uint8)
    pixels[0, 0], pixels[3, 0] = [100, 100, 0, 100], [200, 120, 0, 0]
    # A fourth band of 8 bits is alpha by default; in NAIP files it is not.
    profile = {"driver": "GTiff", "width": 4, "height": 1, "count": 4, "dtype": "uint8", "photometric": "minisblack"}
    with rasterio.open(path, "w", **profile) as out:
        out.write(pixels)
    written = ndvi.written(path, tmp_path)
    with rasterio.open(written) as label:
        # NDVI 1/3 and 0.09; no light at all is not known; no infrared is -1.
        assert label.read().tolist() == [[[1, 0, 255, 0]]]


def test_labels_kept_here_are_those_of_the_code():
    """Of the one scene that lies in this repository without loss."""
    with rasterio.open(JOBS / "labels/naip_nd_20120731_bandsep_zstd.png") as kept:
        np.testing.assert_array_equal(kept.read(1), ndvi.labelled(JOBS / "demo/aerial/north_dakota_2012.tif"))


def test_each_scene_of_the_table_has_its_label():
    table = JOBS / "tables/vegetation.csv"
    for row in csv.DictReader(table.open()):
        assert (table.parent / row["label"]).is_file()
        assert Path(row["label"]).stem == Path(row["image"]).stem
