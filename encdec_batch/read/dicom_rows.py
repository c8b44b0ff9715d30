"""Rows of a frame that is not encapsulated: a window's are fetched, and no others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom_file import DicomFile
from encdec_batch.read.dicom_frame import Rows
from encdec_batch.read.dicom_native import is_ybr, values_of_rows
from encdec_batch.read.ranges import PinnedObject, Span


class RowsOfFrame:
    """A `FrameSource` by ranges. Keeps the rows of the last window, the lower ones first, for its neighbours.

    Args:
        source: the object.
        dicom: its header.
        frame: which of its frames.
    """

    def __init__(self, source: PinnedObject, dicom: DicomFile, frame: int) -> None:
        self._source, self._frame = source, frame
        self._image = image = dicom.image
        self._start = dicom.pixels.start
        self._big_endian = dicom.syntax.big_endian
        if image.row_bytes > source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{source.uri}: a row of its pixels has {image.row_bytes:,} bytes, "
                f"more than {source.limits.max_decoded_bytes:,}",
                hint="raise limits.max_tile_mb, if the image is what it should be",
                uri=source.uri,
            )

    def rows(self, start: int, stop: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.rows`."""
        spans = self._spans(range(start, stop), samples)
        self._source.hold(spans)
        found = self._decoded(range(start, stop), spans, samples)
        self._source.keep(self._kept(spans))
        return found

    def cost(self, windows: Sequence[Rows], samples: Sequence[int]) -> int:
        """See `FrameSource.cost`."""
        total, held = 0, set(self._source.held)
        for start, stop in windows:
            spans = self._spans(range(start, stop), samples)
            total += self._source.cost(spans, held)
            held = self._kept(spans)
        return total

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.every`."""
        rows = range(0, self._image.rows, step)
        spans = self._spans(rows, samples)
        cost = self._source.cost(spans, self._source.held)
        if cost > self._source.limits.max_thumbnail_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: every {step}th row of it is too much to read for a thumbnail: {cost:,} bytes",
                hint="convert it to a tiled TIFF with overviews, e.g. gdal_translate -of COG",
                uri=self._source.uri,
            )
        self._source.hold(spans)
        found = self._decoded(rows, spans, samples)
        self._source.keep(())
        return found

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._source.keep(())

    def _planes(self, samples: Sequence[int]) -> Sequence[int]:
        """Which planes of the frame to fetch: where samples lie together there is one."""
        if not self._image.planar:
            return (0,)
        return range(self._image.samples) if is_ybr(self._image) else samples

    def _spans(self, rows: Iterable[int], samples: Sequence[int]) -> list[Span]:
        """Of each row, plane by plane."""
        image = self._image
        if image.is_packed:
            bits = ((self._frame * image.rows + row) * image.columns for row in rows)
            return [(self._start + first // 8, self._start + -(-(first + image.columns) // 8)) for first in bits]
        planes = image.samples if image.planar else 1
        size = image.row_bytes // planes
        firsts = [self._start + (self._frame * planes + plane) * image.rows * size for plane in self._planes(samples)]
        return [(first + row * size, first + (row + 1) * size) for first, row in itertools.product(firsts, rows)]

    def _kept(self, spans: Iterable[Span]) -> set[Span]:
        kept: set[Span] = set()
        total = 0
        for start, stop in sorted(spans, reverse=True):
            total += stop - start
            if total > self._source.limits.kept_bytes:
                break
            kept.add((start, stop))
        return kept

    def _decoded(self, rows: range, spans: list[Span], samples: Sequence[int]) -> NDArray[np.generic]:
        image = self._image
        pieces = [self._source.bytes_at(*span) for span in spans]
        if image.is_packed:
            return self._unpacked(rows, pieces)[list(samples)]
        return values_of_rows(b"".join(pieces), image, len(rows), samples, big_endian=self._big_endian)

    def _unpacked(self, rows: range, pieces: list[bytes]) -> NDArray[np.uint8]:
        """Single bits: the first pixel is the lowest bit, and a row begins where the one before ends (PS3.5, 8.1.1)."""
        columns = self._image.columns
        found = np.empty((1, len(rows), columns), np.uint8)
        for number, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
            skipped = (self._frame * self._image.rows + row) * columns % 8
            bits = np.unpackbits(np.frombuffer(piece, np.uint8), bitorder="little")
            found[0, number] = bits[skipped : skipped + columns]
        return found
