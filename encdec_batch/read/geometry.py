"""Where the pixels of a stack of slices lie in space."""

from __future__ import annotations

from dataclasses import dataclass

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

    def scaled(self, scale: int) -> VolumeGeometry:
        """The same place with `scale` pixels for each one along rows and columns: their corners stay where they are."""
        if scale == 1:
            return self
        shift = (1 - scale) / (2 * scale)

        def scaled_row(row: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
            i, j, k = (v / scale if axis != self.across else v for axis, v in enumerate(row[:3]))
            return i, j, k, row[3] + shift * sum(v for axis, v in enumerate(row[:3]) if axis != self.across)

        first, second, third = (scaled_row(row) for row in self.affine)
        return VolumeGeometry(affine=(first, second, third), across=self.across, rows=self.rows, cols=self.cols)
