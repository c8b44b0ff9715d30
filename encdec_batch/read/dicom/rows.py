"""Rows of a frame that is not encapsulated: a window's are fetched, and no others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.native import is_ybr, values_of_rows
from encdec_batch.read.ranges import PAGE_BYTES, PinnedObject, Span
from encdec_batch.window import Window

Rows = tuple[int, int]
"""The first, and the one behind the last."""


class RowsOfFrame:
    """A `FrameSource` by ranges. Keeps the rows of the last window, the lower ones if they are too many.

    Args:
        source: the object.
        dicom: its header.
        frame: which of its frames.
    """

    def __init__(self, source: PinnedObject, dicom: DicomFile, frame: int) -> None:
        self._source = source
        self._image = image = dicom.image
        self._big_endian = dicom.syntax.big_endian
        if image.row_bytes > source.limits.max_decoded_bytes:
            raise UnsupportedScene(
                f"{source.uri}: a row of its pixels has {image.row_bytes:,} bytes, "
                f"more than {source.limits.max_decoded_bytes:,}",
                hint="raise limits.max_tile_mb, if the image is what it should be",
                uri=source.uri,
            )
        planes = image.samples if image.planar else 1
        self._row_bytes = image.row_bytes // planes
        self._starts = [
            dicom.pixels.start + (frame * planes + plane) * image.rows * self._row_bytes for plane in range(planes)
        ]
        # Up to here the header's last page reaches, which is there already.
        self._cut = -(-dicom.pixels.start // PAGE_BYTES) * PAGE_BYTES
        self._held: dict[int, tuple[int, bytes]] = {}
        """By plane: the first row that is kept, and its bytes and those of the rows below it."""

    def values(self, window: Window, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.values`."""
        wanted = (window.row_off, window.row_stop)
        planes = self._planes(samples)
        held = self._intervals()
        missing = {plane: self._missing(wanted, held.get(plane)) for plane in planes}
        self._source.hold([span for plane in planes for rows in missing[plane] for span in self._spans(plane, rows)])
        kept = {plane: self._joined(plane, wanted, missing[plane]) for plane in planes}
        self._source.keep(())
        data = [memoryview(kept[plane]) for plane in planes]
        found = values_of_rows(data, self._image, window.cols, samples, big_endian=self._big_endian)
        first = self._first_kept(wanted, len(planes))
        skipped = (first - wanted[0]) * self._row_bytes
        self._held = {plane: (first, rows[skipped:]) for plane, rows in kept.items() if first < wanted[1]}
        return found

    def cost(self, windows: Sequence[Window], samples: Sequence[int]) -> int:
        """See `FrameSource.cost`."""
        total, held, planes = 0, self._intervals(), self._planes(samples)
        for window in windows:
            wanted = (window.row_off, window.row_stop)
            spans = [
                span
                for plane in planes
                for rows in self._missing(wanted, held.get(plane))
                for span in self._spans(plane, rows)
            ]
            total += self._source.cost(spans, ())
            first = self._first_kept(wanted, len(planes))
            held = dict.fromkeys(planes, (first, wanted[1])) if first < wanted[1] else {}
        return total

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.every`."""
        rows = range(0, self._image.rows, step)
        planes = self._planes(samples)
        spans = {plane: [span for row in rows for span in self._spans(plane, (row, row + 1))] for plane in planes}
        wanted = [span for plane in planes for span in spans[plane]]
        cost = self._source.cost(wanted, ())
        if cost > self._source.limits.max_thumbnail_bytes:
            raise UnsupportedScene(
                f"{self._source.uri}: every {step}th row of it is too much to read for a thumbnail: {cost:,} bytes",
                hint="convert it to a tiled TIFF with overviews, e.g. gdal_translate -of COG",
                uri=self._source.uri,
            )
        self._source.hold(wanted)
        data = [b"".join(self._source.bytes_at(*span) for span in spans[plane]) for plane in planes]
        self._source.keep(())
        return values_of_rows(data, self._image, slice(None, None, step), samples, big_endian=self._big_endian)

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._held = {}
        self._source.keep(())

    def _planes(self, samples: Sequence[int]) -> Sequence[int]:
        """Which planes of the frame to fetch: where samples lie together there is one."""
        if not self._image.planar:
            return (0,)
        return range(self._image.samples) if is_ybr(self._image) else samples

    def _intervals(self) -> dict[int, Rows]:
        return {plane: (first, first + len(data) // self._row_bytes) for plane, (first, data) in self._held.items()}

    @staticmethod
    def _missing(wanted: Rows, held: Rows | None) -> list[Rows]:
        """What of the wanted rows is not held, above and below."""
        if held is None or held[1] <= wanted[0] or wanted[1] <= held[0]:
            return [wanted]
        parts = ((wanted[0], held[0]), (held[1], wanted[1]))
        return [part for part in parts if part[0] < part[1]]

    def _spans(self, plane: int, rows: Rows) -> list[Span]:
        start, stop = (self._starts[plane] + row * self._row_bytes for row in rows)
        return [(start, self._cut), (self._cut, stop)] if start < self._cut < stop else [(start, stop)]

    def _joined(self, plane: int, wanted: Rows, missing: list[Rows]) -> bytes:
        """The rows that are wanted, of those that are held and those that have come."""
        pieces = {rows[0]: [self._source.bytes_at(*span) for span in self._spans(plane, rows)] for rows in missing}
        if missing != [wanted]:
            first, data = self._held[plane]
            start = max(first, wanted[0])
            pieces[start] = [data[(start - first) * self._row_bytes : (wanted[1] - first) * self._row_bytes]]
        found = [piece for row in sorted(pieces) for piece in pieces[row]]
        return found[0] if len(found) == 1 else b"".join(found)

    def _first_kept(self, rows: Rows, num_planes: int) -> int:
        most = self._source.limits.kept_bytes // (self._row_bytes * max(1, num_planes))
        return max(rows[0], rows[1] - most)
