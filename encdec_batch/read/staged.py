"""Windows of what `stage_scene` wrote."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.tiff_index import TilePage, kept_spans
from encdec_batch.read.header import GroundControlPoint, SceneHeader
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.patch import Patch
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.staging import MAGIC, TAIL, TILE, strips_of
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.store.store import Store
from encdec_batch.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedIndex:
    """What lies in a staged object."""

    header: SceneHeader
    """Of the scene, as it is read from the staged object: tiled."""
    source_etag: str
    source_size: int
    has_mask: bool
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    checksums: NDArray[np.int64]
    """crc32 of the encoded tiles."""


class StagedReader:
    """A `Reader` of a staged scene. `etag` and `size_bytes` are those of the scene it was made of."""

    def __init__(self, source: PinnedObject, index: StagedIndex) -> None:
        self._source = source
        self._index = index
        self._page = _page(index)

    @property
    def header(self) -> SceneHeader:
        return self._index.header

    @property
    def etag(self) -> str:
        return self._index.source_etag

    @property
    def size_bytes(self) -> int:
        return self._index.source_size

    @property
    def bytes_read(self) -> int:
        return self._source.bytes_read

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self.header, window, bands, uri=self._source.uri)
        refs = list(self._page.tiles(window, (1,)))
        self._source.hold([ref.span for ref in refs])
        pixels = np.empty((len(bands), window.height, window.width), dtype=self.header.dtype)
        in_mask = np.ones((window.height, window.width), dtype=np.bool_)
        for number in self._numbers(window):
            tile = self._decode(number)
            place = self._place(number)
            common = place.intersection(window)
            inside = common.shift(-place.row_off, -place.col_off)
            target = common.shift(-window.row_off, -window.col_off)
            chosen = tile.pixels[:, inside.rows, inside.cols]
            for position, band in enumerate(bands):
                pixels[position, target.rows, target.cols] = chosen[band - 1]
            in_mask[target.rows, target.cols] = tile.valid_mask[inside.rows, inside.cols]
        self._source.keep(kept_spans(refs, self._source.limits.kept_bytes))
        nodata = [None if self._index.has_mask else self.header.nodata[band - 1] for band in bands]
        if self.header.mask != "nodata":
            nodata = [None] * len(bands)
        valid = valid_of_bands(pixels, nodata, rule=rule, nan_is_nodata=nan_is_nodata)
        return Patch(pixels=pixels, valid_mask=valid & in_mask)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        total, held = 0, set(self._source.held)
        for window in windows:
            check_request(self.header, window, bands, uri=self._source.uri)
            refs = list(self._page.tiles(window, (1,)))
            total += self._source.cost([ref.span for ref in refs], held)
            held = kept_spans(refs, self._source.limits.kept_bytes)
        return total

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`: read row by row of tiles, as there are no overviews."""
        if self.header.encoded_bytes > self._source.limits.max_thumbnail_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: too large to read for a thumbnail",
                hint="add overviews to the scene, e.g. gdaladdo, or gdal_translate -of COG",
                uri=self._source.uri,
            )
        step = -(-max(self.header.height, self.header.width) // max_side)
        patches = []
        for window in strips_of(self.header):
            patch = self.read(window, range(1, self.header.num_bands + 1), rule="all")
            first = -window.row_off % step
            patches.append((patch.pixels[:, first::step, ::step].copy(), patch.valid_mask[first::step, ::step].copy()))
        return Patch(
            pixels=np.concatenate([pixels for pixels, _ in patches], axis=1),
            valid_mask=np.concatenate([valid for _, valid in patches]),
        )

    def close(self) -> None:
        """See `Reader.close`."""
        self._source.forget()

    def _numbers(self, window: Window) -> Iterator[int]:
        across = self._page.grid[1]
        for row in range(window.row_off // TILE, (window.row_stop - 1) // TILE + 1):
            for column in range(window.col_off // TILE, (window.col_stop - 1) // TILE + 1):
                yield row * across + column

    def _place(self, number: int) -> Window:
        row, column = divmod(number, self._page.grid[1])
        rows = row * TILE, min((row + 1) * TILE, self.header.height)
        return Window.from_bounds(rows, (column * TILE, min((column + 1) * TILE, self.header.width)))

    def _decode(self, number: int) -> Patch:
        start = int(self._index.offsets[number])
        data = self._source.bytes_at(start, start + int(self._index.sizes[number]))
        if zlib.crc32(data) != self._index.checksums[number]:
            raise _damaged(self._source.uri)
        place = self._place(number)
        shape = self.header.num_bands, place.height, place.width
        dtype = np.dtype(self.header.dtype).newbyteorder("<")
        num_bytes = int(np.prod(shape)) * dtype.itemsize
        num_mask = -(-place.num_pixels // 8) if self._index.has_mask else 0
        raw = imagecodecs.zstd_decode(data, out=num_bytes + num_mask)
        pixels = np.frombuffer(raw, dtype=dtype, count=int(np.prod(shape))).reshape(shape)
        if not self._index.has_mask:
            return Patch(pixels=pixels, valid_mask=np.ones(shape[1:], dtype=np.bool_))
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8, offset=num_bytes), count=place.num_pixels)
        return Patch(pixels=pixels, valid_mask=bits.reshape(shape[1:]).astype(np.bool_))


def open_staged(store: Store, path: str, *, limits: Limits = DEFAULT_LIMITS) -> StagedReader:
    """A reader of what `stage_scene` wrote.

    Raises:
        ObjectMissing: nothing was staged under this name.
        SceneUnreadable: it is damaged; delete it and stage the scene anew.
    """
    info = store.info(path)
    source = PinnedObject(store, path, info, limits)
    tail = source.bytes_at(max(0, info.size - TAIL.size), info.size)
    magic, start = TAIL.unpack(tail) if len(tail) == TAIL.size else (b"", 0)
    if magic != MAGIC or start > info.size:
        raise _damaged(source.uri)
    try:
        with np.load(io.BytesIO(source.bytes_at(start, info.size - TAIL.size)), allow_pickle=False) as arrays:
            values = json.loads(arrays["header"].tobytes())
            places = arrays["places"]
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(source.uri) from error
    return StagedReader(
        source,
        StagedIndex(
            header=_header_of(values["header"]),
            source_etag=values["source_etag"],
            source_size=values["source_size"],
            has_mask=values["has_mask"],
            offsets=places[:, 0],
            sizes=places[:, 1],
            checksums=places[:, 2],
        ),
    )


def _header_of(values: dict[str, Any]) -> SceneHeader:
    # JSON has lists where the record has tuples, and no records within.
    tuples: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    tuples["gcps"] = tuple(GroundControlPoint(**point) for point in values["gcps"])
    return SceneHeader(**tuples)


def _page(index: StagedIndex) -> TilePage:
    return TilePage(
        height=index.header.height,
        width=index.header.width,
        tile_height=TILE,
        tile_width=TILE,
        tiled=True,
        num_samples=index.header.num_bands,
        num_bits=np.dtype(index.header.dtype).itemsize * 8,
        planar=False,
        compression=0,
        subfile_type=0,
        offsets=index.offsets,
        sizes=index.sizes,
    )


def _damaged(uri: str) -> SceneUnreadable:
    return SceneUnreadable(
        f"{uri}: the staged scene is damaged", hint="delete it; it is made anew by the next run", uri=uri
    )
