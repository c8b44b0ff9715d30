"""Frames that are not encapsulated: where they lie in the value, and what their bytes mean (DICOM PS3.5, 8.1, 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.dicom.colour import expanded_422, rgb_of_ybr
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.frame import chosen
from encdec_batch.read.dicom.image import DicomImage
from encdec_batch.read.ranges import Span


def is_swapped(dicom: DicomFile) -> bool:
    """Bytes lie two in a word whose leading one comes first: annex A.3 of it, for pixels of 8 bits or fewer."""
    return dicom.syntax.big_endian and dicom.pixels.vr == "OW" and dicom.image.dtype.itemsize == 1


def is_ybr(image: DicomImage) -> bool:
    """All samples of a pixel are needed for any band of it."""
    return image.photometric.startswith("YBR_FULL")


def frame_span(image: DicomImage, frame: int) -> Span:
    """The bytes of a frame, from the first of the value. Packed frames may share a byte."""
    if image.is_packed:
        pixels = image.rows * image.columns
        return frame * pixels // 8, -(-(frame + 1) * pixels // 8)
    size = image.rows * image.row_bytes
    return frame * size, (frame + 1) * size


def values_of_frame(data: bytes, image: DicomImage, frame: int) -> NDArray[np.generic]:
    """Stored values of a frame's bytes, little-endian, (samples, rows, columns)."""
    if image.is_packed:
        pixels = image.rows * image.columns
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        skipped = frame * pixels % 8
        return bits[skipped : skipped + pixels].reshape(1, image.rows, image.columns)
    size = len(data) // (image.samples if image.planar else 1)
    planes = [data[start : start + size] for start in range(0, len(data), size)]
    return values_of_rows(planes, image, slice(None), range(image.samples), big_endian=False)


def values_of_rows(
    planes: Sequence[bytes | memoryview],
    image: DicomImage,
    columns: slice,
    samples: Sequence[int],
    *,
    big_endian: bool,
) -> NDArray[np.generic]:
    """Stored values of rows that are not packed, (samples, rows, columns), colours as RGB.

    Args:
        planes: the rows, with all their samples; where samples lie in planes, those of each: of all planes where
            colours are YBR, else of `samples`.
        image: what the header says.
        columns: which are wanted.
        samples: which are wanted.
        big_endian: of cells.

    Returns:
        Read-only where it is not an array of its own.
    """
    kind = image.dtype.newbyteorder(">" if big_endian else "<")
    cells: list[NDArray[Any]] = [np.frombuffer(plane, kind) for plane in planes]
    if image.is_subsampled:
        expanded = expanded_422(cells[0].reshape(-1, image.columns * 2), image.columns)
        return chosen(rgb_of_ybr(expanded[..., columns]), samples)
    if image.planar:
        rows = [plane.reshape(-1, image.columns)[:, columns] for plane in cells]
        found = rows[0][None] if len(rows) == 1 else np.stack(rows)
        found = rgb_of_ybr(found) if is_ybr(image) else found
        found = chosen(found, samples) if is_ybr(image) else found
    else:
        found = np.moveaxis(cells[0].reshape(-1, image.columns, image.samples)[:, columns], -1, 0)
        found = chosen(rgb_of_ybr(found) if is_ybr(image) else found, samples)
    if image.bits is None:
        return found.astype(image.dtype, copy=False)
    return image.bits.values(found)
