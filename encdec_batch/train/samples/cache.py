"""Decoded images and open files of one process, within a number of bytes.

Training sets are small and read again in every epoch: what fits is decoded once. What is too large to be kept whole is
read by windows, from files that stay open.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.pairs.reader import PairReader, Raw
from encdec_batch.window import Window

_OPEN = 8
"""Files that stay open, in pairs of image and target; only one where they are of formats without windows, as a reader
keeps all pixels of such a file.
"""
_LARGE = 4
"""An image of more than this fraction of the cache is read by windows."""


class Scenes:
    """Windows of the training scenes, by number. Not thread-safe; pickles empty."""

    def __init__(self, scenes: Sequence[Inspected], data: DataSpec) -> None:
        self._scenes, self._data = tuple(scenes), data
        self._limit = data.loading.cache_mib << 20
        self._kept: OrderedDict[int, Raw] = OrderedDict()
        self._open: OrderedDict[int, PairReader] = OrderedDict()
        self._bytes = 0

    def __reduce__(self) -> tuple[type[Scenes], tuple[tuple[Inspected, ...], DataSpec]]:
        return type(self), (self._scenes, self._data)

    def __getitem__(self, number: int) -> Inspected:
        return self._scenes[number]

    def __len__(self) -> int:
        return len(self._scenes)

    @property
    def bytes_kept(self) -> int:
        """Of decoded images."""
        return self._bytes

    def read(self, number: int, window: Window) -> Raw:
        """A window of a scene's region; its arrays are not to be written to.

        Raises:
            SceneError: the file changed since it was inspected, or cannot be read any more.
            TransientStoreError: the store, not the file.
        """
        scene = self._scenes[number]
        if scene.num_bytes * _LARGE <= self._limit:
            return self._whole(number, scene).cut(window)
        return self._reader(number, scene).read(window.shift(scene.region.row_off, scene.region.col_off))

    def close(self) -> None:
        """Closes what is open and forgets what is kept."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()
        self._kept.clear()
        self._bytes = 0

    def _whole(self, number: int, scene: Inspected) -> Raw:
        found = self._kept.get(number)
        if found is None:
            with self._opened(scene) as reader:
                found = reader.read(scene.region)
            self._bytes += found.num_bytes
            while self._bytes > self._limit and self._kept:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= oldest.num_bytes
            self._kept[number] = found
        self._kept.move_to_end(number)
        return found

    def _reader(self, number: int, scene: Inspected) -> PairReader:
        if number not in self._open:
            while len(self._open) >= (1 if scene.whole else _OPEN):
                self._open.popitem(last=False)[1].close()
            self._open[number] = self._opened(scene)
        self._open.move_to_end(number)
        return self._open[number]

    def _opened(self, scene: Inspected) -> PairReader:
        return PairReader(scene.pair, self._data, num_bands=len(scene.bands), version=scene.version)
