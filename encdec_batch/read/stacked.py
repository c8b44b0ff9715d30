"""A slice together with its neighbours: their bands one after the other, as a network of 2.5 dimensions wants them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader, Rule
from encdec_batch.window import Window


class StackedReader:
    """A `Reader` of several images of one size and type as one of all their bands. It owns none of them.

    Args:
        readers: an odd number, the scene's own in their middle; one may stand there several times. Band `b` of the
            reader number `n` is band `n * bands of each + b`.

    Raises:
        SceneUnreadable: they are of different sizes, types or numbers of bands.
    """

    def __init__(self, readers: Sequence[Reader]) -> None:
        self._readers = tuple(readers)
        self._own = readers[len(readers) // 2]
        self._each = self._own.header.num_bands
        self._header = _joined([reader.header for reader in readers])

    @property
    def header(self) -> SceneHeader:
        return self._header

    @property
    def etag(self) -> str:
        return self._own.etag

    @property
    def size_bytes(self) -> int:
        """Of the slice's own object."""
        return self._own.size_bytes

    @property
    def bytes_read(self) -> int:
        return sum(reader.bytes_read for reader in set(self._readers))

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        asked = self._by_reader(bands)
        patches = {
            reader: reader.read(window, own, rule=rule, nan_is_nodata=nan_is_nodata) for reader, own in asked.items()
        }
        places = [(reader, asked[reader].index(own)) for reader, own in self._places(bands)]
        valid: NDArray[np.bool_] = np.stack([patch.valid_mask for patch in patches.values()])
        return Patch(
            pixels=np.stack([patches[reader].pixels[place] for reader, place in places]),
            valid_mask=np.all(valid, axis=0) if rule == "any" else np.any(valid, axis=0),
        )

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        return sum(reader.bytes_for(windows, own) for reader, own in self._by_reader(bands).items())

    def thumbnail(self, max_side: int) -> Patch:
        """The slice's own, as often as it has bands here: what is shown is the slice."""
        patch = self._own.thumbnail(max_side)
        return replace(patch, pixels=np.concatenate([patch.pixels] * len(self._readers)))

    def close(self) -> None:
        """Does nothing: who opened the readers closes them."""

    def _places(self, bands: Sequence[int]) -> list[tuple[Reader, int]]:
        """The reader of each band, and its number there."""
        return [(self._readers[(band - 1) // self._each], (band - 1) % self._each + 1) for band in bands]

    def _by_reader(self, bands: Sequence[int]) -> dict[Reader, list[int]]:
        """Each reader once, with all that is wanted of it: at the ends of a series one stands for several slices."""
        asked: dict[Reader, list[int]] = {}
        for reader, own in self._places(bands):
            asked.setdefault(reader, []).append(own)
        return asked


def _joined(headers: Sequence[SceneHeader]) -> SceneHeader:
    own = headers[len(headers) // 2]
    kinds = {(header.height, header.width, header.dtype, header.num_bands) for header in headers}
    if len(kinds) > 1:
        raise SceneUnreadable(
            f"slices beside each other differ: {_list_of(kinds)}",
            hint="the series or volume is damaged, or not one: fetch it anew, or leave context_slices out",
        )
    return replace(
        own,
        num_bands=own.num_bands * len(headers),
        nodata=sum((header.nodata for header in headers), ()),
        scales=sum((header.scales for header in headers), ()),
        offsets=sum((header.offsets for header in headers), ()),
        band_names=sum((header.band_names for header in headers), ()),
    )


def _list_of(kinds: set[tuple[int, int, str, int]]) -> str:
    return ", ".join(f"{w} x {h} px of {bands} {dtype}" for h, w, dtype, bands in sorted(kinds))
