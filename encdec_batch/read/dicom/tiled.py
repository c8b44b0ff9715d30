"""Windows of one level of a slide in DICOM: its tiles are fetched, a row of them at a time, and decoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom.codec import decode_frame
from encdec_batch.read.dicom.codestream import BadCodestream
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.fragments import spans_of_frames
from encdec_batch.read.dicom.frame import chosen
from encdec_batch.read.dicom.image import ITEM_BYTES
from encdec_batch.read.dicom.library import damaged, guarded
from encdec_batch.read.dicom.native import values_of_frame
from encdec_batch.read.dicom.slide import DicomSlide
from encdec_batch.read.gdal.tiff_index import TileRef, kept_spans
from encdec_batch.read.ranges import PinnedObject, Span
from encdec_batch.window import Window


class TiledFrames:
    """A `FrameSource` over all tiles of a level. Keeps the encoded tiles of the last window, the right-hand ones first.

    Args:
        source: the object.
        dicom: its header.
        slide: where its tiles lie.
    """

    def __init__(self, source: PinnedObject, dicom: DicomFile, slide: DicomSlide) -> None:
        self._source, self._dicom, self._slide = source, dicom, slide
        self._image = image = dicom.image
        size = image.rows * image.columns * image.samples * image.dtype.itemsize
        if size > source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{source.uri}: a tile of it has {size:,} bytes, more than {source.limits.max_decoded_bytes:,}",
                hint="raise limits.max_tile_mb, if the slide is what it should be",
                uri=source.uri,
            )
        self._starts, self._stops = self._where()
        self.is_whole = bool((slide.frames >= 0).all())

    @property
    def num_bytes(self) -> int:
        """Of all tiles in the object."""
        return int((self._stops - self._starts).sum())

    def values(self, window: Window, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.values`; 0 where there is no tile."""
        if self._is_small:
            self._source.whole()
        refs = self._refs(window)
        self._source.hold([ref.span for ref in refs])
        found = guarded(self._source, "its tiles cannot be decoded", lambda: self._decoded(window, samples))
        self._source.keep(kept_spans(refs, self._source.limits.kept_bytes))
        return found

    def there(self, window: Window) -> NDArray[np.bool_]:
        """(height, width): where there is a tile."""
        rows = np.arange(window.row_off, window.row_stop) // self._image.rows
        columns = np.arange(window.col_off, window.col_stop) // self._image.columns
        found: NDArray[np.bool_] = self._slide.frames[np.ix_(rows, columns)] >= 0
        return found

    def cost(self, windows: Sequence[Window], samples: Sequence[int]) -> int:  # noqa: ARG002  (tiles have all of them)
        """See `FrameSource.cost`."""
        if self._is_small:
            return self._source.whole_cost() if windows else 0
        total, held = 0, set(self._source.held)
        for window in windows:
            refs = self._refs(window)
            total += self._source.cost([ref.span for ref in refs], held)
            held = kept_spans(refs, self._source.limits.kept_bytes)
        return total

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.every`."""
        slide, limits = self._slide, self._source.limits
        decoded = slide.height * slide.width * len(samples) * self._image.dtype.itemsize
        if self.num_bytes > limits.max_thumbnail_bytes or decoded > limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: this level of the slide is too large to read for a thumbnail",
                hint="ask for larger pixels (source.um_per_px), and leave tissue_only out",
                uri=self._source.uri,
            )
        found = self.values(Window(0, 0, slide.width, slide.height), samples)[:, ::step, ::step]
        self._source.keep(())
        return found

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._source.keep(())

    @property
    def _is_small(self) -> bool:
        return self._source.size <= self._source.limits.small_file_bytes

    def _where(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First byte of each frame, and the one behind its last; of those that are encapsulated with their items."""
        if self._dicom.syntax.codec != "native":
            return spans_of_frames(self._source, self._dicom)
        size = self._image.rows * self._image.row_bytes
        starts = self._dicom.pixels.start + np.arange(self._image.num_frames, dtype=np.int64) * size
        return starts, starts + size

    def _tiles(self, window: Window) -> list[tuple[Window, int]]:
        """Place and frame of each tile that holds pixels of a window and is there."""
        rows, columns = self._image.rows, self._image.columns
        return [
            (Window(column * columns, row * rows, columns, rows), int(self._slide.frames[row, column]))
            for row in range(window.row_off // rows, (window.row_stop - 1) // rows + 1)
            for column in range(window.col_off // columns, (window.col_stop - 1) // columns + 1)
            if self._slide.frames[row, column] >= 0
        ]

    def _refs(self, window: Window) -> list[TileRef]:
        return [
            TileRef(start=start, stop=stop, column=place.col_off, decoded_bytes=0)
            for place, (start, stop) in ((place, self._span(frame)) for place, frame in self._tiles(window))
        ]

    def _span(self, frame: int) -> Span:
        return int(self._starts[frame]), int(self._stops[frame])

    def _decoded(self, window: Window, samples: Sequence[int]) -> NDArray[np.generic]:
        found = np.zeros((len(samples), window.height, window.width), self._image.dtype)
        for place, frame in self._tiles(window):
            common = place.intersection(window)
            inside, here = common.shift(-place.row_off, -place.col_off), common.shift(-window.row_off, -window.col_off)
            tile = chosen(self._tile(frame), samples)
            found[:, here.rows, here.cols] = tile[:, inside.rows, inside.cols]
        return found

    def _tile(self, frame: int) -> NDArray[Any]:
        start, stop = self._span(frame)
        data = self._source.bytes_at(start, stop)
        if self._dicom.syntax.codec == "native":
            # Bytes of one frame: whatever number it has, they begin at a byte of their own.
            return values_of_frame(data, self._image, 0)
        what = f"the tile at byte {start:,}"
        try:
            return decode_frame(_joined(data), self._image, self._dicom.syntax)
        except BadCodestream as error:
            raise damaged(self._source.uri, f"{what} cannot be decoded: {error}") from error


def _joined(data: bytes) -> bytes:
    """What the items of one frame hold."""
    pieces, at = [], 0
    while at < len(data):
        whole = at + ITEM_BYTES <= len(data)
        group, element, length = struct.unpack_from("<HHL", data, at) if whole else (0, 0, 0)
        if (group, element) != (0xFFFE, 0xE000) or at + ITEM_BYTES + length > len(data):
            raise BadCodestream("it is no whole fragment, where the file's table says that one lies")
        pieces.append(data[at + ITEM_BYTES : at + ITEM_BYTES + length])
        at += ITEM_BYTES + length
    return b"".join(pieces)
