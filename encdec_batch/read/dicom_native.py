"""Frames that are not encapsulated: where they lie in the value, and what their bytes mean (DICOM PS3.5, 8.1, 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.dicom_colour import expanded_422, rgb_of_ybr
from encdec_batch.read.dicom_file import DicomFile
from encdec_batch.read.dicom_image import DicomImage
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


def values_of_frame(data: bytes, image: DicomImage, frame: int, *, big_endian: bool) -> NDArray[np.generic]:
    """Stored values of a frame's bytes, (samples, rows, columns)."""
    if image.is_packed:
        pixels = image.rows * image.columns
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        skipped = frame * pixels % 8
        return bits[skipped : skipped + pixels].reshape(1, image.rows, image.columns)
    return values_of_rows(data, image, image.rows, range(image.samples), big_endian=big_endian)


def values_of_rows(
    data: bytes, image: DicomImage, num_rows: int, samples: Sequence[int], *, big_endian: bool
) -> NDArray[np.generic]:
    """Stored values of rows that are not packed, (samples, rows, columns), colours as RGB.

    Args:
        data: the rows; where samples lie in planes, those of one plane after the other: of all where colours are YBR,
            else of `samples`.
        image: what the header says.
        num_rows: how many there are.
        samples: which are wanted.
        big_endian: of cells.
    """
    cells: NDArray[Any] = np.frombuffer(data, image.dtype.newbyteorder(">" if big_endian else "<"))
    if image.is_subsampled:
        return rgb_of_ybr(expanded_422(cells.reshape(num_rows, -1), image.columns))[list(samples)]
    if image.planar:
        cells = cells.reshape(-1, num_rows, image.columns)
    else:
        cells = np.moveaxis(cells.reshape(num_rows, image.columns, image.samples), -1, 0)
    if is_ybr(image):
        return rgb_of_ybr(cells)[list(samples)]
    chosen = cells if image.planar else cells[list(samples)]
    return chosen.astype(image.dtype) if image.bits is None else image.bits.values(chosen)
