"""Slices of NIfTI files; the oracle is nibabel reading the same file."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from contracts import reader as contract
from fakes import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st

from encdec_batch.read.limits import Limits
from encdec_batch.read.nifti.header import read_nifti_header
from encdec_batch.read.nifti.volume import _volumes
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

AXES = ("axial", "coronal", "sagittal")
ACROSS = {"axial": "SI", "coronal": "AP", "sagittal": "LR"}
SHARED = Path(__file__).resolve().parents[3] / "shared/data/medical/nifti"
SHAPE = (23, 31, 7)
OBLIQUE = np.array([[0, -0.7, 0.2, 5], [0.1, 0.1, 3, -70], [0.8, 0, -0.3, 11], [0, 0, 0, 1]])
"""i runs up, j to the left, k forward."""


def voxels(shape: tuple[int, ...], dtype: str) -> Any:
    """Each has another value, as far as the type goes; all bits are used."""
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    values = np.random.default_rng(1).permutation(int(np.prod(shape))).reshape(shape)
    if info is None:
        return (values - 300.25).astype(dtype)
    if info.bits < 64:
        return (values * 7919 % (int(info.max) - int(info.min) + 1) + info.min).astype(dtype)
    return (values * 1_000_003 * (-1 if info.min else 1)).astype(dtype)


def write(path: Path, data: Any, affine: Any = OBLIQUE, *, kind: Any = nibabel.Nifti1Image, **fields: Any) -> Any:
    header = kind.header_class(endianness=fields.pop("endianness", "<"))
    scaling = fields.pop("scaling", None)
    header.set_data_dtype(data.dtype)
    image = kind(data, affine, header)
    image.header.set_xyzt_units(fields.pop("unit", "mm"), "sec")
    for name, value in fields.items():
        image.header[name] = value
    if scaling:
        image.header.set_slope_inter(*scaling)
    nibabel.save(image, path)
    return nibabel.load(path)


def opening(path: Path, plane: Plane, **options: Any) -> Callable[[], Reader]:
    limits = options.pop("limits", Limits())
    return lambda: open_reader(
        LocalStore(str(path.parent)), path.name, plane=plane, options=ReadOptions(**options), limits=limits
    )


def slice_of(volumes: Any, plane: Plane, across: int) -> Any:
    """What `SliceAxes` says that a plane is."""
    at = dict(plane.indices)
    further = tuple(at.get(name, 0) for name in "tuvw"[: volumes.ndim - 3])
    return volumes[(..., *further)].take(at.get("slice", 0), axis=across).T


def check_all_slices(path: Path, *, every: int = 1) -> None:
    """Stored and physical values of slices are those that nibabel reads, and there are as many as it has."""
    image = nibabel.load(path)
    stored, physical = np.asarray(image.dataobj.get_unscaled()), image.get_fdata()
    codes = nibabel.aff2axcodes(image.affine)
    for axis in AXES:
        across = next(voxel for voxel, code in enumerate(codes) if code in ACROSS[axis])
        contents = contents_of(LocalStore(str(path.parent)), path.name, options=ReadOptions(axis=axis))
        assert len(contents.planes) == stored.shape[across] * int(np.prod(stored.shape[3:]))
        for plane in contents.planes[::every]:
            reader = opening(path, plane, axis=axis)()
            header = reader.header
            patch = reader.read(Window(0, 0, header.width, header.height), (1,), rule="any")
            np.testing.assert_array_equal(patch.pixels[0], slice_of(stored, plane, across))
            values = patch.pixels[0] * header.scales[0] + header.offsets[0]
            np.testing.assert_allclose(values, slice_of(physical, plane, across), rtol=1e-6)
            reader.close()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("uint8", "uint8"),
        ("int8", "int16"),
        ("int16", "int16"),
        ("uint16", "uint16"),
        ("int32", "float64"),
        ("uint32", "float64"),
        ("int64", "float64"),
        ("uint64", "float64"),
        ("float32", "float32"),
        ("float64", "float64"),
    ],
)
def test_every_type_in_both_byte_orders_and_versions(tmp_path, ending, stored, read):
    data = voxels(SHAPE, stored)
    for kind, order, axis in (
        (nibabel.Nifti1Image, ">", "coronal"),
        (nibabel.Nifti2Image, "<", "axial"),
        (nibabel.Nifti2Image, ">", "sagittal"),
    ):
        path = tmp_path / f"x{ending}"
        image = write(path, data, kind=kind, endianness=order)
        assert image.header.endianness == order
        across = ["axial", "sagittal", "coronal"].index(axis)
        scene = opening(path, Plane.of(slice=3), axis=axis)
        contract.check_pixels(scene, data.take(3, axis=across).T[None].astype(read))
        contract.check_costs(scene)
        contract.check_thumbnail(scene, max_side=16)
    check_all_slices(path)


def test_a_volume_can_be_put_together_from_its_slices_whatever_its_orientation(tmp_path):
    data = voxels((3, 4, 5), "int16")

    @settings(max_examples=40)
    @given(
        order=st.permutations(range(3)),
        signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
        zooms=st.tuples(*[st.floats(0.1, 9)] * 3),
        tilt=st.lists(st.floats(-0.3, 0.3), min_size=9, max_size=9),
        axis=st.sampled_from(AXES),
    )
    def law(order, signs, zooms, tilt, axis):
        affine = np.eye(4)
        turned = np.eye(3)[:, order] * signs + np.reshape(tilt, (3, 3))
        affine[:3, :3] = turned * zooms
        image = nibabel.Nifti1Image(data, affine)
        nifti = read_nifti_header(image.to_bytes()[:544], uri="x")
        axes = nifti.slices(axis)
        canonical = nibabel.as_closest_canonical(image)
        number = AXES[::-1].index(axis)
        assert nifti.shape[axes.across] == canonical.shape[number]
        slices = [data.take(at, axis=axes.across).T for at in range(data.shape[axes.across])]
        again = np.zeros_like(data)
        for at, pixels in enumerate(slices):
            np.moveaxis(again, axes.across, 0)[at] = pixels.T
        np.testing.assert_array_equal(
            nibabel.as_closest_canonical(nibabel.Nifti1Image(again, affine)).dataobj, canonical.dataobj
        )
        # Neighbouring slices lie in the canonical volume beside each other along this very axis, in one direction.
        upright = nibabel.as_closest_canonical(
            nibabel.Nifti1Image(np.indices(data.shape, "int16")[axes.across], affine)
        ).dataobj
        along = np.moveaxis(np.asarray(upright), number, 0)[:, 0, 0].tolist()
        assert along in (list(range(len(along))), list(range(len(along)))[::-1])

    law()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("shape", "stacked", "planes"),
    [
        ((5, 6), None, (WHOLE,)),
        ((5, 6, 1), None, (WHOLE,)),
        ((5, 6, 1, 2), None, (Plane.of(t=0), Plane.of(t=1))),
        ((5, 6, 2, 1), "slice", (Plane.of(slice=0), Plane.of(slice=1))),
        ((5, 6, 2, 1, 2), "slice", tuple(Plane.of(u=u, slice=at) for u in range(2) for at in range(2))),
        (
            (5, 6, 2, 2, 3),
            "slice",
            tuple(Plane.of(t=t, u=u, slice=at) for u in range(3) for t in range(2) for at in range(2)),
        ),
    ],
)
def test_planes_of_further_dimensions(tmp_path, ending, shape, stacked, planes):
    path = tmp_path / f"x{ending}"
    write(path, voxels(shape, "int16"), np.eye(4))
    contents = contents_of(LocalStore(str(tmp_path)), path.name)
    assert (contents.planes, contents.stacked_along) == (planes, stacked)
    if len(shape) > 2:
        check_all_slices(path)
    else:
        contract.check_pixels(opening(path, WHOLE), voxels(shape, "int16").T[None])


def test_rgb_is_three_bands(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 255, (9, 8, 3, 3), dtype=np.uint8)
    data = np.ascontiguousarray(rgb).view([("R", "u1"), ("G", "u1"), ("B", "u1")]).reshape(9, 8, 3)
    for ending in (".nii", ".nii.gz"):
        write(tmp_path / f"x{ending}", data, np.eye(4))
        for axis, across in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
            expected = rgb.take(2, axis=across).transpose(2, 1, 0)
            contract.check_pixels(opening(tmp_path / f"x{ending}", Plane.of(slice=2), axis=axis), expected)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [((2.5, -1024), (2.5, -1024)), ((0, 5), (1, 0)), ((float("nan"), 5), (1, 0)), ((-1, 0), (-1, 0)), (None, (1, 0))],
)
def test_scaling(tmp_path, scaling, expected):
    path = tmp_path / "x.nii"
    write(path, voxels(SHAPE, "int16"))
    if scaling:
        image = nibabel.load(path)
        data = bytearray(path.read_bytes())
        data[112:120] = np.array(scaling, image.header["scl_slope"].dtype).tobytes()
        path.write_bytes(data)
    header = opening(path, Plane.of(slice=0))().header
    assert (header.scales, header.offsets) == ((expected[0],), (expected[1],))


@pytest.mark.parametrize(("unit", "times"), [("mm", 1e3), ("meter", 1e6), ("micron", 1.0), ("unknown", None)])
def test_size_of_pixels(tmp_path, unit, times):
    affine = np.diag([0.5, 2, 3, 1])
    write(tmp_path / "x.nii", voxels(SHAPE, "int16"), affine, unit=unit)
    for axis, (height, width) in zip(AXES, ((2, 0.5), (3, 0.5), (3, 2)), strict=True):
        header = opening(tmp_path / "x.nii", Plane.of(slice=0), axis=axis)().header
        assert header.pixel_size_um == (None if times is None else pytest.approx((height * times, width * times)))


def test_extensions_are_passed_over(tmp_path):
    image = nibabel.Nifti1Image(voxels(SHAPE, "int16"), OBLIQUE)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"somebody's name " * 20))
    for ending in (".nii", ".nii.gz"):
        nibabel.save(image, tmp_path / f"x{ending}")
        check_all_slices(tmp_path / f"x{ending}", every=3)


def test_a_large_slice_is_fetched_by_its_rows(tmp_path):
    store = FakeStore()
    data = np.arange(700 * 1100 * 2, dtype=np.int64).astype("int16").reshape(700, 1100, 2)
    write(tmp_path / "x.nii", data, np.eye(4))
    store.put("x.nii", (tmp_path / "x.nii").read_bytes())
    scene = lambda: open_reader(store, "x.nii", plane=Plane.of(slice=1), whole=True)  # noqa: E731
    reader = scene()
    assert reader.bytes_read == 64 << 10
    assert reader.bytes_for([Window(0, 500, 100, 100)], (1,)) == (1 << 20) // 1400 * 1400
    assert reader.bytes_for([Window(0, 0, 700, 1100)], (1,)) == 700 * 1100 * 2
    contract.check_costs(scene)
    contract.check_pixels(scene, data[:, :, 1].T[None])


@pytest.mark.parametrize(("ending", "axis"), [(".nii.gz", "axial"), (".nii", "coronal"), (".nii", "sagittal")])
def test_a_volume_that_is_held_whole_is_fetched_once_for_all_its_slices(tmp_path, ending, axis):
    store = FakeStore()
    shape = (60, 50, 40)
    path = tmp_path / f"x{ending}"
    write(path, voxels(shape, "int16"), np.eye(4))
    store.put("x", path.read_bytes())
    size = path.stat().st_size
    readers = [open_reader(store, "x", plane=Plane.of(slice=at), options=ReadOptions(axis=axis)) for at in range(4)]
    window, opened = Window(0, 0, 5, 5), [reader.bytes_read for reader in readers]
    said = [reader.bytes_for([window], (1,)) for reader in readers]
    assert said == [size - opened[0] if ending == ".nii.gz" else 60 * 50 * 40 * 2] * 4
    for reader in readers:
        reader.read(window, (1,), rule="any")
    assert [reader.bytes_read - before for reader, before in zip(readers, opened, strict=True)] == [said[0], 0, 0, 0]
    # Another volume takes its place; who held it still has it, and so has whoever asks.
    other = tmp_path / f"y{ending}"
    write(other, voxels(shape, "int16")[::-1], np.eye(4))
    opening(other, Plane.of(slice=0), axis=axis)().read(window, (1,), rule="any")
    late = open_reader(store, "x", plane=Plane.of(slice=9), options=ReadOptions(axis=axis))
    assert late.bytes_for([window], (1,)) == 0
    key = [key for key in _volumes._alive if key[0] == "fake://output/x"]
    assert len(key) == 1
    for reader in [*readers, late]:
        reader.close()
    assert _volumes.find(key[0]) is None


def test_many_members_and_padding_of_a_gzip(tmp_path):
    write(tmp_path / "x.nii", voxels(SHAPE, "int16"))
    data = (tmp_path / "x.nii").read_bytes()
    members = b"".join(gzip.compress(data[start : start + 1000]) for start in range(0, len(data), 1000))
    (tmp_path / "y.nii.gz").write_bytes(members + bytes(512))
    check_all_slices(tmp_path / "y.nii.gz", every=4)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data are not here")
@pytest.mark.parametrize(
    "name", ["anatomical.nii", "example4d.nii.gz", "example_ct_sm.nii.gz", "example_nifti2.nii.gz", "standard.nii.gz"]
)
def test_real_files(name):
    check_all_slices(SHARED / name, every=17)
