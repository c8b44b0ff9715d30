"""Image-to-image and super-resolution: whole jobs, several blocks, against the same network on the whole array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from jobs_made import make_archive, make_job, make_package, scene_pixels
from models.made import declared, sample
from PIL import Image
from rasters import gtiff
from rio_cogeo.cogeo import cog_validate

import encdec_batch as eb
from encdec_batch.models.architectures import construct
from encdec_batch.models.card import ImageOutput
from encdec_batch.models.publish import publish_package

pytestmark = pytest.mark.e2e

HEIGHT, WIDTH = 700, 1200


def image_package(folder: Path, architecture: str, arguments: dict[str, Any], dtype: Any) -> Path:
    torch.manual_seed(1)
    network = construct(architecture, arguments).eval()
    output = ImageOutput(kind="image", band_names=("a", "b"), dtype=dtype, range=(-1.5, 1.5))
    card = declared(architecture=architecture, arguments=arguments, output=output, task="super-resolution")
    publish_package(str(folder), network, card, sample())
    return folder


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_places_its_pixels_where_the_input_lies(tmp_path: Path, scale: int) -> None:
    arguments = {"in_channels": 2, "out_channels": 2, "scale": scale, "width": 4}
    package = image_package(tmp_path / "package", "espcn", arguments, "uint16")
    archive = tmp_path / "archive"
    archive.mkdir()
    pixels = scene_pixels(HEIGHT, WIDTH)
    gtiff(pixels)(archive / "scene.tif")
    files = [{"kind": "cog", "codec": "zstd"}, {"kind": "quicklook"}, {"kind": "png"}]
    output = {"uri": str(tmp_path / "output"), "files": files}
    job = make_job(tmp_path / "job", archive, package, output=tmp_path / "output", tiling={"core": 200, "block": 512})
    summary = job.run("output=" + str(output).replace("'", '"'))
    assert (summary.exit_code, summary.blocks) == (0, 2 * 3)
    marker = job.markers()["scene"][0]
    path = job.output / marker.outputs["image.tif"].path
    assert cog_validate(path, strict=True)[0]
    with rasterio.open(archive / "scene.tif") as given, rasterio.open(path) as made:
        assert (made.height, made.width, made.count) == (HEIGHT * scale, WIDTH * scale, 2)
        assert made.crs == given.crs
        assert made.transform == given.transform @ given.transform.scale(1 / scale)
        assert made.nodata == 0
        image = made.read()
    whole = eb.predict_array(eb.load_package(str(package)), pixels, core=10_000, precision="float32")
    assert whole.shape == image.shape
    # 1e-5 of the output range is less than one of its 65534 steps; a value at the border of two may round either way.
    assert np.abs(image.astype(int) - whole.astype(int)).max() <= 1
    assert (image > 0).all()


def test_a_png_above_its_largest_side_is_the_quicklook_under_the_same_name(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", {"large": (700, 1200), "small": (500, 600)})
    files = "output.files=[{kind: png, max_side: 600}, {kind: quicklook, max_side: 1024}]"
    job = make_job(tmp_path / "job", archive, make_package(tmp_path / "package"))
    assert job.run(files).exit_code == 0
    large, small = (job.markers()[name][0] for name in ("large", "small"))
    sizes = {}
    for marker in (large, small):
        assert set(marker.outputs) == {"mask.png", "quicklook.png"}
        for name, file in marker.outputs.items():
            with Image.open(job.output / file.path) as image:
                sizes[marker.scene_id, name] = image.size
    # Levels of 1200, 600 and 300 px: the largest that either option allows.
    assert sizes["large", "mask.png"] == sizes["large", "quicklook.png"] == (600, 350)
    assert sizes["small", "mask.png"] == sizes["small", "quicklook.png"] == (600, 500)
    assert large.notes == ("mask.png is a quicklook: the scene's side of 1200 px is above png.max_side 600",)
    assert small.notes == ()


def test_denoised_float_images_are_written_as_they_are(tmp_path: Path) -> None:
    arguments = {"in_channels": 2, "out_channels": 2, "width": 2, "depth": 2}
    package = image_package(tmp_path / "package", "unet", arguments, "float32")
    archive = tmp_path / "archive"
    archive.mkdir()
    pixels = scene_pixels(HEIGHT, WIDTH)
    pixels[:, 100:160, 500:600] = 0
    gtiff(pixels, nodata=0)(archive / "scene.tif")
    job = make_job(tmp_path / "job", archive, package, tiling={"core": 256, "block": 512})
    assert job.run().exit_code == 0
    path = job.output / job.markers()["scene"][0].outputs["image.tif"].path
    with rasterio.open(path) as made:
        image = made.read()
        assert made.dtypes == ("float32", "float32")
        assert np.isnan(made.nodata)
    assert np.isnan(image[:, 100:160, 500:600]).all()
    hole = (pixels == 0).any(axis=0)
    assert (np.isnan(image[0]) == hole).all()
