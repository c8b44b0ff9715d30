"""Where the tiles of a TIFF lie in its file. The bytes of a header are not to be trusted."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from encdec_batch.errors import EncdecError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.settings import MALFORMED
from encdec_batch.read.gdal.tiff_metadata import GDAL_METADATA, LARGEST, metadata_fault
from encdec_batch.read.ranges import PinnedObject, Span, View
from encdec_batch.window import Window

# It reports each oddity of a hostile file at WARNING; what matters of them is raised here.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)

COMPRESSION_JPEG = 7
COMPRESSION_DEFLATE = 8
COMPRESSION_OLD_DEFLATE = 32946
"""The same codec as 8, the code that has been in use since 2002."""
COMPRESSIONS_CCITT = frozenset({2, 3, 4})
COMPRESSIONS = COMPRESSIONS_CCITT | {1, 5, COMPRESSION_JPEG, COMPRESSION_DEFLATE, 32773, COMPRESSION_OLD_DEFLATE}
COMPRESSIONS |= {34887, 34925, 50000, 50001}
"""None, CCITT, LZW, JPEG, deflate, PackBits, LERC, LZMA, Zstandard, WebP: what tests compare and `make fuzz` damages.
GDAL has decoders for more (old JPEG, ThunderScan, NeXT, SGI Log, Pixar Log, JPEG XL), which nobody tries here."""
_TILE_ARRAYS = (273, 279, 324, 325)
_TILE_BYTES = 16
"""Of offset and size of a tile, in a BigTIFF and in `TilePage`."""
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType, TIFF 6.0 page 36


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRef:
    """One encoded tile or strip: half-open byte range, and its column of tiles."""

    start: int
    stop: int
    column: int
    decoded_bytes: int
    """What the stream must give; a last strip is shorter than the others."""

    @property
    def span(self) -> Span:
        return self.start, self.stop


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePage:
    """One image of a TIFF. A strip is a tile as wide as the image."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    tiled: bool
    num_samples: int
    num_bits: int
    """Of one sample."""
    planar: bool
    compression: int
    jpeg_tables: bytes = b""
    """What JPEG tiles of this image have in common."""
    subfile_type: int
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """Bytes; zero for a tile that is not in the file. Order: plane, row, column."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return -(-self.height // self.tile_height), -(-self.width // self.tile_width)

    @property
    def encoded_bytes(self) -> int:
        return int(self.sizes.sum())

    def tiles(self, window: Window, bands: Collection[int]) -> Iterator[TileRef]:
        """The tiles that hold pixels of a window, for 1-based bands, each once."""
        across = self.grid[1]
        rows = range(window.row_off // self.tile_height, (window.row_stop - 1) // self.tile_height + 1)
        columns = range(window.col_off // self.tile_width, (window.col_stop - 1) // self.tile_width + 1)
        planes = sorted({band - 1 for band in bands}) if self.planar else (0,)
        for plane, row, column in itertools.product(planes, rows, columns):
            number = (plane * self.grid[0] + row) * across + column
            size = int(self.sizes[number])
            if size:
                start = int(self.offsets[number])
                yield TileRef(start=start, stop=start + size, column=column, decoded_bytes=self._decoded_bytes(row))

    def _decoded_bytes(self, row: int) -> int:
        height = self.tile_height if self.tiled else min(self.tile_height, self.height - row * self.tile_height)
        samples = 1 if self.planar else self.num_samples
        return -(-self.tile_width * samples * self.num_bits // 8) * height


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffIndex:
    """The images of a file that a reader may need."""

    main: TilePage
    mask: TilePage | None
    overviews: tuple[tuple[TilePage, TilePage | None], ...]
    """Reduced images with their masks, in the order of the file."""


def kept_spans(refs: Collection[TileRef], most_bytes: int) -> set[Span]:
    """The byte ranges to keep of a window for the next one: those furthest to the right, then lowest.

    Strips are one column; the lower ones are shared by whoever reads downwards.
    """
    kept: set[Span] = set()
    total = 0
    for ref in sorted(refs, key=lambda ref: (-ref.column, -ref.start)):
        total += ref.stop - ref.start
        if total > most_bytes:
            break
        kept.add(ref.span)
    return kept


def read_tiff_index(source: PinnedObject) -> TiffIndex:
    """The index of a TIFF, within `source.limits`.

    Raises:
        SceneUnreadable: it contradicts itself or the object's size.
        UnsupportedScene: it claims more than the limits admit.
    """
    try:
        with tifffile.TiffFile(View(source)) as tiff:  # type: ignore[arg-type]  # all of a file that it uses
            pages = [tile_page(page, source) for page in _within_limits(_pages(tiff, source), source)]
    except EncdecError:
        raise
    except MALFORMED as error:
        if source.failure is not None:
            raise source.failure from error
        raise _damaged(source.uri, f"its TIFF header cannot be read ({error})") from error
    if source.failure is not None:
        raise source.failure
    main = pages[0]
    return TiffIndex(main=main, mask=_mask_of(main, pages), overviews=_overviews(pages))


def _pages(tiff: tifffile.TiffFile, source: PinnedObject) -> Iterator[Any]:
    seen: set[int] = set()
    for number in itertools.count():
        if number >= source.limits.max_ifds:
            raise UnsupportedScene(
                f"{source.uri}: more than {source.limits.max_ifds} images in one file",
                hint="split it into one file per scene",
                uri=source.uri,
            )
        try:
            page = tiff.pages[number]
        except IndexError:
            if number == 0:
                raise _damaged(source.uri, "it ends before its first directory: cut short, or no image") from None
            return
        if page.offset in seen:  # a loop, where GDAL stops too
            return
        seen.add(page.offset)
        yield page


def _within_limits(pages: Iterator[Any], source: PinnedObject) -> Iterator[Any]:
    """Before their values are read: many images may name one array, which costs its bytes in the file only once."""
    tiles = 0
    for page in pages:
        tiles += max((page.tags[code].count for code in _TILE_ARRAYS if code in page.tags), default=0)
        if tiles > source.limits.max_header_bytes // _TILE_BYTES:
            raise UnsupportedScene(
                f"{source.uri}: its images have more than {source.limits.max_header_bytes // _TILE_BYTES:,} tiles",
                hint="rewrite it with larger tiles, e.g. gdal_translate -of COG",
                uri=source.uri,
            )
        yield page


def tile_page(page: Any, source: PinnedObject, *, compressions: Collection[int] = COMPRESSIONS) -> TilePage:
    """Where the tiles of one image lie.

    Args:
        page: has `tags`: a TiffPage of tifffile, or a Directory (slide/directory.py).
        source: the file.
        compressions: that are read.

    Raises:
        SceneUnreadable, UnsupportedScene: as `read_tiff_index`; of a damaged value, what MALFORMED has.
    """
    height, width, num_samples = _value(page, 257), _value(page, 256), _value(page, 277, 1)
    tiled = 322 in page.tags
    planar = _value(page, 284, 1) == 2 and num_samples > 1
    tile_height = _value(page, 323) if tiled else min(_value(page, 278, height), height)
    tile_width = _value(page, 322) if tiled else width
    if min(height, width, num_samples, tile_height, tile_width) < 1:
        raise _damaged(source.uri, f"{width} x {height} px in tiles of {tile_width} x {tile_height} px")
    bits, compression = max(_values(page, 258, 1).tolist()), _value(page, 259, 1)
    _check_compression(source, compression, compressions)
    _check_metadata(page, source)
    _check_claims(source, (height, width, num_samples))
    decoded = tile_height * tile_width * (1 if planar else num_samples) * bits // 8
    if decoded > source.limits.max_decoded_bytes:
        raise UnsupportedScene(
            f"{source.uri}: one {'tile' if tiled else 'strip'} of {tile_width} x {tile_height} px is {decoded:,} bytes "
            f"decoded, more than {source.limits.max_decoded_bytes:,}",
            hint="rewrite it with tiles, e.g. gdal_translate -of COG",
            uri=source.uri,
        )
    num_tiles = -(-height // tile_height) * -(-width // tile_width) * (num_samples if planar else 1)
    offsets = _values(page, 324 if tiled else 273)
    sizes = _values(page, 325 if tiled else 279)
    if min(len(offsets), len(sizes)) < num_tiles:
        raise _damaged(source.uri, f"{num_tiles:,} tiles are needed, {min(len(offsets), len(sizes)):,} are named")
    return TilePage(
        height=height,
        width=width,
        tile_height=tile_height,
        tile_width=tile_width,
        tiled=tiled,
        num_samples=num_samples,
        num_bits=bits,
        planar=planar,
        compression=compression,
        jpeg_tables=bytes(page.tags[347].value) if compression == COMPRESSION_JPEG and 347 in page.tags else b"",
        subfile_type=_value(page, 254, 0),
        offsets=offsets[:num_tiles].copy(),  # not a view that keeps a longer array
        sizes=_checked_sizes(source, offsets[:num_tiles], sizes[:num_tiles]),
    )


def _check_claims(source: PinnedObject, shape: tuple[int, int, int]) -> None:
    height, width, num_samples = shape
    if height * width > source.limits.max_pixels:
        raise UnsupportedScene(
            f"{source.uri}: its header promises {width:,} x {height:,} px, more than {source.limits.max_pixels:,}",
            hint="split it, if it is really so large",
            uri=source.uri,
        )
    if num_samples > source.limits.max_bands:
        raise UnsupportedScene(
            f"{source.uri}: its header promises {num_samples:,} bands, more than {source.limits.max_bands:,}",
            hint="split it, if it really has so many",
            uri=source.uri,
        )


def _check_metadata(page: Any, source: PinnedObject) -> None:
    for code, most in LARGEST.items():
        tag = page.tags.get(code)
        if tag is not None and tag.valuebytecount > most:
            raise UnsupportedScene(
                f"{source.uri}: tag {code} has {tag.valuebytecount:,} bytes, more than {most:,}",
                hint="leave out of its metadata what is not needed, e.g. gdal_edit.py -unsetmd -unsetgcp",
                uri=source.uri,
            )
    tag = page.tags.get(GDAL_METADATA)
    if tag is None:
        return
    fault = metadata_fault(source.bytes_at(tag.valueoffset, tag.valueoffset + tag.count))
    if fault is not None:
        raise _damaged(source.uri, f"its GDAL_METADATA cannot be read: {fault}")


def _check_compression(source: PinnedObject, compression: int, compressions: Collection[int]) -> None:
    if compression not in compressions:
        raise UnsupportedScene(
            f"{source.uri}: compression {compression} is not read",
            hint="rewrite it by a codec of today, e.g. gdal_translate -co COMPRESS=ZSTD",
            uri=source.uri,
        )


def _checked_sizes(source: PinnedObject, offsets: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    sizes = np.where(offsets == 0, 0, sizes)
    # Subtracted, not added: an offset near 2**63 must not wrap round.
    beyond = np.flatnonzero((offsets < 0) | (sizes < 0) | (sizes > source.size - offsets) & (sizes > 0))
    if beyond.size:
        first = int(beyond[0])
        raise _damaged(
            source.uri,
            f"tile {first} is {int(sizes[first]):,} bytes at {int(offsets[first]):,}, the file has {source.size:,}",
        )
    return sizes


def _mask_of(page: TilePage, pages: list[TilePage]) -> TilePage | None:
    same_size = (other for other in pages if (other.height, other.width) == (page.height, page.width))
    return next((other for other in same_size if other.subfile_type & _MASK and other is not page), None)


def _overviews(pages: list[TilePage]) -> tuple[tuple[TilePage, TilePage | None], ...]:
    reduced = [page for page in pages[1:] if page.subfile_type & _REDUCED and not page.subfile_type & _MASK]
    return tuple((page, _mask_of(page, pages)) for page in reduced)


def _values(page: Any, code: int, default: int | None = None) -> NDArray[np.int64]:
    tag = page.tags.get(code)
    if tag is None:
        if default is None:
            raise ValueError(f"tag {code} is missing")
        return np.array([default], dtype=np.int64)
    return np.atleast_1d(np.asarray(tag.value)).astype(np.int64, casting="same_kind")


def _value(page: Any, code: int, default: int | None = None) -> int:
    return int(_values(page, code, default)[0])


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the file is damaged or truncated; fetch it anew", uri=uri)
