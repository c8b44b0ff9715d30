"""Real training sets, where they lie beside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from encdec_batch.errors import SpecError
from encdec_batch.models.card import ConstantNormalization
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.prepare import Prepared, prepare
from encdec_batch.train.samples.examples import SceneExamples
from encdec_batch.train.samples.sample import Samples

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"there are no real training sets at {DATA}"),
]
POOLED = {"kind": "estimate", "per_band": False}


def table(path: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "table", "uri": str(DATA / path)} | changes


def two(name: str, ending: str = "txt", **changes: Any) -> dict[str, Any]:
    """The set's own lists."""
    train, val = (table(f"{name}/{side}.{ending}", **changes) for side in ("train", "val"))
    return {"train": train, "split": {"kind": "pairs", "pairs": val}}


def classes(*names: str) -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "color": (number, 0, 0)} for number, name in enumerate(names)]


def looked(values: dict[str, Any]) -> tuple[DataSpec, Prepared]:
    spec = DataSpec.model_validate(values)
    return spec, prepare(spec)


def test_street_scenes_have_the_pixels_of_their_own_list():
    about = json.loads((DATA / "camvid/classes.json").read_text())
    target = {"kind": "mask", "classes": classes(*about["class_names"][:11]), "ignore": [11]}
    spec, prepared = looked(two("camvid") | {"target": target, "sampling": {"crop": (256, 320)}})
    assert (len(prepared.train), len(prepared.val), prepared.aside) == (367, 101, ())
    assert sum(prepared.class_pixels) < 367 * 360 * 480
    batch = Samples(prepared, spec).batch(0, 0, range(4))
    assert batch.image.shape == (4, 3, 256, 320)
    (example, *_) = SceneExamples(prepared.val[:1], spec, prepared.normalization)
    assert example.target.shape == (360, 480)


def test_nuclei_of_one_and_of_three_bands_together():
    target = {"kind": "mask", "classes": [*classes("background"), {"id": 1, "name": "nucleus", "color": (0, 0, 0),
                                                                  "values": [[1, 65535]]}]}  # fmt: skip
    values = two("dsb2018_nuclei", "csv", target="label") | {"target": target, "expand_single_band": True}
    spec, prepared = looked(values | {"sampling": {"crop": 128}})
    assert (len(prepared.train), len(prepared.val), prepared.aside) == (158, 32, ())
    assert {one.dtype for one in prepared.train} == {"uint8"}
    assert Samples(prepared, spec).batch(0, 0, range(4)).image.shape == (4, 3, 128, 128)


def test_photographs_with_noise():
    target = {"kind": "clean", "noise": {"kind": "gaussian", "sigma": 25}}
    values = two("denoise_gray", bands=[1]) | {"target": target, "normalization": POOLED}
    spec, prepared = looked(values | {"sampling": {"crop": 96}})
    assert isinstance(prepared.normalization, ConstantNormalization)
    batch = Samples(prepared, spec).batch(0, 0, range(8))
    found = (batch.image - batch.target).std() * prepared.normalization.std[0]
    assert found == pytest.approx(25, rel=0.02)
    np.testing.assert_allclose(batch.noise_level * prepared.normalization.std[0], 25, rtol=1e-5)


def test_a_picture_that_this_set_has_twice_is_found():
    """T91 holds one image under two names, and its split has one on each side."""
    target = {"kind": "high_resolution", "scale": 2}
    values = two("super_resolution") | {"target": target, "normalization": POOLED, "sampling": {"crop": 24}}
    with pytest.raises(SpecError, match=r"t36\.png \(train\) and .*t65\.png \(val\) have the same pixels"):
        looked(values)
    _, prepared = looked(values | {"allow_leak": "the set's own split has one image twice"})
    assert "t36.png" in prepared.leak_note


def naip(date: str, first: int, width: int) -> dict[str, Any]:
    region = {"col_off": first, "row_off": 0, "width": width, "height": 723}
    names = [f"naip_nd_{date}"]
    return {"kind": "images", "uri": str(DATA / "geo_scenes"), "suffixes": names, "bands": [1, 2, 3], "region": region}


def test_one_place_on_two_days_is_a_leak_and_east_and_west_of_it_are_none():
    target = {"kind": "image", "bands": [4]}
    first, second = "20100629_bigtiff_jpeg.tif", "20180716_cog_deflate.tif"

    def values(train: dict[str, Any], val: dict[str, Any]) -> dict[str, Any]:
        return {"train": train, "split": {"kind": "pairs", "pairs": val}, "target": target}

    spec, prepared = looked(values(naip(first, 0, 600), naip(second, 640, 294)))
    batch = Samples(prepared, spec).batch(0, 0, range(4))
    assert batch.target.shape == (4, 1, 256, 256)
    assert np.abs(batch.target).max() <= 1
    with pytest.raises(SpecError, match=f"{first}.*train.* and .*{second}.*val.* have the same footprint"):
        looked(values(naip(first, 0, 600), naip(second, 0, 600)))
