"""Windows of one level of a slide that lies in a TIFF: we fetch the encoded tiles, imagecodecs decodes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.gdal.tiff_index import kept_spans
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.levels import choose_level
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.slide.directory import as_damaged
from encdec_batch.read.slide.layout import Slide
from encdec_batch.read.slide.level import StoredLevel, There, stored_level
from encdec_batch.read.slide.ome import ome_slide
from encdec_batch.read.slide.scanner import aperio_slide, philips_slide
from encdec_batch.read.slide.tile import NAMES, decoder_name
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.window import Window

Kind = Literal["aperio", "ome", "philips"]

_LAYOUTS: dict[Kind, Callable[[PinnedObject, Plane], Slide]] = {
    "aperio": lambda source, _plane: aperio_slide(source),
    "philips": lambda source, _plane: philips_slide(source),
    "ome": ome_slide,
}


class SlideReader(PinnedReader):
    """A `Reader` of one level of a slide.

    Keeps the encoded tiles of the last window, the right-hand ones first, for its neighbour to the right.
    """

    def __init__(self, source: PinnedObject, slide: Slide, stored: StoredLevel, header: SceneHeader) -> None:
        super().__init__(source, header)
        self._source = source
        self._slide = slide
        self._stored = stored

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        if self._is_small:
            self._source.whole()
        refs = self._stored.refs(window, bands)
        self._source.hold([ref.span for ref in refs])
        patch = _patch(*self._stored.decode(window, bands, self._source), rule, nan_is_nodata=nan_is_nodata)
        self._source.keep(kept_spans(refs, self._source.limits.kept_bytes))
        return patch

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._source.uri)
        if self._is_small:
            return self._source.whole_cost() if windows else 0
        total, held = 0, set(self._source.held)
        for window in windows:
            refs = self._stored.refs(window, bands)
            total += self._source.cost([ref.span for ref in refs], held)
            held = kept_spans(refs, self._source.limits.kept_bytes)
        return total

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`. Of a level, whatever thumbnail the file has: that one may show the label."""
        stored = self._thumbnail_level(max_side)
        bands = range(1, self._header.num_bands + 1)
        window = Window(0, 0, stored.level.width, stored.level.height)
        self._source.hold([ref.span for ref in stored.refs(window, bands)])
        patch = _patch(*stored.decode(window, bands, self._source), "all", nan_is_nodata=True)
        self._source.keep(())
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._source.forget()

    @property
    def _is_small(self) -> bool:
        return self._source.size <= self._source.limits.small_file_bytes

    def _thumbnail_level(self, max_side: int) -> StoredLevel:
        """The smallest that is large enough, else the next below; of what is smaller than that, the largest."""
        levels = sorted(self._slide.levels, key=lambda level: max(level.height, level.width))
        large = [level for level in levels if max(level.height, level.width) >= max_side]
        small = [level for level in reversed(levels) if max(level.height, level.width) < max_side]
        for level in large[:1] + small if large else small[:1]:
            stored = stored_level(self._source, level)
            if self._is_alike(stored) and self._is_affordable(stored):
                return stored
        raise UnsupportedScene(
            f"{self._source.uri}: no level of {max_side} px, and the others are too large to read for a thumbnail",
            hint="write it with more levels, e.g. by vips tiffsave --tile --pyramid",
            uri=self._source.uri,
        )

    def _is_alike(self, stored: StoredLevel) -> bool:
        return (len(stored.bands()), stored.pages[0][1].dtype) == (self._header.num_bands, self._header.dtype)

    def _is_affordable(self, stored: StoredLevel) -> bool:
        limits = self._source.limits
        encoded = sum(page.encoded_bytes for page, _ in stored.pages)
        decoded = stored.level.height * stored.level.width * len(stored.bands()) * np.dtype(self._header.dtype).itemsize
        return encoded <= limits.max_thumbnail_bytes and decoded <= limits.max_decoded_bytes


def open_slide(source: PinnedObject, kind: Kind, plane: Plane, options: ReadOptions) -> SlideReader:
    """A reader of the level that `options.um_per_px` asks for, or of the next finer one.

    Raises:
        SceneUnreadable: the file contradicts itself.
        UnsupportedScene: beyond the limits, of a kind that is not read, or without this plane.
    """
    if kind != "ome" and plane != WHOLE:
        raise UnsupportedScene(f"{source.uri}: a slide has one plane", hint="leave the plane out", uri=source.uri)
    with as_damaged(source, "list of levels"):
        slide = _LAYOUTS[kind](source, plane)
    level = slide.levels[choose_level(slide.sizes_um(), options.um_per_px)]
    stored = stored_level(source, level)
    return SlideReader(source, slide, stored, _header(slide, stored))


def _header(slide: Slide, stored: StoredLevel) -> SceneHeader:
    level, (page, tile) = stored.level, stored.pages[0]
    num_bands, sizes = len(stored.bands()), slide.sizes_um()
    has_all = all((page.sizes > 0).all() for page, _ in stored.pages)
    return SceneHeader(
        driver="slide",
        height=level.height,
        width=level.width,
        num_bands=num_bands,
        dtype=tile.dtype,
        nodata=(None,) * num_bands,
        mask="none" if has_all else "internal",
        scales=(1.0,) * num_bands,
        offsets=(0.0,) * num_bands,
        band_names=(None,) * num_bands,
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout="tiled" if page.tiled else "striped",
        tile_height=page.tile_height,
        tile_width=page.tile_width,
        compression=NAMES[page.compression],
        planar=page.planar or len(stored.pages) > 1,
        encoded_bytes=sum(page.encoded_bytes for page, _ in stored.pages),
        pixel_size_um=None if sizes is None else sizes[slide.levels.index(level)],
        level0_downsample=level.downsample,
        decoder=decoder_name(),
    )


def _patch(pixels: NDArray[Any], there: There, rule: Rule, *, nan_is_nodata: bool) -> Patch:
    valid = valid_of_bands(pixels, [None] * len(pixels), rule=rule, nan_is_nodata=nan_is_nodata)
    if there is not None:
        if nan_is_nodata and pixels.dtype.kind == "f":
            there &= ~np.isnan(pixels)
        valid = np.all(there, axis=0) if rule == "any" else np.any(there, axis=0)
    return Patch(pixels=pixels, valid_mask=valid)
