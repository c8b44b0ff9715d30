"""PNG, JPEG and WebP: no windows in the file, so the whole image is decoded once, if it is small enough."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.decoder import Decoder
from encdec_batch.read.gdal.describe import BandPlan, FileLayout, plan_bands, scene_header
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.pinned_reader import PinnedReader
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.window import Window

Format = Literal["PNG", "JPEG", "WEBP"]

_PNG_COLOURS = frozenset({0, 2, 3, 4, 6})
"""Colour types: PNG specification, table 11.1."""
_PNG_INFLATED = frozenset({b"zTXt", b"iTXt", b"tEXt", b"iCCP"})
_MOST_TEXTS = 64
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers SOF0 to SOF15; the three others are tables and a reserved one: ITU T.81, table B.1."""
_WEBP_ANIMATION, _WEBP_LOSSLESS, _WEBP_KEY_FRAME = 0x02, 0x2F, b"\x9d\x01\x2a"
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSize:
    """What the first bytes promise."""

    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """(bands, height, width) and (height, width)."""

    pixels: NDArray[np.generic]
    valid_mask: NDArray[np.bool_]
    """By alpha or a mask of the whole image."""


class ImageReader(PinnedReader):
    """A `Reader` of a PNG, JPEG or WebP. The first read fetches and decodes all of it; it is kept until `close`."""

    def __init__(
        self, source: PinnedObject, driver: Format, decoder: Decoder, plan: BandPlan, header: SceneHeader
    ) -> None:
        super().__init__(source, header)
        self._source, self._driver = source, driver
        self._decoder = decoder
        self._plan = plan
        self._decoded: _Decoded | None = None

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """See `Reader.read`."""
        check_request(self._header, window, bands, uri=self._source.uri)
        decoded = self._decode()
        pixels = decoded.pixels[[band - 1 for band in bands], window.rows, window.cols]
        nodata = [self._plan.nodata[band - 1] for band in bands]
        valid = valid_of_bands(pixels, nodata, rule=rule, nan_is_nodata=nan_is_nodata)
        return Patch(pixels=pixels, valid_mask=valid & decoded.valid_mask[window.rows, window.cols])

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """See `Reader.bytes_for`."""
        for window in windows:
            check_request(self._header, window, bands, uri=self._source.uri)
        return self._source.whole_cost() if windows and self._decoded is None else 0

    def thumbnail(self, max_side: int) -> Patch:
        """See `Reader.thumbnail`."""
        height, width = self._header.height, self._header.width
        bands = range(1, self._header.num_bands + 1)
        patch = self.read(Window(0, 0, width, height), bands, rule="all")
        return patch.thinned(max_side)

    def close(self) -> None:
        """See `Reader.close`."""
        self._decoder.close()
        self._source.forget()
        self._decoded = None

    def _decode(self) -> _Decoded:
        if self._decoded is None:
            check_end(self._source.whole(), self._driver, uri=self._source.uri)
            self._decoded = self._decoder.run("decode it", self._read_all)
            self._source.forget()
        return self._decoded

    def _read_all(self, dataset: Any) -> _Decoded:
        pixels = dataset.read(self._plan.pixel_bands)
        if self._plan.alpha_band is not None:
            valid = dataset.read(self._plan.alpha_band) != 0
        elif self._plan.dataset_mask:
            valid = dataset.read_masks(self._plan.pixel_bands[0]) != 0
        else:
            valid = np.ones(pixels.shape[1:], dtype=np.bool_)
        return _Decoded(pixels=pixels, valid_mask=valid)


def open_image(source: PinnedObject, driver: Format) -> ImageReader:
    """A reader of a PNG, JPEG or WebP within `source.limits`.

    Raises:
        SceneUnreadable: it is no such image.
        UnsupportedScene: it is too large to be decoded whole, or of a type that is not read.
    """
    _check_size(source, _SIZES[driver](source))
    if driver == "PNG":
        check_text(_chunks_before_pixels(source), uri=source.uri)
    decoder = Decoder(source, driver)

    def describe(dataset: Any) -> tuple[BandPlan, SceneHeader]:
        plan = plan_bands(dataset)
        layout = FileLayout(
            layout="whole",
            tile_height=dataset.height,
            tile_width=dataset.width,
            planar=False,
            encoded_bytes=source.size,
        )
        return plan, scene_header(dataset, plan, layout, uri=source.uri)

    try:
        plan, header = decoder.run("describe it", describe)
    except BaseException:
        decoder.close()
        raise
    return ImageReader(source, driver, decoder, plan, header)


def png_size(source: PinnedObject) -> ImageSize:
    """What the IHDR chunk says.

    Raises:
        SceneUnreadable: it is not there.
    """
    head = source.bytes_at(0, 33)
    if len(head) < 33 or head[12:16] != b"IHDR" or head[25] not in _PNG_COLOURS:
        raise _damaged(source.uri, "its PNG header is not whole")
    width, height = struct.unpack(">II", head[16:24])
    return ImageSize(height=height, width=width)


