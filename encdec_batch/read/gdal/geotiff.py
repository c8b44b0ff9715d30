"""Windows of a TIFF: we fetch the encoded tiles, GDAL decodes them."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as RasterioWindow

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.decoder import Decoder
from encdec_batch.read.gdal.describe import BandPlan, FileLayout, plan_bands, scene_header
from encdec_batch.read.gdal.jpeg_tables import stands_alone
from encdec_batch.read.gdal.tiff_index import (
    COMPRESSION_DEFLATE,
    COMPRESSION_JPEG,
    COMPRESSION_OLD_DEFLATE,
    COMPRESSIONS_CCITT,
    TiffIndex,
    TilePage,
    TileRef,
    kept_spans,
    read_tiff_index,
)
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.window import Window


def _jpeg_fault(data: bytes, ref: TileRef) -> str | None:  # noqa: ARG001
    # libjpeg fills what is missing with grey, and libtiff passes its warning on to nobody.
    return None if b"\xff\xd9" in data[-64:] else "is cut short"


def _deflate_fault(data: bytes, ref: TileRef) -> str | None:
    try:
        size = len(zlib.decompressobj().decompress(data, ref.decoded_bytes + 1))
    except zlib.error as error:
        return f"cannot be inflated ({error})"
    return None if size == ref.decoded_bytes else "is longer or shorter than it must be"


# GDAL heeds GDAL_TIFF_DEFLATE_SUBCODEC (gdal.py says what it prevents) for images, and not for the old code;
# whether it does for masks could not be shown, and they cost next to nothing.
_CHECKS = {COMPRESSION_JPEG: _jpeg_fault, COMPRESSION_OLD_DEFLATE: _deflate_fault}
"""By compression: what is wrong with a tile that GDAL would let pass."""
_MASK_CHECKS = {COMPRESSION_DEFLATE: _deflate_fault, COMPRESSION_OLD_DEFLATE: _deflate_fault}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """The image itself or one of its overviews."""

    decoder: Decoder
    page: TilePage
    mask: TilePage | None
    plan: BandPlan

    def tiles(self, window: Window, bands: Sequence[int]) -> list[TileRef]:
        """What must be fetched to decode these bands (numbered as in the header) and their mask."""
        numbers = {self.plan.pixel_bands[band - 1] for band in bands}
        if self.plan.alpha_band is not None:
            numbers.add(self.plan.alpha_band)
        if self.plan.dataset_mask and self.mask is None:
            numbers.update(self.plan.pixel_bands)
        refs = list(self.page.tiles(window, numbers))
        if self.plan.dataset_mask and self.mask is not None:
            refs += self.mask.tiles(window, (1,))
        return refs


class GeoTiffReader(PinnedReader):
    """A `Reader` of the first image of a TIFF.

    Keeps the encoded tiles of the last window, the right-hand ones first, for its neighbour to the right.
    """

    def __init__(self, source: PinnedObject, index: TiffIndex, level: _Level, header: SceneHeader) -> None:
        super().__init__(source, header)
        self._source = source
        self._index = index
        self._main = level

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        if self._is_small:
            self._source.whole()
        refs = self._main.tiles(window, bands)
        patch = self._decode(self._main, window, bands, refs, _Validity(rule=rule, nan_is_nodata=nan_is_nodata))
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
            refs = self._main.tiles(window, bands)
            total += self._source.cost([ref.span for ref in refs], held)
            held = kept_spans(refs, self._source.limits.kept_bytes)
        return total

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        bands = range(1, self._header.num_bands + 1)
        number = self._thumbnail_level(max_side)
        level = self._main if number is None else self._open_overview(number)
        window = Window(0, 0, level.page.width, level.page.height)
        try:
            refs = level.tiles(window, bands)
            patch = self._decode(level, window, bands, refs, _Validity(rule="all", nan_is_nodata=True))
        finally:
            if number is not None:
                level.decoder.close()
        self._source.keep(())
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._main.decoder.close()
        self._source.forget()

    @property
    def _is_small(self) -> bool:
        return self._source.size <= self._source.limits.small_file_bytes

    def _decode(
        self, level: _Level, window: Window, bands: Sequence[int], refs: list[TileRef], validity: _Validity
    ) -> Patch:
        self._source.hold([ref.span for ref in refs])
        if level.page.compression in _CHECKS:
            for ref in level.page.tiles(window, [level.plan.pixel_bands[band - 1] for band in bands]):
                self._check_tile(_CHECKS[level.page.compression], ref)
        if level.mask is not None and level.mask.compression in _MASK_CHECKS:
            for ref in level.mask.tiles(window, (1,)):
                self._check_tile(_MASK_CHECKS[level.mask.compression], ref)
        if self._is_apart(level, window, bands):
            return self._decode_apart(level, window, bands, validity)
        what = f"decode {window.width} x {window.height} px at row {window.row_off}, column {window.col_off}"
        return level.decoder.run(what, lambda dataset: validity.patch(dataset, level.plan, window, bands))

    def _is_apart(self, level: _Level, window: Window, bands: Sequence[int]) -> bool:
        """Whether what a tile decodes to may depend on the tile decoded before it."""
        page = level.page
        if page.compression != COMPRESSION_JPEG:
            return page.compression in COMPRESSIONS_CCITT
        refs = page.tiles(window, [level.plan.pixel_bands[band - 1] for band in bands])
        return not all(stands_alone(self._source.bytes_at(ref.start, ref.stop), page.jpeg_tables) for ref in refs)

    def _decode_apart(self, level: _Level, window: Window, bands: Sequence[int], validity: _Validity) -> Patch:
        """Each tile of each band by a decoder of its own, so that nothing of another tile can be left in it."""
        patches: list[list[Patch]] = []
        for row in _cuts(window.row_off, window.row_stop, level.page.tile_height):
            patches.append([])
            for col in _cuts(window.col_off, window.col_stop, level.page.tile_width):
                decoder = level.decoder.again()
                try:
                    what = f"decode the tile at row {row[0]}, column {col[0]}"
                    read = partial(validity.patch, plan=level.plan, window=Window.from_bounds(row, col), bands=bands)
                    patches[-1].append(decoder.run(what, read))
                finally:
                    decoder.close()
        return Patch(
            pixels=np.block([[patch.pixels for patch in line] for line in patches]),
            valid_mask=np.block([[patch.valid_mask for patch in line] for line in patches]),
        )

    def _check_tile(self, fault_of: Callable[[bytes, TileRef], str | None], ref: TileRef) -> None:
        fault = fault_of(self._source.bytes_at(ref.start, ref.stop), ref)
        if fault is not None:
            raise SceneUnreadable(
                f"{self._source.uri}: the tile at byte {ref.start:,} {fault}",
                hint="the file is damaged; fetch it anew",
                uri=self._source.uri,
            )

    def _thumbnail_level(self, max_side: int) -> int | None:
        """Which overview to take, None for the image itself: the smallest that is large enough, else the next below."""
        pages = [(None, self._index.main), *enumerate(page for page, _ in self._index.overviews)]
        pages.sort(key=lambda entry: (max(entry[1].height, entry[1].width), entry[0] is None))
        large = [entry for entry in pages if max(entry[1].height, entry[1].width) >= max_side]
        small = [entry for entry in reversed(pages) if entry not in large]
        # A scene smaller than the thumbnail is its own.
        for number, page in (large[:1] + small) if large else pages[-1:]:
            if self._is_affordable(page):
                return number
        raise UnsupportedScene(
            f"{self._source.uri}: no overview of {max_side} px, and the image itself is too large to read for one",
            hint="add overviews, e.g. gdaladdo, or gdal_translate -of COG",
            uri=self._source.uri,
        )

    def _is_affordable(self, page: TilePage) -> bool:
        limits = self._source.limits
        decoded = page.height * page.width * page.num_samples * np.dtype(self._header.dtype).itemsize
        return page.encoded_bytes <= limits.max_thumbnail_bytes and decoded <= limits.max_decoded_bytes

    def _open_overview(self, number: int) -> _Level:
        page, mask = self._index.overviews[number]
        decoder = Decoder(self._source, "GTiff", OVERVIEW_LEVEL=number)
        try:
            plan = decoder.run("describe an overview", lambda dataset: _plan_of_size(dataset, page, self._source.uri))
        except BaseException:
            decoder.close()
            raise
        return _Level(decoder=decoder, page=page, mask=mask, plan=plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Validity:
    rule: Rule
    nan_is_nodata: bool

    def patch(self, dataset: Any, plan: BandPlan, window: Window, bands: Sequence[int]) -> Patch:
        """Reads pixels and mask of a window from an open dataset."""
        place = RasterioWindow(window.col_off, window.row_off, window.width, window.height)
        pixels: NDArray[np.generic] = dataset.read([plan.pixel_bands[band - 1] for band in bands], window=place)
        nodata = [plan.nodata[band - 1] for band in bands]
        valid = valid_of_bands(pixels, nodata, rule=self.rule, nan_is_nodata=self.nan_is_nodata)
        if plan.alpha_band is not None:
            valid &= dataset.read(plan.alpha_band, window=place) != 0
        elif plan.dataset_mask:
            valid &= dataset.read_masks(plan.pixel_bands[0], window=place) != 0
        return Patch(pixels=pixels, valid_mask=valid)


def open_geotiff(source: PinnedObject) -> GeoTiffReader:
    """A reader of a TIFF whose limits have been checked.

    Raises:
        SceneUnreadable, UnsupportedScene: see `read_tiff_index` and `scene_header`.
    """
    index = read_tiff_index(source)
    decoder = Decoder(source, "GTiff")
    layout: Literal["tiled", "striped"] = "tiled" if index.main.tiled else "striped"
    file_layout = FileLayout(
        layout=layout,
        tile_height=index.main.tile_height,
        tile_width=index.main.tile_width,
        planar=index.main.planar,
        encoded_bytes=index.main.encoded_bytes,
    )

    def describe(dataset: Any) -> tuple[BandPlan, SceneHeader]:
        plan = _plan_of_size(dataset, index.main, source.uri)
        return plan, scene_header(dataset, plan, file_layout, uri=source.uri)

    try:
        plan, header = decoder.run("describe it", describe)
    except BaseException:
        decoder.close()
        raise
    level = _Level(decoder=decoder, page=index.main, mask=index.mask, plan=plan)
    return GeoTiffReader(source, index, level, header)


def _cuts(start: int, stop: int, side: int) -> list[tuple[int, int]]:
    """An interval cut where tiles end."""
    inner = range((start // side + 1) * side, stop, side)
    return list(itertools.pairwise((start, *inner, stop)))


def _plan_of_size(dataset: Any, page: TilePage, uri: str) -> BandPlan:
    # The tiles to fetch are looked up in one parser's reading of the header and decoded by another's.
    if (dataset.height, dataset.width) != (page.height, page.width):
        raise SceneUnreadable(
            f"{uri}: two readers disagree on its size, {page.width} x {page.height} and "
            f"{dataset.width} x {dataset.height} px",
            hint="rewrite it, e.g. gdal_translate -of COG",
            uri=uri,
        )
    return plan_bands(dataset)
