"""Slides and stacks of microscopy, made by tifffile: what scanners write, as far as their formats are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from rasters import blocky_image

SECRET = "DOE^JANE"
"""Stands wherever a file of a scanner may name somebody."""
SIDE, TILE = 400, 64


def smooth(height: int, width: int, *, bands: int = 3) -> NDArray[np.uint8]:
    """(height, width, bands), of colours that JPEG keeps."""
    return np.ascontiguousarray(blocky_image(bands, height, width).transpose(1, 2, 0))


def halved(image: NDArray[Any]) -> NDArray[Any]:
    """(height // 2, width // 2, bands): the mean of each four pixels."""
    height, width = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    parts = image[:height, :width].astype(np.float64)
    mean = (parts[::2, ::2] + parts[1::2, ::2] + parts[::2, 1::2] + parts[1::2, 1::2]) / 4
    return np.floor(mean + 0.5).astype(image.dtype)


def pyramid_of(image: NDArray[Any], num_levels: int) -> list[NDArray[Any]]:
    levels = [image]
    for _ in range(num_levels - 1):
        levels.append(halved(levels[-1]))
    return levels


def write_aperio(
    path: Path,
    levels: Sequence[NDArray[Any]],
    *,
    mpp: str = "0.5000",
    label: bool = True,
    **options: Any,
) -> None:
    """As ImageScope writes: finest level, thumbnail, coarser levels, label, macro; the last two with a name on them."""
    given: dict[str, Any] = {"compression": "jpeg", "photometric": "rgb"} | options
    head = f"Aperio Image Library v12.0.15 \r\n{levels[0].shape[1]}x{levels[0].shape[0]}"
    said = f"{head} JPEG/RGB Q=30|AppMag = 20|Filename = {SECRET}|User = {SECRET}|MPP = {mpp}|ImageID = {SECRET}"
    thumbnail = levels[-1][::2, ::2].copy()
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(levels[0], tile=(TILE, TILE), description=said, metadata=None, **given)
        tiff.write(thumbnail, rowsperstrip=16, description=head, metadata=None, photometric="rgb")
        for level in levels[1:]:
            tiff.write(level, tile=(TILE, TILE), description=head, metadata=None, **given)
        for kind, name in ((1, "label"), (9, "macro")) if label else ():
            text = f"Aperio Image Library v12.0.15 \r\n{name} 90x60 {SECRET}"
            picture = np.full((60, 90, 3), 200, np.uint8)
            more: dict[str, Any] = {"description": text, "metadata": None, "subfiletype": kind}
            tiff.write(picture, rowsperstrip=60, photometric="rgb", compression="lzw", **more)


def write_ome(path: Path, levels: Sequence[NDArray[Any]], *, axes: str, **options: Any) -> None:
    """Levels of one image, its axes among T, Z, C, Y, X and S, the coarser ones in SubIFDs."""
    metadata: dict[str, Any] = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5}
    metadata |= {"PhysicalSizeYUnit": "µm", "Name": SECRET, "Description": SECRET}
    given: dict[str, Any] = {"tile": (TILE, TILE), "photometric": "minisblack"} | options
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(levels[0], subifds=len(levels) - 1, metadata=metadata, **given)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, **given)


def write_philips(path: Path, levels: Sequence[NDArray[Any]], *, spacing_mm: float = 0.0005) -> None:
    """Levels filled up to whole tiles, their true sizes to be had from spacings in XML."""

    def attribute(name: str, text: str) -> str:
        return f'<Attribute Name="{name}" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">{text}</Attribute>'

    objects = "".join(
        '<DataObject ObjectType="PixelDataRepresentation">'
        + attribute("DICOM_PIXEL_SPACING", f'"{spacing_mm * 2**number:g}" "{spacing_mm * 2**number:g}"')
        + "</DataObject>"
        for number in range(len(levels))
    )
    said = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        f'<Attribute Name="PIM_DP_UFS_BARCODE">{SECRET}</Attribute>'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        '<Attribute Name="PIM_DP_IMAGE_TYPE" Group="0x301D" Element="0x1004" PMSVR="IString">WSI</Attribute>'
        + attribute("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", f"<Array>{objects}</Array>")
        + attribute("DICOM_PIXEL_SPACING", f'"{spacing_mm:g}" "{spacing_mm:g}"')
        + "</DataObject></Array></Attribute></DataObject>"
    )
    with tifffile.TiffWriter(path) as tiff:
        for number, level in enumerate(levels):
            height, width = (-(-side // TILE) * TILE for side in level.shape[:2])
            filled = np.pad(
                level, ((0, height - level.shape[0]), (0, width - level.shape[1]), (0, 0)), constant_values=255
            )
            text: dict[str, Any] = {"description": said, "software": "Philips DP v1.0"} if number == 0 else {}
            tiff.write(
                filled, tile=(TILE, TILE), compression="jpeg", photometric="rgb", metadata=None,
                subfiletype=int(number > 0), **text,
            )  # fmt: skip
