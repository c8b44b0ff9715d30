"""Volumes below a prefix become one scene for each slice, and each scene is read as its slice."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from e2e.made import classes_package, write_spec
from fakes import FakeStore
from plan.recipes import order
from zarrs import write_image

from encdec_batch.job.contents import list_scenes
from encdec_batch.job.plan import build_plan
from encdec_batch.plan.open import open_scene
from encdec_batch.spec.load import load_spec
from encdec_batch.window import Window

VOXELS = np.arange(5 * 6 * 3, dtype=np.int16).reshape(5, 6, 3)
IMAGE = np.arange(2 * 2 * 20 * 30, dtype=np.uint16).reshape(2, 2, 20, 30)


@pytest.mark.parametrize(("axis", "count"), [("axial", 3), ("coronal", 6)])
def test_slices_are_scenes(tmp_path, axis, count):
    archive = tmp_path / "archive"
    archive.mkdir()
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(VOXELS, np.diag([1, 2, 3, 1])), archive / name)
    write_image(archive / "c.zarr", [IMAGE, IMAGE[:, :1]], "czyx")
    write_image(archive / "d.zarr", [IMAGE[:, 0]])
    source = {"kind": "prefix", "uri": str(archive), "axis": axis}
    spec = order(source=source, privacy={"hide": "off"}).spec
    listing = list_scenes(spec, FakeStore())
    assert listing.unnamed == ()
    assert [group.group_id for group in listing.groups] == ["a", "b", "c"]
    assert [len(group.scene_ids) for group in listing.groups] == [count, count, 2]
    assert [scene.scene_id for scene in listing.candidates[-3:]] == ["c-z0000", "c-z0001", "d"]
    across = {"axial": 2, "coronal": 1}[axis]
    expected = [VOXELS.take(at, across).T[None] for at in range(count)] * 2 + [IMAGE[:, 0], IMAGE[:, 1], IMAGE[:, 0]]
    for scene, pixels in zip(listing.candidates, expected, strict=True):
        with open_scene(spec, scene.images, whole=True) as reader:
            bands, height, width = pixels.shape
            patch = reader.read(Window(0, 0, width, height), range(1, bands + 1), rule="any")
            np.testing.assert_array_equal(patch.pixels, pixels)


@pytest.mark.parametrize(("name", "axis"), [("a.nii.gz", "axial"), ("a.nii", "sagittal")])
def test_a_volume_that_is_fetched_whole_is_counted_once(tmp_path, name, axis):
    voxels = np.random.default_rng(0).integers(0, 250, (50, 40, 3, 2)).astype(np.int16)
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "in" / name)
    source = {"kind": "prefix", "uri": str(tmp_path / "in"), "axis": axis}
    package = classes_package(1, ("int16",))
    plan = build_plan(load_spec(write_spec(tmp_path, source, package, privacy="off")))
    slices = 3 * 2 if axis == "axial" else 50 * 2
    assert len(plan.scenes) == slices
    size = (tmp_path / "in" / name).stat().st_size if axis == "axial" else voxels.nbytes
    assert plan.totals.bytes_in_scenes == size
    # What came with the header is not fetched again.
    assert plan.totals.bytes_to_read == max(plan.bytes_to_read.values()) * (1 if axis == "axial" else 2) <= size
