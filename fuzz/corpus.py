"""Whole files to damage: TIFFs of tests/rasters.py and slides.py, PNG, JPEG and WebP in Pillow's ways, real scenes."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from rasters import REFUSED_DTYPES, VARIANTS, blocky_image, coordinate_image, tiny_png, tiny_tiff
from slides import pyramid_of, smooth, write_aperio, write_ome, write_philips

SHARED = Path(__file__).parents[2] / "shared/data"
"""Real scenes, where there are."""
LARGEST_BYTES = 400 << 10
_FROM_EACH = 6
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".webp")


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
    return [*_tiffs(folder), *_slides(folder), *_images(), *_real(shared)]


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


def _real(shared: Path) -> Iterator[Seed]:
    counts: dict[Path, int] = {}
    for path in sorted(shared.rglob("*")) if shared.is_dir() else ():
        if path.suffix.lower() not in _SUFFIXES or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            continue
        counts[path.parent] = counts.get(path.parent, 0) + 1
        if counts[path.parent] <= _FROM_EACH or path.parent.name == "geo_scenes":
            yield Seed(name=str(path.relative_to(shared)), data=path.read_bytes())
