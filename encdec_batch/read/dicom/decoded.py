"""A frame that can only be had whole: encapsulated, deflated, packed, ... Decoded once and kept."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.dicom.codec import decode_frame
from encdec_batch.read.dicom.codestream import BadCodestream
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.frame import chosen
from encdec_batch.read.dicom.library import damaged, guarded
from encdec_batch.read.dicom.native import frame_span, is_swapped, values_of_frame
from encdec_batch.read.dicom.stream import inflated_range
from encdec_batch.read.ranges import PAGE_BYTES, PinnedObject, Span
from encdec_batch.window import Window


class Encoded(Protocol):
    """A frame before it is decoded."""

    num_bytes: int
    """That it has in the object."""

    def cost(self) -> int:
        """Bytes that `decode` will fetch."""

    def decode(self) -> NDArray[np.generic]:
        """(samples, rows, columns)"""


class DecodedFrame:
    """A `FrameSource` that fetches and decodes all of it at the first call."""

    def __init__(self, source: PinnedObject, encoded: Encoded) -> None:
        if encoded.num_bytes > source.limits.max_whole_bytes:
            raise UnsupportedScene(
                f"{source.uri}: a frame is decoded whole, and this one has {encoded.num_bytes:,} bytes, more than the "
                f"{source.limits.max_whole_bytes:,} that are fetched for it",
                hint="store it uncompressed, e.g. dcmconv, or gdcmconv --raw",
                uri=source.uri,
            )
        self._source, self._encoded = source, encoded
        self._decoded: NDArray[np.generic] | None = None

    def values(self, window: Window, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.values`."""
        return chosen(self._whole(), samples)[:, window.rows, window.cols]

    def cost(self, windows: Sequence[Window], samples: Sequence[int]) -> int:  # noqa: ARG002  (all are decoded)
        """See `FrameSource.cost`."""
        return self._encoded.cost() if windows and self._decoded is None else 0

    def every(self, step: int, samples: Sequence[int]) -> NDArray[np.generic]:
        """See `FrameSource.every`."""
        return chosen(self._whole(), samples)[:, ::step, ::step]

    def close(self) -> None:
        """See `FrameSource.close`."""
        self._decoded = None

    def _whole(self) -> NDArray[np.generic]:
        if self._decoded is None:
            decoded = self._encoded.decode()
            decoded.flags.writeable = False
            self._decoded = decoded
            self._source.forget()
        return self._decoded


class EncapsulatedFrame:
    """`Encoded` in fragments."""

    def __init__(self, source: PinnedObject, dicom: DicomFile, spans: Sequence[Span]) -> None:
        self._source, self._dicom = source, dicom
        # Cut where pages end, so that what came with the header is not fetched again.
        self._spans = [piece for span in spans for piece in _by_pages(span)]
        self._start = spans[0][0]
        self.num_bytes = sum(stop - start for start, stop in spans)

    def cost(self) -> int:
        """See `Encoded.cost`."""
        return self._source.cost(self._spans, self._source.held)

    def decode(self) -> NDArray[np.generic]:
        """See `Encoded.decode`."""
        self._source.hold(self._spans)
        data = b"".join(self._source.bytes_at(*span) for span in self._spans)
        self._source.keep(())
        syntax = self._dicom.syntax
        what = f"the frame at byte {self._start:,} is no {syntax.name} that can be decoded"

        def decode() -> NDArray[np.generic]:
            try:
                return decode_frame(data, self._dicom.image, syntax)
            except BadCodestream as error:
                raise damaged(self._source.uri, f"{what}: {error}") from error

        return guarded(self._source, what, decode)


def _by_pages(span: Span) -> list[Span]:
    start, stop = span
    inner = range((start // PAGE_BYTES + 1) * PAGE_BYTES, stop, PAGE_BYTES)
    return list(itertools.pairwise((start, *inner, stop)))


class DeflatedFrame:
    """`Encoded` in a file that is deflated as a whole."""

    def __init__(self, source: PinnedObject, dicom: DicomFile, frame: int) -> None:
        self._source, self._dicom, self._frame = source, dicom, frame
        self.num_bytes = source.size

    def cost(self) -> int:
        """See `Encoded.cost`."""
        return self._source.whole_cost()

    def decode(self) -> NDArray[np.generic]:
        """See `Encoded.decode`."""
        dicom = self._dicom
        start, stop = (dicom.pixels.start + at for at in frame_span(dicom.image, self._frame))
        packed = memoryview(self._source.whole())[dicom.deflated_from :]

        def decode() -> NDArray[np.generic]:
            data = inflated_range(packed, start, stop, uri=self._source.uri)
            return values_of_frame(data, dicom.image, self._frame)

        return guarded(self._source, "its deflated part cannot be inflated", decode)


class NativeFrame:
    """`Encoded` as bytes whose rows do not lie apart: eight pixels in one, or each two in the wrong order."""

    def __init__(self, source: PinnedObject, dicom: DicomFile, frame: int) -> None:
        self._source, self._image, self._frame = source, dicom.image, frame
        self._start, self._stop = start, stop = frame_span(dicom.image, frame)
        self._swapped = is_swapped(dicom)
        if self._swapped:  # words begin where the value does
            start, stop = start // 2 * 2, -(-stop // 2) * 2
        self._skipped = self._start - start
        self._span = dicom.pixels.start + start, dicom.pixels.start + stop
        self.num_bytes = stop - start

    def cost(self) -> int:
        """See `Encoded.cost`."""
        return self._source.cost([self._span], self._source.held)

    def decode(self) -> NDArray[np.generic]:
        """See `Encoded.decode`."""
        self._source.hold([self._span])
        data = self._source.bytes_at(*self._span)
        self._source.keep(())
        if self._swapped:
            data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
        data = data[self._skipped : self._skipped + self._stop - self._start]
        return values_of_frame(data, self._image, self._frame)
