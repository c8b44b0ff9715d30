"""Whole files to damage: TIFF of tests/rasters.py, slides, PNG, JPEG and WebP in Pillow's ways, DICOM, NIfTI,
real scenes.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dicoms
import nibabel
import numpy as np
from dicom_slides import slide
from PIL import Image, PngImagePlugin
from rasters import REFUSED_DTYPES, VARIANTS, blocky_image, coordinate_image, tiny_png, tiny_tiff
from slides import pyramid_of, smooth, write_aperio, write_ome, write_philips

SHARED = Path(__file__).parents[2] / "shared/data"
"""Real scenes, where there are."""
LARGEST_BYTES = 400 << 10
_FROM_EACH = 6
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp", ".dcm")
_ALL_OF = ("geo_scenes", "dicom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A file without a fault."""

    name: str
    data: bytes


def corpus(folder: Path, *, shared: Path = SHARED) -> list[Seed]:
    """Seeds in a fixed order.

    Args:
        folder: where files are written on the way.
        shared: real scenes; those above 400 KiB are left out, and so are all where there is no such folder.
    """
    return [*_tiffs(folder), *_slides(folder), *_images(), *_dicoms(), *_volumes(), *_real(shared)]


def _tiffs(folder: Path) -> Iterator[Seed]:
    for variant in (*VARIANTS, *REFUSED_DTYPES):
        path = folder / variant.name
        variant.write(path)
        if path.stat().st_size <= LARGEST_BYTES:
            yield Seed(name=f"{variant.name}.tif", data=path.read_bytes())
        path.unlink()
    yield Seed(name="tiny.tif", data=tiny_tiff(bytes(64 * 64)))


def _slides(folder: Path) -> Iterator[Seed]:
    levels = pyramid_of(smooth(130, 150), 2)
    grey = [np.stack([level[..., 0], level[..., 1]]) for level in levels]
    makers: dict[str, Callable[[Path], None]] = {
        "aperio_jpeg": lambda path: write_aperio(path, levels),
        "aperio_ycbcr": lambda path: write_aperio(path, levels, photometric="ycbcr"),
        "aperio_2000": lambda path: write_aperio(path, levels, compression=33005),
        "philips": lambda path: write_philips(path, levels),
        "ome_rgb": lambda path: write_ome(path, levels, axes="YXS", photometric="rgb", compression="jpeg"),
        "ome_channels": lambda path: write_ome(path, grey, axes="CYX", compression="zlib", predictor=True),
        "ome_strips": lambda path: write_ome(path, grey, axes="CYX", tile=None, rowsperstrip=17, compression="lzw"),
    }
    for name, make in makers.items():
        make(folder / name)
        yield Seed(name=f"{name}.tif", data=(folder / name).read_bytes())
        (folder / name).unlink()


def _images() -> Iterator[Seed]:
    colour = np.ascontiguousarray(blocky_image(3, 67, 83).transpose(1, 2, 0))
    grey, wide = colour[..., 0], coordinate_image(1, 67, 83, "uint16")[0]
    alpha = np.dstack([colour, (grey > 100).astype(np.uint8) * 255])
    indexed = Image.fromarray(colour).quantize(16)
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 300, zip=True)
    text.add_itxt("Title", "Überschrift", zip=True)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    profile = struct.pack(">I4s", 132, b"lcms") + bytes(28) + b"acsp" + bytes(92)
    images: dict[str, tuple[Any, dict[str, Any]]] = {
        "grey.png": (Image.fromarray(grey), {}),
        "colour.png": (Image.fromarray(colour), {"pnginfo": text, "icc_profile": profile, "exif": exif[6:]}),
        "alpha.png": (Image.fromarray(alpha), {}),
        "grey_alpha.png": (Image.fromarray(np.ascontiguousarray(alpha[..., 2:]), "LA"), {}),
        "palette.png": (indexed, {"transparency": 3}),
        "bits_1.png": (Image.fromarray(grey > 100), {}),
        "wide.png": (Image.fromarray(wide), {}),
        "key.png": (Image.fromarray(colour), {"transparency": (1, 2, 3)}),
        "baseline.jpg": (Image.fromarray(colour), {"quality": 80, "exif": exif, "icc_profile": profile}),
        "grey.jpg": (Image.fromarray(grey), {}),
        "progressive.jpg": (Image.fromarray(colour), {"progressive": True, "comment": "words"}),
        "full.jpg": (Image.fromarray(colour), {"subsampling": 0, "restart_marker_blocks": 3}),
        "cmyk.jpg": (Image.fromarray(alpha, "CMYK"), {}),
        "lossy.webp": (Image.fromarray(colour), {"quality": 80}),
        "lossless.webp": (Image.fromarray(colour), {"lossless": True, "exif": exif}),
        "alpha.webp": (Image.fromarray(alpha), {"icc_profile": profile}),
    }
    for name, (image, options) in images.items():
        buffer = io.BytesIO()
        image.save(buffer, _FORMATS[Path(name).suffix], **options)
        yield Seed(name=name, data=buffer.getvalue())
    yield Seed(name="tiny.png", data=tiny_png(8, 8, (b"\0" + bytes(range(8))) * 8))


