"""Voxels taken in the order of the file and held in that of slices: gathered one by one from all over a volume, a slice
would cost several times as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.nifti.header import NiftiHeader, SliceAxes

_LINES = 64
"""Of a plane, turned together: what is read again soon must be in the processor's cache still."""


class TurnedVolumes:
    """Filled from the first byte to the last; beside what it holds it takes one plane.

    Args:
        nifti: of the file.
        axes: of the slices.
        number: of volumes.
    """

    def __init__(self, nifti: NiftiHeader, axes: SliceAxes, number: int) -> None:
        size_i, size_j, size_k = nifti.shape
        self._axes = axes
        shape = (nifti.shape[axes.across], nifti.shape[axes.rows], nifti.shape[axes.cols], nifti.num_samples)
        self._held_VNHWS = np.empty((number, *shape), nifti.voxel)
        # Slices across k lie in the file as they are held.
        turned = axes.across != 2
        self._bytes = None if turned else self._held_VNHWS.reshape(-1).view(np.uint8)
        self._plane_JIS = np.empty((size_j, size_i, nifti.num_samples) if turned else 0, nifti.voxel)
        self._size_k = size_k
        self._filled = self._planes = 0

    def put(self, data: NDArray[np.uint8]) -> None:
        """The next bytes of the file's voxels."""
        if self._bytes is not None:
            self._bytes[self._filled : self._filled + data.size] = data
            self._filled += data.size
            return
        plane = self._plane_JIS.reshape(-1).view(np.uint8)
        while data.size:
            taken = min(data.size, plane.size - self._filled)
            if taken == plane.size:
                self._turn(data[:taken].view(self._plane_JIS.dtype).reshape(self._plane_JIS.shape))
            else:
                plane[self._filled : self._filled + taken] = data[:taken]
                self._filled += taken
                if self._filled == plane.size:
                    self._turn(self._plane_JIS)
                    self._filled = 0
            data = data[taken:]

    def done(self) -> NDArray[np.generic]:
        """(volumes, slices, rows, columns, samples); nobody may write to it any more."""
        self._held_VNHWS.flags.writeable = False
        return self._held_VNHWS

    def _turn(self, plane_JIS: NDArray[np.generic]) -> None:
        volume, k = divmod(self._planes, self._size_k)
        self._planes += 1
        # (slices, columns, samples) of each slice's row k: its columns are those of the earlier of the other axes.
        rows = self._held_VNHWS[volume, :, k]
        if self._axes.across == 1:
            rows[...] = plane_JIS
            return
        for first in range(0, len(plane_JIS), _LINES):
            rows[:, first : first + _LINES] = plane_JIS[first : first + _LINES].swapaxes(0, 1)
