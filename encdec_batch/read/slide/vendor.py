"""Slides in formats of vendors, by openslide (an extra): MIRAX (MRXS), NDPI, SCN, BIF, VMS.

openslide opens files by itself: only of a local disk, so nothing is fetched or counted here, and what it opens is held
to the object that was planned by its etag alone, before and after each read. A slide of several files is pinned by the
one that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import ExtraMissing, SceneUnreadable, UnsupportedScene
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.levels import choose_level
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.slide.layout import downsample_of
from encdec_batch.window import Window

T = TypeVar("T")

_CELL = 512
"""Regions are asked for by cells of this side, so that a pixel is the same by whichever window it is read: openslide
places and blends what it draws relative to the region."""
_INDEX_BYTES = 1 << 20


class VendorSlideReader(PinnedReader):
    """A `Reader` of one level of a slide that openslide has open. Nothing is asked of the store but its etag."""

    def __init__(self, source: PinnedObject, slide: Any, header: SceneHeader, level: int) -> None:
        super().__init__(source, header)
        self._source = source
        self._slide = slide
        self._level = level

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:  # noqa: ARG002
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        patch = self._read(self._level, window, self._header.level0_downsample[0])
        return Patch(pixels=patch.pixels[[band - 1 for band in bands]], valid_mask=patch.valid_mask)

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`: nothing is asked of the store."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._source.uri)
        return 0

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`. Of a level: the thumbnail among the associated images is not looked at."""
        sizes = [(height, width) for width, height in self._slide.level_dimensions]
        large = [number for number, size in enumerate(sizes) if max(size) >= max_side]
        level = large[-1] if large else 0
        height, width = sizes[level]
        if 3 * height * width > self._source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: no level of {max_side} px, and the others are too large to read for a thumbnail",
                hint="write it with more levels, e.g. by vips tiffsave --tile --pyramid",
                uri=self._source.uri,
            )
        patch = self._read(level, Window(0, 0, width, height), _factor(sizes[0], sizes[level]))
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._slide.close()
        self._source.forget()

    def _read(self, level: int, window: Window, factor: float) -> Patch:
        pixels = np.empty((3, window.height, window.width), np.uint8)
        valid = np.empty((window.height, window.width), np.bool_)
        self._source.check_unchanged()
        for cell in _cells(window):
            corner = round(cell.col_off * factor), round(cell.row_off * factor)
            rgba = _guarded(self._source, partial(self._region, corner, level))
            common = cell.intersection(window)
            inside = common.shift(-cell.row_off, -cell.col_off)
            target = common.shift(-window.row_off, -window.col_off)
            chosen = rgba[inside.rows, inside.cols]
            valid[target.rows, target.cols] = chosen[..., 3] != 0
            pixels[:, target.rows, target.cols] = (chosen[..., :3] * (chosen[..., 3:] != 0)).transpose(2, 0, 1)
        self._source.check_unchanged()
        return Patch(pixels=pixels, valid_mask=valid)

    def _region(self, corner: tuple[int, int], level: int) -> NDArray[np.uint8]:
        return np.asarray(self._slide.read_region(corner, level, (_CELL, _CELL)))


