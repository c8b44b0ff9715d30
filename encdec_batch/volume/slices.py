"""The committed rasters of a volume's slices, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import CommitError
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.store.store import Store
from encdec_batch.volume.wanted import VolumeOrder
from encdec_batch.window import Window


class SliceRasters:
    """What the files of a volume are made of. Memory holds one slice.

    Args:
        store: the root of the output.
        order: names the rasters.

    Raises:
        CommitError: they are of different sizes, or of another than what is known of where they lie.
    """

    def __init__(self, store: Store, order: VolumeOrder) -> None:
        self._store, self.order = store, order
        first = open_reader(store, order.slices[0].path, limits=_OURS)
        self.shape = first.header.height, first.header.width
        first.close()
        said = None if order.geometry is None else order.geometry.shape
        if said not in (None, self.shape):
            raise CommitError(
                f"{order.volume_id}: its slices have {self.shape[1]} x {self.shape[0]} px, and where they lie is known "
                f"for {said[1]} x {said[0]}",
                hint="leave files of volumes out of output.files, and tell us: this is a fault of the program",
            )

    @property
    def num_slices(self) -> int:
        return len(self.order.slices)

    def band(self, number: int) -> Iterator[NDArray[np.generic]]:
        """One band, counted from 1, of each slice in the order of space: (height, width)."""
        for at in range(self.num_slices):
            yield self._read(at, [number])[0]

    def slice(self, number: int) -> NDArray[np.generic]:
        """All bands of one slice, counted from 0 in the order of space: (bands, height, width)."""
        return self._read(number, range(1, self.order.product.num_bands + 1))

    def _read(self, at: int, bands: Sequence[int]) -> NDArray[np.generic]:
        one = self.order.slices[at]
        reader = open_reader(self._store, one.path, limits=_OURS)
        try:
            height, width = reader.header.height, reader.header.width
            if (height, width) != self.shape:
                raise CommitError(
                    f"{self.order.volume_id}: slice {one.scene_id} has {width} x {height} px, the first one "
                    f"{self.shape[1]} x {self.shape[0]}",
                    hint="the slices are of different volumes: tell them apart in a table (source.kind: table)",
                )
            return reader.read(Window(0, 0, width, height), bands, rule="any", nan_is_nodata=False).pixels
        finally:
            reader.close()


_OURS = Limits(max_decoded_bytes=1 << 40)
"""These files are ours: whatever was admitted on the way in may be read on the way out."""
