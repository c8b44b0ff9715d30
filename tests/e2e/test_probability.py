"""Probability and entropy beside the mask: what a plain softmax says, in files that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from e2e.made import Ended, classes_package, image_of, markers, plain_logits, run, write_spec, write_tiff
from rio_cogeo.cogeo import cog_validate

pytestmark = pytest.mark.integration

HEIGHT, WIDTH = 600, 1100
"""Two blocks."""
GAIN = 150
"""Of the network's last layer: probabilities from near 0 to near 1."""
HOLE = np.s_[200:330, 450:640]
"""Across the border of the blocks."""


@pytest.fixture
def pixels(tmp_path: Path) -> np.ndarray:
    """(1, height, width) uint8, without a 0 but in the hole, where 0 is nodata."""
    made = np.random.default_rng(4).integers(1, 255, (1, HEIGHT, WIDTH), dtype=np.uint8)
    made[:, *HOLE] = 0
    write_tiff(tmp_path / "in/a.tif", made, nodata=0)
    return made


def job(folder: Path, *, source: Path | None = None, **output: Any) -> Ended:
    return run(write_spec(folder, source or folder / "in", classes_package(gain=GAIN), output=output))


def softmax(package: str, pixels: np.ndarray) -> np.ndarray:
    """(2, height, width) in float64; a hole is filled with the mean, which is 0 once it is normalised."""
    logits = plain_logits(package, np.where(pixels == 0, np.float32(125), pixels)).astype(np.float64)
    raised = np.exp(logits - logits.max(0))
    return raised / raised.sum(0)


def test_they_are_those_of_a_plain_softmax(tmp_path: Path, pixels: np.ndarray) -> None:
    ended = job(tmp_path, probability=True, entropy=True)
    assert (ended.code, ended.result["blocks"]) == (0, 2)
    p = softmax(classes_package(gain=GAIN), pixels)
    entropy = -(p * np.log2(p)).sum(0, keepdims=True)
    hole = pixels[0] == 0
    for name, wanted in (("probability", p * 254), ("entropy", entropy * 254)):
        made = image_of(tmp_path / "out", "a", f"{name}.tif")
        assert made.dtype == np.uint8
        assert (made[:, hole] == 255).all()
        assert (made[:, ~hole] <= 254).all()
        assert np.abs(made.astype(float) - wanted)[:, ~hole].max() <= 0.51
        assert np.ptp(made[:, ~hole]) > 150
    mask = image_of(tmp_path / "out", "a", "mask.tif")[0]
    assert (mask != np.where(hole, 255, p.argmax(0))).mean() <= 1e-5


def test_their_files_say_what_is_in_them(tmp_path: Path, pixels: np.ndarray) -> None:
    assert job(tmp_path, probability=True, entropy=True).code == 0
    outputs = markers(tmp_path / "out")["a"].outputs
    assert set(outputs) == {"mask.tif", "probability.tif", "entropy.tif"}
    for name, bands in (("probability.tif", ("no", "yes")), ("entropy.tif", ("entropy",))):
        path = tmp_path / "out" / outputs[name].path
        valid, errors, warnings = cog_validate(path, strict=True)
        assert (valid, errors, warnings) == (True, [], [])
        with rasterio.open(tmp_path / "in/a.tif") as given, rasterio.open(path) as made:
            assert made.descriptions == bands
            assert made.nodatavals == (255,) * len(bands)
            assert made.shape == given.shape
            assert (made.crs, made.transform) == (given.crs, given.transform)
            assert made.overviews(1)


def test_of_one_that_is_asked_for_later_only_that_is_made(tmp_path: Path, pixels: np.ndarray) -> None:
    assert job(tmp_path, probability=True).code == 0
    before = markers(tmp_path / "out")["a"].outputs
    assert set(before) == {"mask.tif", "probability.tif"}
    assert job(tmp_path, probability=True, entropy=True).result["blocks"] == 2
    after = markers(tmp_path / "out")["a"]
    assert after.generation == 2
    assert {name: after.outputs[name] for name in before} == before
    added = (tmp_path / "out" / after.outputs["entropy.tif"].path).parent
    assert [path.name for path in added.iterdir()] == ["entropy.tif"]
    assert job(tmp_path, probability=True, entropy=True).result["blocks"] == 0
    both = job(tmp_path / "at-once", source=tmp_path / "in", probability=True, entropy=True)
    assert both.code == 0
    for name in after.outputs:
        np.testing.assert_array_equal(
            image_of(tmp_path / "out", "a", name), image_of(tmp_path / "at-once/out", "a", name)
        )
