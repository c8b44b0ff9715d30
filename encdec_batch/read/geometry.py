"""Where the pixels of a stack of slices lie in space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

Affine = tuple[
    tuple[float, float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float, float],
]
"""Three rows of four: voxel indices (i, j, k, 1) to millimetres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeGeometry:
    """The array that slices were cut from, or can be put together to. A slice is the array at one index of `across`;
    its rows and columns are the two other axes, nothing is flipped.
    """

    affine: Affine
    """To millimetres right, forward and up of the patient (RAS+, as NIfTI has them)."""
    across: int = 2
    """The axis (0, 1, 2: i, j, k) that slices are counted along."""
    rows: int = 1
    """The axis of a slice's rows."""
    cols: int = 0
    """That of its columns."""
    shape: tuple[int, int] | None = None
    """Rows and columns of a slice; None: nobody said."""

    @property
    def spacing(self) -> Mapping[int, float]:
        """Millimetres between neighbours, by axis."""
        return {axis: math.hypot(*(row[axis] for row in self.affine)) for axis in range(3)}

    def voxels(self, num_slices: int, shape: tuple[int, int]) -> tuple[int, int, int]:
        """How many along i, j, k, where slices have so many rows and columns."""
        along = {self.across: num_slices, self.rows: shape[0], self.cols: shape[1]}
        return along[0], along[1], along[2]

    def is_rectangular(self, voxels: tuple[int, int, int]) -> bool:
        """Whether axes are at right angles: made so, nothing would move by more than half a voxel.

        Args:
            voxels: along i, j, k.
        """
        axes, sizes = list(zip(*(row[:3] for row in self.affine), strict=True)), self.spacing

        def goes_along(one: int, other: int) -> bool:
            shift: float = abs(sum(a * b for a, b in zip(axes[one], axes[other], strict=True))) * (voxels[one] - 1)
            return shift > sizes[other] * sizes[other] / 2

        # Either of two may be turned until it is at right angles to the other.
        return not any(goes_along(a, b) and goes_along(b, a) for a, b in ((0, 1), (0, 2), (1, 2)))

    def scaled(self, scale: int) -> VolumeGeometry:
        """The same place with `scale` pixels for each one along rows and columns: their corners stay where they are."""
        if scale == 1:
            return self
        shape = None if self.shape is None else (self.shape[0] * scale, self.shape[1] * scale)
        return self.resized(scale, scale, shape)

    def resized(self, down: float, across: float, shape: tuple[int, int] | None) -> VolumeGeometry:
        """The same corner with `down` and `across` pixels for each one along a column and along a row.

        Args:
            down: rows of the result to one of these.
            across: columns likewise.
            shape: of a slice of the result.
        """
        by_axis = {self.rows: down, self.cols: across, self.across: 1.0}

        def resized_row(row: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
            i, j, k = (v / by_axis[axis] for axis, v in enumerate(row[:3]))
            return i, j, k, row[3] + sum(v * (1 / by_axis[axis] - 1) / 2 for axis, v in enumerate(row[:3]))

        first, second, third = (resized_row(row) for row in self.affine)
        return replace(self, affine=(first, second, third), shape=shape)
