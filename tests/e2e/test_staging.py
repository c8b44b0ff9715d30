"""A striped giant is cut into tiles once, streaming, and comes out as its tiled twin does."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from jobs_made import make_job, make_package, scene_pixels
from rasters import gtiff

from encdec_batch.job.plan import build_plan

pytestmark = pytest.mark.e2e

HEIGHT, WIDTH = 2300, 12_000
"""Its strips do not fit what a reader keeps for the next block: read by block, the file would be read several times."""


def test_a_striped_giant_is_read_once_and_gives_the_bytes_of_its_tiled_twin(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    pixels = scene_pixels(HEIGHT, WIDTH)
    gtiff(pixels, tile=512)(archive / "tiled.tif")
    gtiff(pixels, tile=None, blockysize=1)(archive / "striped.tif")
    tiling = {"core": 512, "block": 2048}
    job = make_job(tmp_path / "job", archive, make_package(tmp_path / "package"), tiling=tiling)

    plan = build_plan(job.spec())
    assert {scene.scene_id: scene.staged for scene in plan.scenes} == {"striped": True, "tiled": False}
    size = (archive / "striped.tif").stat().st_size
    assert plan.bytes_to_read["striped"] <= size

    summary = job.run()
    assert summary.exit_code == 0
    markers = job.markers()
    masks = {}
    for name, (marker, _) in markers.items():
        with rasterio.open(job.output / marker.outputs["mask.tif"].path) as dataset:
            masks[name] = dataset.read()
    assert (masks["striped"] == masks["tiled"]).all()
    assert not list((job.output / ".encdec").glob("staged/*/*"))