def check_text(chunks: Iterable[bytes], *, uri: str) -> None:
    """Does nothing when a PNG has few enough chunks that the decoder inflates beside the pixels.

    Each becomes up to 8 MB, whatever it is in the file.

    Raises:
        UnsupportedScene: it has more.
    """
    texts = (kind for kind in chunks if kind in _PNG_INFLATED)
    if next(islice(texts, _MOST_TEXTS, None), None) is not None:
        raise UnsupportedScene(
            f"{uri}: its PNG has more than {_MOST_TEXTS} texts and profiles",
            hint="leave them out, e.g. pngcrush -rem alla",
            uri=uri,
        )


def _chunks_before_pixels(source: PinnedObject) -> Iterator[bytes]:
    position = 8
    while len(head := source.bytes_at(position, position + 8)) == 8 and head[4:] != b"IDAT":
        yield head[4:]
        position += 12 + int.from_bytes(head[:4])


def jpeg_size(source: PinnedObject) -> ImageSize:
    """What the first frame header says.

    Raises:
        SceneUnreadable: there is none.
    """
    position = 2
    while True:
        marker, length = _segment(source, position)
        if marker == _JPEG_SCAN:
            raise _damaged(source.uri, "its JPEG has no frame header")
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack(">HH", _exactly(source, position + 5, 4))
            return ImageSize(height=height, width=width)
        position += 2 + length


def webp_size(source: PinnedObject) -> ImageSize:
    """What the first chunk says: RFC 9649, sections 2.4 to 2.7.

    Raises:
        SceneUnreadable: it is none of an image.
        UnsupportedScene: it has several pictures.
    """
    kind, data = _exactly(source, 12, 4, "WebP"), _exactly(source, 20, 10, "WebP")
    if kind == b"VP8X":
        if data[0] & _WEBP_ANIMATION:
            raise UnsupportedScene(
                f"{source.uri}: a WebP of several pictures", hint="save the one that is meant", uri=source.uri
            )
        return ImageSize(height=int.from_bytes(data[7:], "little") + 1, width=int.from_bytes(data[4:7], "little") + 1)
    if kind == b"VP8L" and data[0] == _WEBP_LOSSLESS:
        bits = int.from_bytes(data[1:5], "little")
        return ImageSize(height=(bits >> 14 & 0x3FFF) + 1, width=(bits & 0x3FFF) + 1)
    if kind == b"VP8 " and data[3:6] == _WEBP_KEY_FRAME:
        width, height = struct.unpack("<HH", data[6:])
        return ImageSize(height=height & 0x3FFF, width=width & 0x3FFF)
    raise _damaged(source.uri, "its WebP has no image header")


_SIZES: dict[Format, Callable[[PinnedObject], ImageSize]] = {
    "PNG": png_size,
    "JPEG": jpeg_size,
    "WEBP": webp_size,
}


def check_end(data: bytes, driver: Format, *, uri: str) -> None:
    """Does nothing when the image in these bytes has its end: decoders fill up what is missing.

    Raises:
        SceneUnreadable: it has none.
    """
    position = 8
    if driver == "WEBP":
        whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    elif driver == "JPEG":
        position = 2
        while position + 4 <= len(data) and data[position + 1] != _JPEG_SCAN:
            position += 2 + int.from_bytes(data[position + 2 : position + 4])
        # In coded data 0xFF is always followed by 0x00 or a restart marker.
        whole = data.find(_JPEG_END, position) >= 0
    else:
        chunks = []
        while position + 12 <= len(data) and data[position + 4 : position + 8] != b"IEND":
            chunks.append(data[position + 4 : position + 8])
            position += 12 + int.from_bytes(data[position : position + 4])
        whole = position + 12 <= len(data)
        check_text(chunks, uri=uri)
    if not whole:
        raise _damaged(uri, f"its {driver} ends before the image does")


def _check_size(source: PinnedObject, size: ImageSize) -> None:
    limits = source.limits
    if min(size.height, size.width) < 1:
        raise _damaged(source.uri, f"its header says {size.width} x {size.height} px")
    if size.height * size.width > limits.max_whole_pixels:
        claim = f"has {size.width:,} x {size.height:,} px, more than {limits.max_whole_pixels:,}"
        way_out = "raise limits.max_whole_megapixels, or convert it"
    elif source.size > limits.max_whole_bytes:
        claim = f"is a file of {source.size:,} bytes, more than the {limits.max_whole_bytes:,} that are fetched whole"
        way_out = "convert it"
    else:
        return
    raise UnsupportedScene(
        f"{source.uri}: a PNG, JPEG or WebP is decoded whole, and this one {claim}",
        hint=f"{way_out} to a tiled TIFF, e.g. gdal_translate -of COG",
        uri=source.uri,
    )


def _segment(source: PinnedObject, position: int) -> tuple[int, int]:
    prefix, marker, length = struct.unpack(">BBH", _exactly(source, position, 4))
    if prefix != 0xFF or length < 2:
        raise _damaged(source.uri, f"no JPEG marker at byte {position:,}")
    return marker, length


def _exactly(source: PinnedObject, position: int, size: int, name: str = "JPEG") -> bytes:
    data = source.bytes_at(position, position + size)
    if len(data) < size:
        raise _damaged(source.uri, f"its {name} ends within the header")
    return data


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the file is damaged or truncated; fetch it anew", uri=uri)