def _dicoms() -> Iterator[Seed]:
    """Every codec, with one frame and with three; tables, groups of frames and a deflated one."""
    grey = dicoms.ramp(37, 54, most=4095)
    small = dicoms.ramp(37, 54, dtype="uint8")
    colour = dicoms.ramp(37, 54, dtype="uint8", samples=3)
    spaced = dicoms.item(PixelMeasuresSequence=[dicoms.item(PixelSpacing=[0.5, 0.25])])
    moved = [dicoms.item(PlanePositionSequence=[dicoms.item(ImagePositionPatient=[0, 0, far])]) for far in range(3)]
    groups = {"SharedFunctionalGroupsSequence": [spaced], "PerFrameFunctionalGroupsSequence": moved}
    for name, syntax in (("implicit", dicoms.IMPLICIT), ("big", dicoms.BIG_ENDIAN), ("deflated", dicoms.DEFLATED)):
        data = dicoms.native(grey, syntax, BitsStored=12, HighBit=11, PixelPaddingValue=0, RescaleIntercept=-1024)
        yield Seed(name=f"{name}.dcm", data=data)
    yield Seed(name="rgb.dcm", data=dicoms.native(colour))
    yield Seed(name="groups.dcm", data=dicoms.native(np.stack([grey] * 3), **groups))
    for syntax, encode in dicoms.ENCODERS.items():
        one = small if syntax == dicoms.JPEG else grey
        yield Seed(name=f"{syntax}.dcm", data=dicoms.encapsulated(one, syntax, encode))
        data = dicoms.encapsulated(np.stack([one] * 3), syntax, encode, extended=syntax == dicoms.JPEG_2000)
        yield Seed(name=f"{syntax}_frames.dcm", data=data)
    tissue = dicoms.ramp(100, 150, dtype="uint8", samples=3)
    yield Seed(name="slide.dcm", data=slide(tissue, sparse=[0, 2, 5, 1]))
    yield Seed(name="slide_jpeg.dcm", data=slide(tissue, dicoms.JPEG))
    for syntax in (dicoms.JPEG, dicoms.JPEG_LS, dicoms.JPEG_2000, dicoms.RLE):
        yield Seed(name=f"{syntax}_rgb.dcm", data=dicoms.encapsulated(colour, syntax, dicoms.ENCODERS[syntax]))


def _volumes() -> Iterator[Seed]:
    """Of one slice, which needs no name."""
    affine = np.diag([0.5, 2, 3, 1])
    for kind in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        for order in "<>":
            header = kind.header_class(endianness=order)
            header.set_data_dtype("int16")
            pixels = coordinate_image(1, 67, 83, "uint16").astype(np.int16).transpose(2, 1, 0)
            data = kind(pixels, affine, header).to_bytes()
            name = f"{kind.__name__.lower()}_{'little' if order == '<' else 'big'}"
            yield Seed(name=f"{name}.nii", data=data)
            yield Seed(name=f"{name}.nii.gz", data=gzip.compress(data, mtime=0))


def _real(shared: Path) -> Iterator[Seed]:
    counts: dict[Path, int] = {}
    for path in sorted(shared.rglob("*")) if shared.is_dir() else ():
        if path.suffix.lower() not in _SUFFIXES or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            continue
        counts[path.parent] = counts.get(path.parent, 0) + 1
        if counts[path.parent] <= _FROM_EACH or path.parent.name in _ALL_OF:
            yield Seed(name=str(path.relative_to(shared)), data=path.read_bytes())
