"""Where the frames of an encapsulated image lie: by a table of the file, if it proves right, else by walking.

The value is a sequence of items: a basic offset table, which may be empty, then fragments. A frame is one fragment, or
several in a row (DICOM PS3.5, A.4).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.dicom.file import DicomFile
from encdec_batch.read.dicom.image import ITEM_BYTES
from encdec_batch.read.dicom.library import damaged
from encdec_batch.read.ranges import PAGE_BYTES, PinnedObject, Span
from encdec_batch.read.recent import Recent

_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_END_BYTES = 10
"""Of a fragment, among which the end of a codestream is looked for."""
_END_OF_IMAGE = b"\xff\xd9"
"""Of a JPEG, JPEG-LS and JPEG 2000."""
_MOST_FRAGMENTS = 1 << 18
_FORGET_EVERY = 256
"""Fragments of a walk: pages on the way are not kept."""
_SPANS: Recent[tuple[NDArray[np.int64], NDArray[np.int64]]] = Recent(4)
_RECENT: Recent[list[list[Span]]] = Recent(4)
"""Of objects without a table: to find one frame is to find all, by a request for each that is large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Value:
    """The pixels' value."""

    table: Span
    """Of what the basic offset table holds."""
    start: int
    """Of the first fragment's item."""
    stop: int
    """No byte of it lies beyond."""


def frame_fragments(source: PinnedObject, dicom: DicomFile, frame: int) -> list[Span]:
    """The bytes of one frame, in order; none of the spans is empty.

    Raises:
        SceneUnreadable: fragments are damaged, or not those of so many frames.
        UnsupportedScene: it has more of them than are looked at.
    """
    value = _value(source, dicom)
    for starts in _tables(source, dicom, value):
        found = _checked(source, value, starts, frame)
        if found:
            return _full(found, source.uri)
    return _full(_RECENT.get(source, lambda: _all(source, value, dicom))[frame], source.uri)


