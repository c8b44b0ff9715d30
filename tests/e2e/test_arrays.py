"""`predict_array` and a job: the same for the same image, however many blocks the job makes of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from e2e.made import BLOCK, CORE, classes_package, image_of, run, write_spec, write_tiff
from models.made import declared, sample

import encdec_batch as eb
from encdec_batch.models.architectures import construct
from encdec_batch.models.card import ImageOutput
from encdec_batch.models.publish import publish_package

pytestmark = pytest.mark.integration

ALIGNED = (2 * BLOCK, 3 * BLOCK)
"""Blocks of this scene are cut into the same tiles as the whole of it: bytes can be compared."""
ODD = (BLOCK + 201, 2 * BLOCK + 77)


def pixels_of(dtype: str, shape: tuple[int, int]) -> np.ndarray:
    """(2, height, width): values around the mean of the packages here, negative ones and fractions where there are."""
    values = np.random.default_rng(11).normal(110, 80, (2, *shape))
    limits = np.iinfo(dtype) if np.dtype(dtype).kind != "f" else np.finfo(dtype)
    return values.clip(limits.min, limits.max).astype(dtype)


def job_of(folder: Path, package: str, scenes: dict[str, np.ndarray], **changes: Any) -> Path:
    """Output of a job over these scenes."""
    for name, pixels in scenes.items():
        write_tiff(folder / f"in/{name}.tif", pixels)
    ended = run(write_spec(folder, folder / "in", package, **changes))
    assert ended.code == 0, ended
    return folder / "out"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_classes_are_those_of_a_job_of_many_blocks(tmp_path: Path, dtype: str) -> None:
    package = classes_package(2, (dtype,), seed=1)
    scenes = {name: pixels_of(dtype, shape) for name, shape in (("aligned", ALIGNED), ("odd", ODD))}
    output = job_of(tmp_path, package, scenes)
    here = {name: eb.predict_array(package, pixels, core=CORE, precision="float32") for name, pixels in scenes.items()}
    assert 0.1 < here["odd"].mean() < 0.9
    np.testing.assert_array_equal(image_of(output, "aligned", "mask.tif")[0], here["aligned"])
    assert (image_of(output, "odd", "mask.tif")[0] != here["odd"]).mean() <= 1e-5


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_an_enlarged_image_is_that_of_a_job_of_many_blocks(tmp_path: Path, dtype: str) -> None:
    arguments = {"in_channels": 2, "out_channels": 1, "scale": 2, "width": 4}
    output = ImageOutput(kind="image", band_names=("v",), dtype="float32", range=(-1, 1))
    card = declared(architecture="espcn", arguments=arguments, output=output, dtypes=(dtype,))
    package = str(tmp_path / "package")
    publish_package(package, construct("espcn", arguments).eval(), card, sample())
    scenes = {name: pixels_of(dtype, shape) for name, shape in (("aligned", (BLOCK, 2 * BLOCK)), ("odd", ODD))}
    made = job_of(tmp_path, package, scenes)
    for name, pixels in scenes.items():
        here = eb.predict_array(package, pixels, core=CORE, precision="float32")
        there = image_of(made, name)
        assert here.shape == there.shape == (1, 2 * pixels.shape[1], 2 * pixels.shape[2])
        if name == "aligned":
            np.testing.assert_array_equal(there, here)
        np.testing.assert_allclose(there, here, atol=1e-5 * float(np.ptp(here)))


def test_a_blended_image_is_that_of_a_job_for_a_core_that_is_no_multiple_of_the_stride(tmp_path: Path) -> None:
    """The overlap of a network of global reach follows from the core as it is after rounding."""
    package = tmp_path / "package"
    shutil.copytree(Path(__file__).parents[2] / "jobs/packages/nuclei", package)
    card = json.loads((package / "card.json").read_text())
    card["geometry"] |= {"exactness": "global", "reach": 0}
    (package / "card.json").write_text(json.dumps(card))
    pixels = pixels_of("uint8", (400, 300))
    scene = np.concatenate([pixels, pixels[:1]])
    output = job_of(tmp_path, str(package), {"a": scene}, tiling={"core": 129, "stitch": {"kind": "blend"}})
    here = eb.predict_array(str(package), scene, core=129, stitch="blend", precision="float32")
    assert len(np.unique(here)) == 2
    np.testing.assert_array_equal(image_of(output, "a", "mask.tif")[0], here)
