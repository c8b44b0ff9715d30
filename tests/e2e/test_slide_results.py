"""A slide through a job: outlines, OME-TIFF and OME-Zarr say what its mask says; a folder is checked as files are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from e2e.made import aside, classes_package, command, image_of, markers, run, write_spec, write_tiff
from rasterio.features import rasterize
from slides import SECRET, pyramid_of, smooth, write_aperio

pytestmark = pytest.mark.integration

KINDS = [{"kind": kind} for kind in ("cog", "geojson", "ome_tiff", "ome_zarr")]


@pytest.fixture
def done(tmp_path, monkeypatch) -> tuple[Path, Path]:
    """Spec and output; the slide was read at twice the size of its finest pixels."""
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key for tests, long enough")
    (tmp_path / "in").mkdir()
    write_aperio(tmp_path / "in/slide.svs", pyramid_of(smooth(1300, 1100), 2), mpp="0.5")
    source = {"kind": "prefix", "uri": str(tmp_path / "in"), "suffixes": [".svs"], "um_per_px": 1.0}
    spec = write_spec(tmp_path, source, classes_package(3), output={"files": KINDS})
    ended = run(spec)
    assert ended.code == 0, ended
    return spec, tmp_path / "out"


def test_results_of_a_slide_say_what_its_mask_says(done):
    out = done[1]
    [marker] = markers(out).values()
    mask = image_of(out, marker.scene_id, "mask.tif")[0]
    assert mask.shape == (650, 550)

    outlines = json.loads((out / marker.outputs["outlines.geojson"].path).read_text())
    burnt = rasterize([feature["geometry"] for feature in outlines["features"]], (1300, 1100))
    np.testing.assert_array_equal(burnt[::2, ::2], mask == 1)
    np.testing.assert_array_equal(burnt[1::2, 1::2], mask == 1)

    with tifffile.TiffFile(out / marker.outputs["mask.ome.tif"].path) as tiff:
        np.testing.assert_array_equal(tiff.asarray(), mask)
        assert 'PhysicalSizeX="1.0"' in tiff.ome_metadata
    folder = out / marker.outputs["mask.ome.zarr"].path
    np.testing.assert_array_equal(zarr.open_group(folder, mode="r")["labels/classes/0"][:], mask)
    for path in out.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_damaged_object_of_a_folder_is_found_and_its_scene_made_again(done):
    spec, out = done
    [marker] = markers(out).values()
    before = command("verify", out, "--json").result
    assert before["files"] == 3 + len(marker.outputs["mask.ome.zarr"].members)
    member = f"{marker.outputs['mask.ome.zarr'].path}/labels/classes/0/c/0/0"
    (out / member).unlink()
    ended = command("verify", out, "--repair", "--json")
    assert ended.result["bad"] == [member]
    assert ended.result["repaired"]["taken_out"] == [marker.scene_id]
    assert run(spec).result["digest"] == before["digest"]
    assert command("prune", out, "--keep-hours", "0", "--json").result["folders"]
    assert command("verify", out, "--json").result["bad"] == []
    old = out / marker.outputs["mask.tif"].path
    assert not [path for path in old.parent.rglob("*") if path.is_file()]


def test_scenes_on_a_map_have_no_outlines_in_pixels(tmp_path):
    write_tiff(tmp_path / "in/a.tif", np.zeros((1, 40, 40), np.uint8))
    ended = run(write_spec(tmp_path, tmp_path / "in", classes_package(1), output={"files": KINDS}))
    assert ended.code == 3
    assert "it lies on a map" in aside(ended)["a"]["reason"]
    assert "cells.parquet" in aside(ended)["a"]["hint"]