def spans_of_frames(source: PinnedObject, dicom: DicomFile) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each frame where its first item begins and its last one ends: of a slide, which has very many.

    A table is believed if it proves right for the first and the last of them; what it says of the others is seen when
    they are read.

    Raises:
        SceneUnreadable, UnsupportedScene: as `frame_fragments`.
    """
    return _SPANS.get(source, lambda: _spans(source, dicom))


def _spans(source: PinnedObject, dicom: DicomFile) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    value, last = _value(source, dicom), dicom.image.num_frames - 1
    for starts in _tables(source, dicom, value):
        if _checked(source, value, starts, 0) and (end := _checked(source, value, starts, last)):
            return np.array(starts, np.int64), np.array([*starts[1:], end[-1][1]], np.int64)
    found = _all(source, value, dicom)
    starts = [spans[0][0] - ITEM_BYTES for spans in found]
    return np.array(starts, np.int64), np.array([spans[-1][1] for spans in found], np.int64)


def _all(source: PinnedObject, value: _Value, dicom: DicomFile) -> list[list[Span]]:
    """The fragments of every frame, found without a table."""
    if source.size <= source.limits.small_file_bytes:
        source.whole()
    return _grouped(source, list(_walk(source, value.start, value.stop)), dicom)


def _full(spans: list[Span], uri: str) -> list[Span]:
    found = [span for span in spans if span[0] < span[1]]
    if not found:
        raise damaged(uri, f"there is nothing in the frame at byte {spans[0][0]:,}")
    return found


def _value(source: PinnedObject, dicom: DicomFile) -> _Value:
    pixels = dicom.pixels
    stop = source.size if pixels.length is None else pixels.start + pixels.length
    first = _item(source, pixels.start, stop)
    if first is None:
        raise damaged(source.uri, "its pixels have no fragments")
    return _Value(table=first, start=first[1], stop=stop)


def _tables(source: PinnedObject, dicom: DicomFile, value: _Value) -> Iterator[list[int]]:
    """Where frames begin, as the tables of the file say that are possible at all."""
    extended, num_frames = dicom.extended_offsets, dicom.image.num_frames
    if len(extended) == 8 * num_frames:
        yield from _possible(np.frombuffer(extended, "<u8").tolist(), value)
    start, stop = value.table
    if stop - start == 4 * num_frames:
        yield from _possible(np.frombuffer(source.bytes_at(start, stop), "<u4").tolist(), value)


def _possible(offsets: list[int], value: _Value) -> Iterator[list[int]]:
    if offsets[0] == 0 and all(one < other for one, other in itertools.pairwise(offsets)):
        starts = [value.start + offset for offset in offsets]
        if starts[-1] < value.stop:
            yield starts


def _checked(source: PinnedObject, value: _Value, starts: list[int], frame: int) -> list[Span]:
    """The fragments of a frame that begins and ends where a table says; none, where there are no such."""
    last = frame == len(starts) - 1
    stop = value.stop if last else starts[frame + 1]
    try:
        found = list(_walk(source, starts[frame], stop))
    except (SceneUnreadable, UnsupportedScene):
        return []
    # Up to the next frame there are fragments and nothing else; behind the last one stands a delimiter, or the end.
    return found if last or (found and found[-1][1] == stop) else []


def _grouped(source: PinnedObject, fragments: list[Span], dicom: DicomFile) -> list[list[Span]]:
    """Fragments by frame, where no table is of use."""
    num_frames = dicom.image.num_frames
    if len(fragments) == num_frames:
        return [[span] for span in fragments]
    groups: list[list[Span]] = [[]]
    if num_frames == 1:
        groups = [fragments]
    elif dicom.syntax.codec != "rle":
        for start, stop in fragments:
            groups[-1].append((start, stop))
            if _END_OF_IMAGE in _few(source, max(start, stop - _END_BYTES), stop):
                groups.append([])
        groups = groups[:-1] if not groups[-1] else groups
    if len(groups) != num_frames or not groups[0]:
        raise damaged(source.uri, f"its header says {num_frames:,} frames, and it has {len(fragments):,} fragments")
    return groups


def _walk(source: PinnedObject, start: int, stop: int) -> Iterator[Span]:
    """Fragments from one item to a delimiter or to `stop`."""
    far = False
    for number in itertools.count():
        if number == _MOST_FRAGMENTS:
            raise UnsupportedScene(
                f"{source.uri}: its pixels are in more than {_MOST_FRAGMENTS:,} fragments",
                hint="write it anew with one for each frame, e.g. gdcmconv",
                uri=source.uri,
            )
        found = _item(source, start, stop, far=far)
        if found is None:
            return
        yield found
        far = found[1] - start > PAGE_BYTES
        start = found[1]
        if number % _FORGET_EVERY == _FORGET_EVERY - 1 and source.size > source.limits.small_file_bytes:
            source.forget()


def _item(source: PinnedObject, start: int, stop: int, *, far: bool = False) -> Span | None:
    """What the item that begins here holds; None: here is a delimiter, or the end."""
    if start >= stop:
        return None
    begin = start + ITEM_BYTES
    head = _few(source, start, min(begin, stop)) if far else source.bytes_at(start, min(begin, stop))
    if len(head) < ITEM_BYTES:
        raise damaged(source.uri, f"its pixels end within the head of a fragment, at byte {start:,}")
    group, element, length = struct.unpack("<HHL", head)
    tag = group << 16 | element
    if tag == _DELIMITER:
        return None
    if tag != _ITEM or begin + length > stop:
        raise damaged(source.uri, f"there is no whole fragment at byte {start:,}")
    return begin, begin + length


def _few(source: PinnedObject, start: int, stop: int) -> bytes:
    """A few bytes, by a get of their own: by pages, walking over large frames would fetch a part of each."""
    if start >= stop:
        return b""
    source.hold([(start, stop)])
    data = source.bytes_at(start, stop)
    source.keep(())
    return data
