"""NIfTI of slices, read back by nibabel."""

from __future__ import annotations

import hashlib

import nibabel
import numpy as np
import pytest
from fakes import FakeStore
from hypothesis import given
from hypothesis import strategies as st
from plan.recipes import order as job_order
from volume.made import committed

from encdec_batch.errors import CommitError
from encdec_batch.plan.product import Product
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.spec.output import NiftiFile
from encdec_batch.volume.build import build_volume
from encdec_batch.volume.wanted import CommittedSlice, VolumeOrder

SPEC, CARD = job_order().spec, job_order().card
AFFINE = ((-0.7, 0.1, 0.0, 120.0), (0.0, -0.7, 0.2, -80.0), (0.0, 0.1, 3.0, 10.0))


def product(dtype: str = "uint8", bands: int = 1) -> Product:
    return Product(name="image", kind="image", dtype=dtype, band_names=("b",) * bands, nodata=None)


def stored(store: FakeStore, slices: np.ndarray) -> tuple[CommittedSlice, ...]:
    return committed(store, slices, [SourceImage(uri="s3://archive/v.nii", etag="tag")] * len(slices), "image")


def made(store: FakeStore, order: VolumeOrder, tmp_path) -> nibabel.Nifti1Image:
    record = build_volume(store, order, SPEC, CARD)
    ((name, file),) = record.outputs.items()
    data = store.get(file.path)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    (tmp_path / name).write_bytes(data)
    return nibabel.load(tmp_path / name)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("axes", [(2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_it_is_the_array_that_the_slices_were_cut_from(axes, dtype, packed, tmp_path):
    across, rows, cols = axes
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 200, (11, 13, 7)).astype(dtype)
    slices = np.moveaxis(volume, (across, rows, cols), (0, 1, 2))
    store = FakeStore()
    order = VolumeOrder(
        volume_id="v",
        slices=stored(store, slices[:, None]),
        product=product(dtype),
        geometry=VolumeGeometry(affine=AFFINE, across=across, rows=rows, cols=cols),
        files=(NiftiFile(kind="nifti", packed=packed),),
    )
    image = made(store, order, tmp_path)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), volume, strict=True)
    np.testing.assert_allclose(image.affine[:3], AFFINE, rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert image.get_qform(coded=True)[1] == 0  # it cannot hold AFFINE, which is sheared
    assert store.get(next(iter(build_volume(store, order, SPEC, CARD).outputs.values())).path)  # twice is once


def test_bands_are_its_fifth_dimension(tmp_path):
    volume = np.random.default_rng(0).integers(0, 255, (4, 3, 20, 30), dtype=np.uint8)
    store = FakeStore()
    order = VolumeOrder(
        volume_id="v",
        slices=stored(store, volume),
        product=product(bands=3),
        geometry=None,
        files=(NiftiFile(kind="nifti"),),
    )
    image = made(store, order, tmp_path)
    assert image.header.get_intent()[0] == "vector"
    np.testing.assert_array_equal(np.asanyarray(image.dataobj)[:, :, :, 0], volume.transpose(3, 2, 0, 1))
    assert image.get_sform(coded=True)[1] == 0  # nobody knows where it lies


def test_slices_of_another_size_than_their_place_is_known_for(tmp_path):
    """As where they were resampled and their place was not."""
    store = FakeStore()
    order = VolumeOrder(
        volume_id="v",
        slices=stored(store, np.zeros((2, 1, 20, 30), np.uint8)),
        product=product(),
        geometry=VolumeGeometry(affine=AFFINE, shape=(40, 60)),
        files=(NiftiFile(kind="nifti"),),
    )
    with pytest.raises(CommitError, match="have 30 x 20 px, and where they lie is known for 60 x 40"):
        made(store, order, tmp_path)


@given(st.sampled_from([2, 3, 4]), st.sampled_from([(2, 1, 0), (1, 2, 0), (0, 2, 1)]), st.integers(0, 50))
def test_finer_pixels_fill_the_same_place(scale, axes, index):
    """The middle of each pixel of the source is the middle of those that stand for it."""
    geometry = VolumeGeometry(affine=AFFINE, across=axes[0], rows=axes[1], cols=axes[2])
    fine = geometry.scaled(scale)
    voxel = np.array([index, 2 * index, 3.0])
    first = np.where(np.arange(3) == geometry.across, voxel, voxel * scale)
    middle = np.where(np.arange(3) == geometry.across, first, first + (scale - 1) / 2)
    np.testing.assert_allclose(
        np.array(fine.affine) @ [*middle, 1.0], np.array(geometry.affine) @ [*voxel, 1.0], atol=1e-9
    )
