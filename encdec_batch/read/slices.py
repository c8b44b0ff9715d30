"""Slices side by side: where the volume lies that they are put together to, or that they are none.

By attributes of DICOM PS3.3, C.7.6.2 (Image Plane Module); it counts millimetres to the left and back of a patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from encdec_batch.read.geometry import VolumeGeometry

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]

HALF = 0.5
"""Of a pixel, or of a step: so far may a slice lie from where its volume says that it lies."""
SPACING_TOLERANCE = 1e-3
"""By which part spacings may differ and be one: half a pixel at the end of 512."""


def same_spacing(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Whether pixels are of one size: files of one scanner differ in the last digits."""
    if one is None or other is None:
        return one is other
    return all(math.isclose(a, b, rel_tol=SPACING_TOLERANCE) for a, b in zip(one, other, strict=True))


def astray(orientation: Orientation, spacing_mm: tuple[float, float] | None, positions_mm: Sequence[Vector]) -> int:
    """How many slices lie elsewhere than a volume would have them, which goes straight from the first to the last.

    The line need not be their normal: of a tilted gantry it is not.

    Args:
        orientation: of all of them.
        spacing_mm: between rows, between columns; None: a step is taken for it.
        positions_mm: in the order of space.
    """
    if len(positions_mm) < 3:
        return 0
    positions = np.array(positions_mm)
    line = (positions[-1] - positions[0]) / (len(positions) - 1)
    off = positions - positions[0] - np.arange(len(positions))[:, None] * line
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(row, column)
    step = abs(float(line @ normal))
    between_rows, between_cols = spacing_mm or (step, step)
    room = HALF * np.array([between_cols, between_rows, step])
    return int((np.abs(off @ np.stack([row, column, normal], axis=1)) > room).any(axis=1).sum())


def geometry_of_slices(
    orientation: Orientation, spacing_mm: tuple[float, float], positions_mm: Sequence[Vector], shape: tuple[int, int]
) -> VolumeGeometry:
    """Where they lie.

    PS3.3, C.7.6.2.1.1, gives the direction of a row first: along it columns are counted.

    Args:
        orientation: of all of them.
        spacing_mm: between rows, between columns.
        positions_mm: of two slices or more in the order of space, none of which is astray.
        shape: rows and columns.
    """
    between_rows, between_cols = spacing_mm
    positions = np.array(positions_mm)
    axes = np.stack(
        [
            np.array(orientation[:3]) * between_cols,
            np.array(orientation[3:]) * between_rows,
            (positions[-1] - positions[0]) / (len(positions) - 1),
            positions[0],
        ],
        axis=1,
    )
    right_forward_up = axes * np.array([[-1.0], [-1.0], [1.0]])
    rows = ((float(i), float(j), float(k), float(at)) for i, j, k, at in right_forward_up)
    return VolumeGeometry(affine=(next(rows), next(rows), next(rows)), shape=shape)
