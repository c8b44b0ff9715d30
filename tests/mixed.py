"""A small archive with every format in one prefix, and with all that is wrong in archives."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dicoms
import imagecodecs
import nibabel
import numpy as np
import pydicom
import tifffile
from dicoms import encapsulated, native
from numpy.typing import NDArray
from PIL import Image
from rasters import gtiff
from slides import pyramid_of, write_aperio, write_ome
from volume.made import ct_slice
from zarrs import write_image

from encdec_batch.plan.identity import path_id, safe_id

LARGE = (1100, 1050)
"""Of the one scene of several blocks, four of them."""
NIFTI, BOTH = ("mask.nii.gz",), ("mask.nii.gz", "seg.dcm")
PLACED = {
    "Modality": "CT",
    "StudyDate": "20200102",
    "StudyTime": "030405",
    "ImagePositionPatient": [0, 0, 0],
    "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
    "PixelSpacing": [0.5, 0.5],
    "SliceThickness": 1,
}
"""What a segmentation wants of the image that it refers to."""
_ANEW = "the file is damaged or truncated; fetch it anew"
_APART = "put what does not belong together into series of their own, or say series: images in the source"
_UNTOLD = "and nothing tells which belong together: two series with one UID, or copies"
_RESTORE = "restore the slices, or say series: images in the source to take each image by itself"


@dataclass(frozen=True, slots=True)
class Mixed:
    """What lies in a folder, and what a job should make of it."""

    folder: Path
    images: dict[str, NDArray[Any]] = field(default_factory=dict)
    """By scene id: (rows, columns) of the first band in physical units, as the format's own library gives them."""
    volumes: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)
    """Ids of the slices in the order of space, to the files that the volume should get."""
    aside: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By scene id: reason and hint."""
    uris: dict[str, str] = field(default_factory=dict)
    """By scene id: of its object."""

    def place(self, name: str) -> tuple[Path, str]:
        """Where an object goes, and the id it will have."""
        path, scene_id = self.folder / name, safe_id(path_id(name))
        path.parent.mkdir(parents=True, exist_ok=True)
        self.uris[scene_id] = path.as_uri()
        return path, scene_id

    def planes(self, scene_id: str, axis: str, images: NDArray[Any], *, files: tuple[str, ...] = ()) -> None:
        """The images of one object; they are a volume where it says where they lie."""
        ids = tuple(f"{scene_id}-{axis}{number:04d}" for number in range(len(images)))
        self.images.update(zip(ids, images, strict=True))
        self.uris.update(dict.fromkeys(ids, self.uris.pop(scene_id)))
        if files:
            self.volumes[ids] = files

    def wrong(self, name: str, data: bytes, reason: str, hint: str) -> None:
        path, scene_id = self.place(name)
        path.write_bytes(data)
        self.aside[scene_id] = (reason, hint)


def noise(*shape: int, dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def make_mixed(folder: Path) -> Mixed:
    """Writes all of it."""
    mixed = Mixed(folder)
    for add in (_rasters, _dicom, _series, _nifti, _zarr, _slides, _bad_dicom, _bad_series, _bad_others):
        add(mixed)
    return mixed


def _rasters(mixed: Mixed) -> None:
    path, scene_id = mixed.place("z/field.tif")
    mixed.images[scene_id] = noise(*LARGE)
    gtiff(mixed.images[scene_id][None], tile=256, compress="DEFLATE")(path)
    for ending, options in (("png", {}), ("webp", {"lossless": True})):
        path, scene_id = mixed.place(f"pictures/{ending}.{ending}")
        pixels = noise(70, 90, 3, seed=len(ending))
        Image.fromarray(pixels).save(path, **options)
        mixed.images[scene_id] = pixels[..., 0]


def _dicom(mixed: Mixed) -> None:
    path, scene_id = mixed.place("pacs/x-ray.dcm")
    pixels = noise(60, 50, dtype="uint16", seed=4)
    path.write_bytes(native(pixels, SOPInstanceUID="1.2.5.1", SeriesInstanceUID="1.2.5.2", **PLACED))
    mixed.images[scene_id] = pixels
    mixed.volumes[scene_id,] = ("seg.dcm",)
    path, scene_id = mixed.place("pacs/cine.dcm")
    frames = noise(3, 40, 48, seed=5)
    data = encapsulated(frames, dicoms.JPEG_LS, imagecodecs.jpegls_encode, SOPInstanceUID="1.2.6.1")
    head = b"\xfe\xff\x00\xe0" + struct.pack("<L", 12)
    # The table of offsets lies: frames are found by walking through their fragments.
    path.write_bytes(data.replace(head + data[data.index(head) + 8 :][:12], head + struct.pack("<3L", 0, 10, 20)))
    mixed.planes(scene_id, "frame", frames)


def _series(mixed: Mixed) -> None:
    ids = []
    for number in range(4):
        path, scene_id = mixed.place(f"pacs/ct/{(3 * number + 2) % 5}.dcm")
        dataset = ct_slice(number, shape=(40, 56), uid="1.2.7")
        mixed.images[scene_id] = noise(40, 56, seed=10 + number).astype(np.float64)
        dataset.PixelData = (mixed.images[scene_id] + 1024).astype(np.int16).tobytes()
        pydicom.dcmwrite(path, dataset, enforce_file_format=True)
        ids.append(scene_id)
    mixed.volumes[tuple(ids)] = BOTH


def _nifti(mixed: Mixed) -> None:
    for number, name in enumerate(("head.nii", "knee.nii.gz")):
        path, scene_id = mixed.place(f"nifti/{name}")
        voxels = noise(33, 44, 3, dtype="int16", seed=20 + number)
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1])), path)
        mixed.planes(scene_id, "slice", np.asanyarray(nibabel.load(path).dataobj).transpose(2, 1, 0), files=NIFTI)


def _zarr(mixed: Mixed) -> None:
    path, scene_id = mixed.place("zarr/cells.ome.zarr")
    voxels = noise(2, 2, 40, 50, seed=30)
    write_image(path, [voxels], "czyx")
    # A chunk that is not there is the fill value, says the format.
    (path / "0/0/1/0/1").unlink()
    voxels[0, 1, :16, 20:40] = 0
    mixed.planes(scene_id, "z", voxels[0], files=NIFTI)


def _slides(mixed: Mixed) -> None:
    levels = pyramid_of(noise(200, 230, 3, seed=40), 2)
    path, scene_id = mixed.place("slides/aperio.svs")
    write_aperio(path, levels, compression="lzw")
    with tifffile.TiffFile(path) as tiff:
        broken = [
            page.dataoffsets[0] for page in tiff.pages if "label" in page.description or "macro" in page.description
        ]
    data = bytearray(path.read_bytes())
    for at in broken:
        data[at : at + 8] = b"\xff" * 8
    path.write_bytes(data)
    mixed.images[scene_id] = levels[0][..., 0]
    path, scene_id = mixed.place("slides/stain.ome.tif")
    write_ome(path, [level[..., 0] for level in levels], axes="YX", compression="zlib")
    mixed.images[scene_id] = levels[0][..., 0]


def _bad_dicom(mixed: Mixed) -> None:
    grey = noise(37, 54, dtype="uint16")
    nameless = native(grey, SOPInstanceUID=None)
    uid = f"{dicoms.UIDS}.9".encode()
    said = "it has no SOP Class UID or no SOP Instance UID, so that nothing can refer to it"
    mixed.wrong("bad/nameless.dcm", nameless.replace(uid, bytes(len(uid))), said, _ANEW)
    said = "its header says 1 x 54 x 38 px, 4,104 bytes, and its pixels have 3,996"
    mixed.wrong("bad/lying.dcm", native(grey, Rows=38), said, _ANEW)
    head = native(grey, dicoms.DEFLATED)
    start = head.index(dicoms.DEFLATED.encode()) + len(dicoms.DEFLATED)
    packer = zlib.compressobj(9, wbits=-15)
    bomb = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 1 << 27) + bytes(1 << 27) + bytes(8)
    said = "its deflated header needs more than 67,108,864 bytes"
    hint = "the file is damaged, or not what it should be"
    mixed.wrong("bad/deflate.dcm", head[:start] + packer.compress(bomb) + packer.flush(), said, hint)

    def claiming(frame: Any) -> bytes:
        data = bytearray(imagecodecs.jpeg2k_encode(frame, codecformat="J2K", reversible=True))
        data[8:16] = data[24:32] = struct.pack(">II", 60_000, 60_000)
        return bytes(data)

    jpeg2000 = encapsulated(grey, dicoms.JPEG_2000, claiming, SeriesInstanceUID="1.2.8.2")
    said = "is no JPEG 2000 that can be decoded: it has 60,000 x 60,000 px, and its header says 54 x 37"
    start = jpeg2000.index(b"\xff\x4f\xff\x51")
    mixed.wrong("bad/jpeg2000.dcm", jpeg2000, f"the frame at byte {start} {said}", _ANEW)


def _bad_series(mixed: Mixed) -> None:
    """Slices of two patients, one slice gone, two series with one UID: none of these images is read."""
    bad = {
        "patients": ((0, 1, 2), "its series has 3 images, but of 2 patients", _APART),
        "gap": (
            (0, 1, 3, 4),
            "its series of 4 slices at steps of 3 mm has 1 gaps: about 1 slices are missing, the first after slice 2",
            _RESTORE,
        ),
        "copies": (
            (0, 1, 2, 0, 1, 2),
            f"its series has 2 images at each of 3 positions, {_UNTOLD}",
            "put them into series of their own, or remove the copies",
        ),
        "twins": ((0, 1, 2, 0, 1), "its series has 1 of 3 positions with another number of images than 2", _RESTORE),
    }
    for name, (numbers, reason, hint) in bad.items():
        for at, number in enumerate(numbers):
            dataset = ct_slice(number, uid=f"1.2.9.{len(name)}")
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{at}"
            if name == "patients":
                dataset.PatientID = f"MRN-{at % 2}"
            file = io.BytesIO()
            pydicom.dcmwrite(file, dataset, enforce_file_format=True)
            mixed.wrong(f"bad/{name}/{at}.dcm", file.getvalue(), reason, hint)


def _bad_others(mixed: Mixed) -> None:
    sizes = {
        "negative": (3, 12, -10, 6),
        "absurd": (7, *[32767] * 7),
    }
    said = {
        "negative": (
            "3 dimensions of 12 x -10 x 6 x 1 x 1 x 1 x 1 voxels",
            _ANEW.replace("fetch it", "fetch or write it"),
        ),
        "absurd": (f"its header promises {352 + 2 * 32767**7:,} bytes, and the object has 1,792", _ANEW),
    }
    for name, dims in sizes.items():
        data = bytearray(nibabel.Nifti1Image(noise(12, 10, 6, dtype="int16"), np.eye(4)).to_bytes())
        data[40 : 40 + 2 * len(dims)] = struct.pack(f"<{len(dims)}h", *dims)
        mixed.wrong(f"bad/{name}.nii", bytes(data), *said[name])
    hint = "scenes are TIFF, PNG, JPEG, WebP, DICOM, NIfTI or OME-Zarr; a VRT or other list of files is refused: "
    reason = "not an image: it begins as no format does that is read"
    mixed.wrong("bad/letter.png", b"Doernbecher, Janetta", reason, f"{hint}name the files")
    mixed.wrong("bad/empty.tif", b"", "the object is empty", "fetch it anew")
    path, scene_id = mixed.place("bad/torn.ome.zarr")
    write_image(path, [noise(1, 40, 50)])
    (path / "0/0/0/0").write_bytes((path / "0/0/0/0").read_bytes()[:-9])
    mixed.aside[scene_id] = (
        "the chunk at (0, 0, 0) cannot be unpacked",
        "the object is damaged or truncated; write it anew",
    )
