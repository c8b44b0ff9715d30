"""OME-Zarr of slices, read back by zarr and by the models of the specification."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import zarr
from commit.scenes import MASK, image_product, patches
from fakes import FakeStore
from ome_zarr_models.v05 import Image, ImageLabel
from plan.recipes import order as job_order
from volume.made import committed

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.output import OmeZarrVolumeFile
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.wanted import VolumeOrder
from encdec_batch.write.overview import reduce

SPEC, CARD = job_order().spec, job_order().card
SAGITTAL = VolumeGeometry(
    affine=((3.0, 0.0, 0.0, 0.0), (0.0, 0.6, -0.4, 0.0), (0.0, 0.8, 0.3, 0.0)), across=0, rows=2, cols=1
)


def made(tmp_path: Path, product: Product, slices: np.ndarray, geometry: VolumeGeometry | None) -> zarr.Group:
    store = FakeStore()
    order = VolumeOrder(
        volume_id="v",
        slices=committed(store, slices, [SourceImage(uri="s3://a/v.nii", etag="e")] * len(slices), product.name),
        product=product,
        geometry=geometry,
        files=(OmeZarrVolumeFile(kind="ome_zarr_volume"),),
    )
    [(name, folder)] = build_volume(store, order, SPEC, CARD).outputs.items()
    assert name == f"{product.name}.ome.zarr"
    for one in folder.objects():
        data = store.get(one.path)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (one.size, one.sha256)
        path = tmp_path / one.path.removeprefix(folder.path).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return zarr.open_group(tmp_path, mode="r")


def test_classes_are_a_stack_with_the_distances_of_the_volume(tmp_path: Path) -> None:
    slices = np.stack([patches(MASK, 600, 70, seed) for seed in range(3)])
    group = made(tmp_path, MASK, slices, SAGITTAL)
    np.testing.assert_array_equal(group["labels/classes/0"][:], slices[:, 0])
    reduced = np.stack([reduce(plane, MASK)[0] for plane in slices])
    np.testing.assert_array_equal(group["labels/classes/1"][:], reduced)
    ImageLabel.from_zarr(group["labels/classes"])
    [scale] = Image.from_zarr(group).attributes.ome.multiscales[0].datasets[0].coordinateTransformations
    assert scale.scale == [3.0, 0.5, 1.0]


def test_a_slanted_volume_is_none(tmp_path: Path) -> None:
    slices = np.stack([patches(MASK, 60, 70, seed) for seed in range(3)])
    slanted = VolumeGeometry(affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.4, 0.0), (0.0, 0.0, 3.0, 0.0)))
    with pytest.raises(UnsupportedScene, match="is slanted") as caught:
        made(tmp_path, MASK, slices, slanted)
    assert "nifti" in caught.value.hint
    nearly = VolumeGeometry(affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.2, 0.0), (0.0, 0.0, 3.0, 0.0)))
    assert made(tmp_path, MASK, slices, nearly)["labels/classes/0"].shape == (3, 60, 70)


@pytest.mark.parametrize("bands", [1, 2])
def test_bands_of_images_are_channels(tmp_path: Path, bands: int) -> None:
    product = image_product("float32", bands, np.nan)
    slices = np.random.default_rng(0).random((4, bands, 30, 20)).astype("f4")
    group = made(tmp_path, product, slices, None)
    np.testing.assert_array_equal(group["0"][:], slices.transpose(1, 0, 2, 3))
    assert [axis.name for axis in Image.from_zarr(group).attributes.ome.multiscales[0].axes] == ["c", "z", "y", "x"]
