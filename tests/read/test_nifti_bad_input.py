"""NIfTI files that are damaged, lie, or are of a kind that is not read."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from typing import Any

import nibabel
import numpy as np
import pytest

from encdec_batch.errors import SceneChanged, SceneError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

SHAPE = (12, 10, 6)
NAME = b"Doernbecher^Janetta 1970-01-01"
DIM, DATATYPE, PIXDIM, OFFSET, SLOPE, FORMS, SROW, MAGIC = 40, 70, 76, 108, 112, 252, 280, 344
"""Bytes of NIfTI-1 where these fields begin: nifti1.h."""


def whole(kind: Any = nibabel.Nifti1Image) -> bytearray:
    """A file that is well, with names of persons in all its texts."""
    image = kind(np.arange(720, dtype=np.int16).reshape(SHAPE), np.diag([1, 2, 3, 1]))
    for field in ("descrip", "aux_file", "intent_name"):
        image.header[field] = NAME[: image.header[field].dtype.itemsize]
    return bytearray(image.to_bytes())


def patched(at: int, value: bytes) -> bytes:
    data = whole()
    data[at : at + len(value)] = value
    return bytes(data)


def dims(*sizes: int) -> bytes:
    return patched(DIM, struct.pack(f"<{len(sizes)}h", *sizes))


def dims2(*sizes: int) -> bytes:
    """Of NIfTI-2, where they have 64 bits."""
    data = whole(nibabel.Nifti2Image)
    data[16 : 16 + 8 * len(sizes)] = struct.pack(f"<{len(sizes)}q", *sizes)
    return bytes(data)


def read(tmp_path, data: bytes, *, limits: Limits | None = None, axis: Any = "axial") -> None:
    """All that may be asked of a file."""
    (tmp_path / "x.nii").write_bytes(data)
    store, options = LocalStore(str(tmp_path)), ReadOptions(axis=axis)
    limits = limits or Limits()
    plane = contents_of(store, "x.nii", limits=limits, options=options).planes[-1]
    reader = open_reader(store, "x.nii", limits=limits, plane=plane, options=options)
    try:
        reader.read(Window(0, 0, 1, 1), (1,), rule="any")
        reader.read(Window(0, 0, reader.header.width, reader.header.height), (1,), rule="any")
    finally:
        reader.close()


BAD: dict[str, tuple[bytes, type[SceneError], str]] = {
    "no dimensions": (dims(0), SceneUnreadable, "0 dimensions"),
    "eight dimensions": (dims(8), SceneUnreadable, "8 dimensions"),
    "a negative count": (dims(-3), SceneUnreadable, "-3 dimensions"),
    "a negative size": (dims(3, 12, -10, 6), SceneUnreadable, "12 x -10 x 6"),
    "an empty size": (dims(3, 12, 0, 6), SceneUnreadable, "12 x 0 x 6"),
    "sizes beyond the object": (dims(3, 120, 100, 60), SceneUnreadable, "promises 1,440,352 bytes"),
    "sizes beyond any object": (dims(7, *[32767] * 7), SceneUnreadable, "promises"),
    "sizes of 64 bits": (dims2(7, *[2**62] * 7), SceneUnreadable, "promises"),
    "negative sizes of 64 bits": (dims2(3, -(2**63), 1, 1), SceneUnreadable, "-9223372036854775808"),
    "voxels within the header": (patched(OFFSET, struct.pack("<f", 16)), SceneUnreadable, "begin at byte 16"),
    "voxels at a fraction": (patched(OFFSET, struct.pack("<f", 352.5)), SceneUnreadable, "begin at byte 352.5"),
    "voxels at no number": (patched(OFFSET, struct.pack("<f", float("nan"))), SceneUnreadable, "begin at byte nan"),
    "voxels before the file": (patched(OFFSET, struct.pack("<f", -1)), SceneUnreadable, "begin at byte -1"),
    "voxels beyond the file": (patched(OFFSET, struct.pack("<f", 1e9)), SceneUnreadable, "promises"),
    "voxels nowhere": (patched(OFFSET, struct.pack("<f", float("inf"))), SceneUnreadable, "begin at byte inf"),
    "cut within the voxels": (bytes(whole()[:-100]), SceneUnreadable, "promises"),
    "cut within the header": (bytes(whole(nibabel.Nifti2Image)[:300]), SceneUnreadable, "ends within its header"),
    "moved by no number": (patched(SLOPE, struct.pack("<2f", 2, float("inf"))), SceneUnreadable, "moved by inf"),
    "a header of another size": (patched(0, struct.pack("<i", 349)), SceneUnreadable, "a size that no NIfTI has"),
    "complex": (patched(DATATYPE, struct.pack("<h", 32)), UnsupportedScene, "its voxels are complex"),
    "long floats": (patched(DATATYPE, struct.pack("<h", 1536)), UnsupportedScene, "floats of 128 bits"),
    "opacity": (patched(DATATYPE, struct.pack("<h", 2304)), UnsupportedScene, "colours with opacity"),
    "bits": (patched(DATATYPE, struct.pack("<h", 1)), UnsupportedScene, "single bits"),
    "an unknown type": (patched(DATATYPE, struct.pack("<h", -7)), UnsupportedScene, "unknown type -7"),
    "a pair": (patched(MAGIC, b"ni1\0"), UnsupportedScene, "a pair of files"),
    "Analyze": (patched(MAGIC, bytes(4)), UnsupportedScene, "Analyze 7.5"),
    "an affine of zeros": (patched(SROW, bytes(48)), UnsupportedScene, "no directions"),
    "an affine of no numbers": (patched(SROW, struct.pack("<f", float("nan")) * 12), UnsupportedScene, "no directions"),
    "an infinite affine": (patched(SROW, struct.pack("<f", float("inf")) * 12), UnsupportedScene, "no directions"),
    "an affine of one plane": (patched(SROW, struct.pack("<4f", 1, 0, 0, 0) * 3), UnsupportedScene, "no directions"),
    "a quaternion that is none": (
        patched(FORMS, struct.pack("<2h3f", 1, 0, 9, 9, 9)),
        UnsupportedScene,
        "no directions",
    ),
    "a gzip of something else": (gzip.compress(b"a letter" * 99), UnsupportedScene, "does not begin with a NIfTI"),
    "a gzip of nothing": (gzip.compress(b""), UnsupportedScene, "does not begin with a NIfTI"),
    "a gzip that is none": (b"\x1f\x8b" + bytes(99), SceneUnreadable, "cannot be unpacked"),
    "a gzip with a name without an end": (
        b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * (1 << 17),
        SceneUnreadable,
        "ends before its end",
    ),
    "a gzip that is cut": (gzip.compress(bytes(whole()))[:-20], SceneUnreadable, "ends before its end"),
    "a gzip with another check sum": (
        gzip.compress(bytes(whole()))[:-8] + bytes(8),
        SceneUnreadable,
        "cannot be unpacked",
    ),
    "a gzip of too little": (gzip.compress(bytes(whole()[:-100])), SceneUnreadable, "its gzip holds 1,692 bytes"),
    "a gzip with more behind": (gzip.compress(bytes(whole()) + b"x"), SceneUnreadable, "holds more than the 1,792"),
    "a gzip and rubbish": (gzip.compress(bytes(whole())) + b"rubbish", SceneUnreadable, "cannot be unpacked"),
    "a gzip that cannot hold it": (gzip.compress(dims(3, 120, 100, 600)), SceneUnreadable, "of gzip, which hold fewer"),
    "too many members": (
        gzip.compress(bytes(whole())) + gzip.compress(b"", 0) * 20_001,
        SceneUnreadable,
        "more than 20,000 members",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_is_set_aside_with_a_reason_and_a_hint(tmp_path, name):
    data, kind, words = BAD[name]
    with pytest.raises(kind) as caught:
        read(tmp_path, data)
    assert words in caught.value.message
    assert caught.value.message.startswith("file://")
    assert caught.value.hint
    assert "Janetta" not in f"{caught.value}{caught.value.context}{caught.value.__cause__}"


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_whatever_is_damaged_there_are_pixels_or_an_error_of_the_scene(tmp_path, kind):
    said = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = whole(kind)
        for at in rng.integers(0, 544, 3):
            data[at] = rng.choice([0, 1, 127, 128, 255, data[at] ^ 1 << rng.integers(8)])
        try:
            read(
                tmp_path,
                gzip.compress(bytes(data)) if seed % 2 else bytes(data),
                axis=("axial", "coronal")[seed % 3 % 2],
            )
            said.add("pixels")
        except SceneError as error:
            said.add(type(error) if error.hint else "no hint")
    assert said == {"pixels", SceneUnreadable, UnsupportedScene}


def test_what_is_not_asked_for_may_be_odd(tmp_path):
    """A wrong number of bits, a qfac of 0, sizes with signs, bytes behind the voxels: nibabel reads these too."""
    read(tmp_path, patched(DATATYPE + 2, struct.pack("<h", 99)))
    read(tmp_path, bytes(whole()) + b"x")
    data = patched(FORMS, struct.pack("<2h", 1, 0))
    for sizes in ((0, 1, 2, 3), (-1, -1, 2, -3), (1, 0, 0, 0)):
        odd = data[:PIXDIM] + struct.pack("<4f", *sizes) + data[PIXDIM + 16 :]
        read(tmp_path, odd)
        reader = open_reader(LocalStore(str(tmp_path)), "x.nii", plane=Plane.of(slice=0))
        expected = np.abs(sizes[1:])[:2][::-1] * 1e3 if sizes[1] and nibabel.load(tmp_path / "x.nii") else None
        assert reader.header.pixel_size_um is None or tuple(expected) == reader.header.pixel_size_um
        reader.close()


def test_a_bomb_is_stopped_where_its_header_ends(tmp_path):
    """4 MB that unpack to 4 GB, of which the header promises 1.8 kB."""
    bomb = gzip.compress(bytes(whole())) + gzip.compress(bytes(1 << 26)) * 64
    tracemalloc.start()
    with pytest.raises(SceneUnreadable, match="holds more than the 1,792 bytes"):
        read(tmp_path, bomb)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "axis", "packed", "words", "hint"),
    [
        (Limits(max_volume_bytes=1439), "coronal", False, "slices across this axis lie apart", "read it across its"),
        (
            Limits(max_volume_bytes=1439),
            "axial",
            True,
            "packed by gzip",
            "gunzip it, convert it to OME-Zarr, or raise limits.max_volume_mib",
        ),
        (Limits(max_planes=5), "axial", False, "6 slices, more than 5", "several volumes"),
        (Limits(max_pixels=119), "axial", False, "12 x 10 px, more than 119", "several volumes"),
        (Limits(max_decoded_bytes=23), "axial", False, "a row of its voxels has 24 bytes", "max_tile_mb"),
    ],
)
def test_limits(tmp_path, limits, axis, packed, words, hint):
    data = gzip.compress(bytes(whole())) if packed else bytes(whole())
    with pytest.raises(UnsupportedScene) as caught:
        read(tmp_path, data, limits=limits, axis=axis)
    assert words in caught.value.message
    assert hint in caught.value.hint
    read(tmp_path, data, limits=Limits(max_volume_bytes=1440, max_planes=12, max_pixels=120), axis=axis)


def test_integers_that_no_float_holds_are_refused_where_they_are_met(tmp_path):
    data = np.zeros((2, 2, 2), np.int64)
    data[0, 0, 1] = 2**53 + 1
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=np.int64)
    nibabel.save(image, tmp_path / "x.nii")
    readers = [open_reader(LocalStore(str(tmp_path)), "x.nii", plane=Plane.of(slice=at)) for at in (0, 1)]
    assert readers[0].read(Window(0, 0, 2, 2), (1,), rule="any").valid_mask.all()
    with pytest.raises(UnsupportedScene, match="does not hold all exactly"):
        readers[1].read(Window(0, 0, 2, 2), (1,), rule="any")


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (WHOLE, "none of its slices is named, and it has 6 along slice"),
        (Plane.of(slice=6), "it has no slice slice=6"),
        (Plane.of(t=1, slice=2), "it has no slice t=1,slice=2"),
        (Plane.of(z=2), "z=2 names no single slice"),
    ],
)
def test_a_plane_that_is_not_there(tmp_path, plane, words):
    (tmp_path / "x.nii").write_bytes(whole())
    with pytest.raises(UnsupportedScene) as caught:
        open_reader(LocalStore(str(tmp_path)), "x.nii", plane=plane)
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("axis", ["axial", "coronal"])
def test_a_volume_that_is_replaced_is_another(tmp_path, axis):
    path = tmp_path / "x.nii"
    path.write_bytes(whole() + bytes(1 << 20))
    reader = open_reader(LocalStore(str(tmp_path)), "x.nii", plane=Plane.of(slice=5), options=ReadOptions(axis=axis))
    path.write_bytes(bytes(1792) + bytes(1 << 20))
    if axis == "axial":  # it lies within what was read with the header
        assert reader.read(Window(0, 0, 12, 10), (1,), rule="any").pixels.max() == 719
    else:
        assert reader.read(Window(0, 0, 12, 6), (1,), rule="any").pixels.max() > 0
    with pytest.raises(SceneChanged):
        open_reader(LocalStore(str(tmp_path)), "x.nii", etag=reader.etag, plane=Plane.of(slice=5))
