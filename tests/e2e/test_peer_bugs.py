"""What went wrong elsewhere: bugs that users of other tiled pipelines reported, each with a test that it is not here.

Most of them can be read off a network that gives its input back: what it writes must be the scene, pixel for pixel.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from e2e.made import (
    classes_package,
    command,
    identity_package,
    image_of,
    markers,
    plain_labels,
    run,
    write_spec,
    write_tiff,
)
from jobs_made import spoil_tile
from rasters import coordinate_image

from encdec_batch import build_plan, load_spec
from encdec_batch.plan.checks import is_check_name
from encdec_batch.plan.item import work_items

pytestmark = pytest.mark.integration

FLOAT = ("uint16", "float32", "uint8")


def places(height: int, width: int) -> np.ndarray:
    """(1, height, width), uint16: no two pixels of a neighbourhood alike, none of them 0."""
    return coordinate_image(1, height, width, "uint16") + 1


def copied(tmp_path: Path, pixels: np.ndarray, **changes) -> np.ndarray:
    """The scene after it went through the job."""
    write_tiff(tmp_path / "in/a.tif", pixels)
    ended = run(write_spec(tmp_path, tmp_path / "in", identity_package(1, FLOAT), **changes))
    assert ended.code == 0, ended
    return image_of(tmp_path / "out", "a")


SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 300), (300, 5), (127, 129), (129, 1500), (1500, 129), (700, 1100)]
STITCHES = {
    "crop": {"kind": "crop"},
    "hann": {"kind": "blend", "weights": "hann"},
    "gaussian": {"kind": "blend", "weights": "gaussian"},
}


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("stitch", STITCHES)
def test_every_pixel_is_written_once_and_where_it_belongs(tmp_path, shape, stitch):
    """geoai: a border frame of nodata; TorchGeo: small images skipped; rslearn: the middle not covered; geoai: scenes
    that are not square.
    """
    pixels = places(*shape)
    result = copied(tmp_path, pixels, tiling={"stitch": STITCHES[stitch]})
    assert result.shape == pixels.shape
    assert not np.isnan(result).any()
    if stitch == "crop":
        np.testing.assert_array_equal(result, pixels)
    else:
        # Weights that do not sum to 1 would show as attenuated corners; what is left is rounding.
        np.testing.assert_allclose(result, pixels, rtol=1e-6)


@pytest.mark.parametrize(("core", "block"), [(8, 512), (50, 512), (500, 512), (512, 1024), (3000, 3072)])
def test_no_core_or_block_leaves_a_gap(tmp_path, core, block):
    shape = (130, 700) if core == 8 else (1300, 1100)
    pixels = places(*shape)
    result = copied(tmp_path, pixels, tiling={"core": core, "block": block})
    np.testing.assert_array_equal(result, pixels)


def test_an_archive_of_many_sizes_is_done_to_the_last_one(tmp_path):
    sides = (1, 2, 3, 17, 127, 130)
    for height, width in itertools.product(sides, sides):
        write_tiff(tmp_path / f"in/{height}x{width}.tif", places(height, width))
    ended = run(write_spec(tmp_path, tmp_path / "in", identity_package(1, FLOAT)))
    assert (ended.code, ended.result["scenes_committed"]) == (0, len(sides) ** 2)
    for height, width in itertools.product(sides, sides):
        np.testing.assert_array_equal(image_of(tmp_path / "out", f"{height}x{width}"), places(height, width))


def test_the_edges_of_a_scene_are_as_in_one_pass_over_it(tmp_path):
    """Border frames, corner attenuation, halos of mirrored pixels where there are real ones."""
    package = classes_package(1, seed=7)
    pixels = coordinate_image(1, 700, 1100)
    write_tiff(tmp_path / "in/a.tif", pixels)
    assert run(write_spec(tmp_path, tmp_path / "in", package)).code == 0
    mask = image_of(tmp_path / "out", "a", "mask.tif")[0]
    assert 0.02 < (mask == 1).mean() < 0.98
    np.testing.assert_array_equal(mask, plain_labels(package, pixels))


def test_a_dark_corner_is_judged_as_part_of_its_scene(tmp_path):
    """MAPLE, cellpose: normalised by its own statistics, a dark tile becomes as bright as any other."""
    package = classes_package(1, seed=7)
    bright = coordinate_image(1, 700, 1100) // 2 + 120
    dark = bright.copy()
    dark[:, :512, :512] //= 30
    masks = {}
    for name, pixels in (("bright", bright), ("dark", dark)):
        write_tiff(tmp_path / f"in/{name}.tif", pixels)
        write_tiff(tmp_path / f"in/{name}_corner.tif", pixels[:, :400, :400])
    assert run(write_spec(tmp_path, tmp_path / "in", package)).code == 0
    for name in markers(tmp_path / "out"):
        masks[name] = image_of(tmp_path / "out", name, "mask.tif")[0]
    # The corner alone gives what it gives in the whole, and the rest does not know of it (reach: less than 16 px).
    for name in ("bright", "dark"):
        np.testing.assert_array_equal(masks[f"{name}_corner"][:384, :384], masks[name][:384, :384])
    np.testing.assert_array_equal(masks["dark"][528:], masks["bright"][528:])
    np.testing.assert_array_equal(masks["dark"][:, 528:], masks["bright"][:, 528:])
    assert (masks["dark"][:496, :496] != masks["bright"][:496, :496]).mean() > 0.05


def job_of_two(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        write_tiff(tmp_path / f"in/{name}.tif", coordinate_image(1, 300, 700, origin=(0, 9 * (name == "b"))))
    return write_spec(tmp_path, tmp_path / "in", classes_package(1))


def masks_of(tmp_path: Path) -> dict[str, bytes]:
    found = markers(tmp_path / "out")
    return {name: (tmp_path / "out" / marker.outputs["mask.tif"].path).read_bytes() for name, marker in found.items()}


def test_a_file_that_lies_there_is_not_taken_as_done(tmp_path):
    """nnU-Net, FTW: a truncated result of a killed run was skipped for good, as its name was there."""
    spec = job_of_two(tmp_path)
    assert run(spec).code == 0
    expected = masks_of(tmp_path)
    first = markers(tmp_path / "out")["a"]
    # As after a death before the commit: files, no marker, and the file is cut short in a place of its own.
    (tmp_path / "out/markers/a.json").unlink()
    mask = tmp_path / "out" / first.outputs["mask.tif"].path
    strange = mask.parent.parent / "1-0123456789abcdef-01234567" / "mask.tif"
    strange.parent.mkdir()
    strange.write_bytes(mask.read_bytes()[:1000])
    (tmp_path / "out/scenes/c/1-0123456789abcdef-01234567").mkdir(parents=True)
    (tmp_path / "out/scenes/c/1-0123456789abcdef-01234567/mask.tif").write_bytes(b"II*")
    ended = run(spec)
    assert (ended.code, ended.result["scenes_committed"]) == (0, 1)
    assert masks_of(tmp_path) == expected
    assert set(markers(tmp_path / "out")) == {"a", "b"}


def test_a_committed_file_that_was_damaged_is_found(tmp_path):
    spec = job_of_two(tmp_path)
    assert run(spec).code == 0
    path = markers(tmp_path / "out")["a"].outputs["mask.tif"].path
    with (tmp_path / "out" / path).open("r+b") as file:
        file.truncate(2000)
    ended = command("verify", tmp_path / "out", "--json")
    assert (ended.code, ended.result["bad"]) == (1, [path])


def test_a_part_that_is_cut_short_is_not_taken_as_done(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1, 300, 1300), dtype=np.uint8)
    scene = write_tiff(tmp_path / "in/a.tif", noise)
    good, stamp = scene.read_bytes(), scene.stat().st_mtime_ns
    reference = run(write_spec(tmp_path / "one", tmp_path / "in", classes_package(1))).result["digest"]
    # A part of an unfinished run: the second and third of three blocks cannot be read.
    spoil_tile(scene, 200, 1200)
    _set_time(scene, stamp)
    spec = write_spec(tmp_path / "two", tmp_path / "in", classes_package(1))
    assert run(spec).code == 3
    files = [path for path in (tmp_path / "two/out/.encdec/parts").rglob("*") if path.is_file()]
    (part,) = [path for path in files if not is_check_name(path.name)]
    part.write_bytes(part.read_bytes()[:-20])
    scene.write_bytes(good)
    _set_time(scene, stamp)
    assert command("retry", tmp_path / "two/out").code == 0
    ended = run(spec)
    assert (ended.code, ended.result["digest"]) == (0, reference)
    assert ended.result["blocks"] == 3


def _set_time(path: Path, stamp: int) -> None:
    os.utime(path, ns=(stamp, stamp))


def test_a_rerun_never_mixes_two_models(tmp_path):
    """Raster Vision, OpenMHC: an output of the model before was served for the new one."""
    spec = job_of_two(tmp_path)
    assert run(spec).code == 0
    one = masks_of(tmp_path)
    other = tmp_path / "other"
    write_spec(other, tmp_path / "in", classes_package(1, seed=5))
    assert run(other / "job.yaml").code == 0
    two = masks_of(other)
    assert one["a"] != two["a"]
    # A third scene, then the other model on the first output: all three are the new model's, none is left over.
    write_tiff(tmp_path / "in/c.tif", coordinate_image(1, 300, 300))
    ended = run(spec, "--set", f"model.package={classes_package(1, seed=5)}")
    assert (ended.code, ended.result["scenes_committed"]) == (0, 3)
    mixed = masks_of(tmp_path)
    assert (mixed["a"], mixed["b"]) == (two["a"], two["b"])
    # And back: the first model's bytes again, in a generation of their own.
    assert run(spec).result["scenes_committed"] == 3
    assert {name: data for name, data in masks_of(tmp_path).items() if name != "c"} == one
    assert {marker.generation for name, marker in markers(tmp_path / "out").items() if name != "c"} == {3}
    assert run(spec).result["scenes_committed"] == 0


def test_a_new_model_at_the_same_address_is_noticed(tmp_path):
    shutil.copytree(classes_package(1), tmp_path / "package")
    write_tiff(tmp_path / "in/a.tif", coordinate_image(1, 300, 400))
    spec = write_spec(tmp_path, tmp_path / "in", str(tmp_path / "package"))
    assert run(spec).code == 0
    first = masks_of(tmp_path)["a"]
    shutil.rmtree(tmp_path / "package")
    shutil.copytree(classes_package(1, seed=5), tmp_path / "package")
    assert run(spec).result["scenes_committed"] == 1
    assert masks_of(tmp_path)["a"] != first


def test_a_row_of_an_error_is_not_taken_as_done(tmp_path):
    """OpenHands: rows with an error counted as finished, and a rerun never touched them."""
    spec = job_of_two(tmp_path)
    good = (tmp_path / "in/b.tif").read_bytes()
    (tmp_path / "in/b.tif").write_bytes(good[: len(good) // 2])
    ended = run(spec)
    assert (ended.code, ended.result["scenes_done"], ended.result["scenes_committed"]) == (3, 1, 1)
    status = command("status", tmp_path / "out", "--json").result
    assert (status["scenes_with_outputs"], status["scenes_set_aside"]) == (1, 1)
    assert run(spec).code == 3
    (tmp_path / "in/b.tif").write_bytes(good)
    ended = run(spec)
    assert (ended.code, ended.result["scenes_committed"]) == (0, 1)
    assert set(masks_of(tmp_path)) == {"a", "b"}


def test_a_failed_block_leaves_no_half_made_scene(tmp_path):
    """A block that cannot be read is a scene that is set aside, never a hole of nodata in a result."""
    write_tiff(tmp_path / "in/a.tif", np.random.default_rng(0).integers(0, 255, (1, 700, 1100), dtype=np.uint8))
    spoil_tile(tmp_path / "in/a.tif", 600, 1000)
    spec = write_spec(tmp_path, tmp_path / "in", classes_package(1))
    ended = run(spec)
    assert (ended.code, ended.result["scenes_done"]) == (3, 0)
    assert markers(tmp_path / "out") == {}
    assert not list((tmp_path / "out").glob("scenes/**/*.tif"))


def test_nodata_of_a_scene_is_nodata_of_its_result_and_nothing_else_is(tmp_path):
    """Frames of nodata around each tile; values clipped into the nodata value."""
    pixels = places(700, 1100).astype("float32")
    row, col = np.ogrid[0:700, 0:1100]
    holes = (row - 350) ** 2 + (col - 550) ** 2 < 150**2
    pixels[0][holes] = -9999
    write_tiff(tmp_path / "in/a.tif", pixels, nodata=-9999)
    assert run(write_spec(tmp_path, tmp_path / "in", identity_package(1, FLOAT))).code == 0
    result = image_of(tmp_path / "out", "a")[0]
    np.testing.assert_array_equal(np.isnan(result), holes)
    np.testing.assert_array_equal(result[~holes], pixels[0][~holes])


def test_the_result_lies_where_the_scene_lies(tmp_path):
    write_tiff(tmp_path / "in/a.tif", places(700, 1100))
    assert run(write_spec(tmp_path, tmp_path / "in", identity_package(1, FLOAT))).code == 0
    path = markers(tmp_path / "out")["a"].outputs["image.tif"].path
    with rasterio.open(tmp_path / "in/a.tif") as scene, rasterio.open(tmp_path / "out" / path) as result:
        assert (result.crs, result.transform, result.shape) == (scene.crs, scene.transform, scene.shape)


def test_no_work_item_carries_a_scene(tmp_path):
    """MAPLE: the bytes of a scene were copied into each row of its tiles. Ours name windows."""
    write_tiff(tmp_path / "in/a.tif", np.random.default_rng(0).integers(0, 255, (1, 1100, 5000), dtype=np.uint8))
    plan = build_plan(load_spec(write_spec(tmp_path, tmp_path / "in", classes_package(1))))
    items = list(work_items(plan.scenes))
    assert len(items) >= 2
    assert max(len(item.to_json()) for item in items) < 8000
    assert json.loads(items[0].to_json())["pieces"][0]["blocks"][:2] == [[0, 0], [0, 1]]