def open_vendor_slide(source: PinnedObject, plane: Plane, options: ReadOptions) -> VendorSlideReader:
    """A reader of the level that `options.um_per_px` asks for, or of the next finer one.

    Raises:
        ExtraMissing: openslide is not installed.
        UnsupportedScene: it lies in an object store, or is beyond the limits.
        SceneUnreadable: openslide cannot open it.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise ExtraMissing(
            f"{source.uri}: a slide in a vendor's format, which openslide reads",
            hint='pip install "encdec-batch[openslide]"',
            uri=source.uri,
        ) from error
    scheme, _, path = source.uri.partition("://")
    if scheme != "file":
        raise UnsupportedScene(
            f"{source.uri}: a slide in a vendor's format, which openslide reads from a local disk only",
            hint="copy it to a disk of every worker, or convert it to OME-TIFF, e.g. by bfconvert",
            uri=source.uri,
        )
    if plane != WHOLE:
        raise UnsupportedScene(f"{source.uri}: a slide has one plane", hint="leave the plane out", uri=source.uri)
    _check_names(source, Path(path))
    slide = _guarded(source, lambda: openslide.OpenSlide(path))
    try:
        header, level = _guarded(source, lambda: _describe(slide, source, options, openslide))
        source.check_unchanged()
    except BaseException:
        slide.close()
        raise
    return VendorSlideReader(source, slide, header, level)


def _describe(slide: Any, source: PinnedObject, options: ReadOptions, openslide: Any) -> tuple[SceneHeader, int]:
    sizes = [(height, width) for width, height in slide.level_dimensions]
    factors = [_factor(sizes[0], size) for size in sizes]
    finest = [float(slide.properties.get(name, 0)) for name in ("openslide.mpp-y", "openslide.mpp-x")]
    by_level = [(finest[0] * factor, finest[1] * factor) for factor in factors] if min(finest) > 0 else None
    level = choose_level(by_level, options.um_per_px)
    height, width = sizes[level]
    if sizes[0][0] * sizes[0][1] > source.limits.max_pixels:
        raise UnsupportedScene(
            f"{source.uri}: its header promises more than {source.limits.max_pixels:,} px",
            hint="split it, if it is really so large",
            uri=source.uri,
        )
    header = SceneHeader(
        driver="slide",
        height=height,
        width=width,
        num_bands=3,
        dtype="uint8",
        nodata=(None,) * 3,
        mask="alpha",
        scales=(1.0,) * 3,
        offsets=(0.0,) * 3,
        band_names=(None,) * 3,
        crs_wkt=None,
        transform=None,
        gcps=(),
        gcps_crs_wkt=None,
        layout="tiled",
        tile_height=_CELL,
        tile_width=_CELL,
        compression="vendor",
        planar=False,
        encoded_bytes=source.size,
        pixel_size_um=None if by_level is None else by_level[level],
        level0_downsample=(factors[level], factors[level]),
        decoder=f"openslide {openslide.__library_version__}",
    )
    return header, level


def _factor(finest: tuple[int, int], level: tuple[int, int]) -> float:
    return downsample_of(finest, level) or finest[1] / level[1]


def _cells(window: Window) -> Iterator[Window]:
    for row in range(window.row_off // _CELL, (window.row_stop - 1) // _CELL + 1):
        for col in range(window.col_off // _CELL, (window.col_stop - 1) // _CELL + 1):
            yield Window(col * _CELL, row * _CELL, _CELL, _CELL)


def _check_names(source: PinnedObject, path: Path) -> None:
    """Slides of several files name the others in lists of `key = name`: none may lie elsewhere, by name or by link."""
    folder = path.with_suffix("")
    lists = [path] if source.bytes_at(0, 1) == b"[" else [folder / "Slidedat.ini"] if folder.is_dir() else []
    members = list(folder.iterdir()) if folder.is_dir() else []
    texts = [one.read_bytes()[:_INDEX_BYTES] for one in lists if one.is_file() and not one.is_symlink()]
    if any(member.is_symlink() for member in members) or any(b".." in text for text in texts):
        raise SceneUnreadable(
            f"{source.uri}: a slide of several files, some of which lie elsewhere",
            hint="put the files themselves beside it",
            uri=source.uri,
        )


def _guarded(source: PinnedObject, call: Callable[[], T]) -> T:
    """What openslide says may have words of the file in it, and is not passed on."""
    import openslide

    try:
        return call()
    except (openslide.OpenSlideError, OSError, ValueError) as error:
        source.check_unchanged()
        raise SceneUnreadable(
            f"{source.uri}: openslide cannot read it",
            hint="the file is damaged, or of a kind that openslide does not know; convert it to OME-TIFF",
            uri=source.uri,
        ) from error
