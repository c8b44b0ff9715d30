"""Where frames lie, and which bytes are fetched for them."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import dicoms as made
import numpy as np
import pytest
from dicoms import encapsulated, native
from fakes import FakeStore
from hypothesis import given, settings
from hypothesis import strategies as st
from read.test_dicom import FRAMES, opened, pixels_of

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.limits import DEFAULT_LIMITS
from encdec_batch.read.open import open_reader
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PAGE_BYTES
from encdec_batch.window import Window

BY_PIECES = replace(DEFAULT_LIMITS, small_file_bytes=0)
RNG = np.random.default_rng(7)
LARGE = RNG.integers(0, 4096, (4, 300, 260), np.uint16)
"""Frames of more than a page."""


def lossless(pixels: Any, **options: Any) -> bytes:
    return encapsulated(pixels, made.JPEG_LS, made.ENCODERS[made.JPEG_LS], **options)


def with_table(data: bytes, offsets: list[int], *, num_frames: int) -> bytes:
    """Another basic offset table of the same length, which is all that can be said wrongly in place."""
    head = b"\xfe\xff\x00\xe0" + struct.pack("<L", 4 * num_frames)
    start = data.index(head) + 8
    return data[:start] + struct.pack(f"<{num_frames}L", *offsets) + data[start + 4 * num_frames :]


def frames_of(data: bytes, num_frames: int, **options: Any) -> Any:
    return np.stack([pixels_of(data, plane=Plane.of(frame=frame), **options)[0] for frame in range(num_frames)])


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, BY_PIECES], ids=["small", "by pieces"])
@pytest.mark.parametrize("pixels", [FRAMES, LARGE], ids=["within a page", "over pages"])
@pytest.mark.parametrize(
    "options",
    [{}, {"extended": True}, {"table": False}, {"fragments": 3}, {"fragments": 3, "table": False}],
    ids=["table", "extended table", "none", "in fragments", "in fragments without a table"],
)
def test_frames_are_found_by_whatever_the_file_offers(options, pixels, limits):
    data = lossless(pixels, **options)
    np.testing.assert_array_equal(frames_of(data, len(pixels), limits=limits), pixels)


@pytest.mark.parametrize(
    "offsets",
    [[0, 10, 20], [0, 0, 0], [8, 16, 24], [0, 40, 30], [0, 1 << 31, (1 << 31) + 8], [0, 2, 4]],
    ids=["into the midst", "none", "not from the first", "falling", "beyond", "odd"],
)
def test_a_table_that_lies_is_not_followed(offsets):
    data = with_table(lossless(FRAMES), offsets, num_frames=3)
    np.testing.assert_array_equal(frames_of(data, 3), FRAMES)


@settings(max_examples=50)
@given(offsets=st.lists(st.integers(0, 8000), min_size=3, max_size=3))
def test_whatever_a_table_says_frames_are_right(offsets):
    frame = sum(offsets) % 3
    found = pixels_of(with_table(ENCODED, offsets, num_frames=3), plane=Plane.of(frame=frame))
    np.testing.assert_array_equal(found[0], FRAMES[frame])


ENCODED = lossless(FRAMES)


def test_frames_in_several_fragments_need_more_than_their_number_in_rle():
    data = encapsulated(FRAMES, made.RLE, made.rle, table=False)
    np.testing.assert_array_equal(frames_of(data, 3), FRAMES)


def spent(data: bytes, windows: list[Window], *, plane: Plane = WHOLE, bands: tuple[int, ...] = (1,)) -> list[int]:
    """Bytes read for each window, as said beforehand."""
    reader = opened(data, plane=plane, limits=BY_PIECES)
    costs = []
    for window in windows:
        before, said = reader.bytes_read, reader.bytes_for([window], bands)
        reader.read(window, bands, rule="any")
        costs.append(reader.bytes_read - before)
        assert costs[-1] == said
    reader.close()
    return costs


def test_of_an_uncompressed_frame_only_the_rows_of_a_window_are_fetched():
    pixels = RNG.integers(0, 65535, (1200, 500), np.uint16)
    data = native(pixels)
    row = 2 * 500
    windows = [
        Window(0, 400, 250, 100),
        Window(250, 400, 250, 100),  # its neighbour to the right has the same rows
        Window(0, 490, 500, 100),  # shares ten rows with the one above
        Window(0, 1199, 1, 1),
    ]
    assert spent(data, windows) == [100 * row, 0, 90 * row, row]


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 199), st.integers(1, 90)), min_size=1, max_size=6),
    bands=st.lists(st.permutations((1, 2, 3)).flatmap(lambda order: st.integers(1, 3).map(lambda n: order[:n]))),
    kept_bytes=st.sampled_from([0, 3000, 20_000, 1 << 20]),
    planar=st.booleans(),
)
def test_whatever_windows_follow_each_other_pixels_are_right_and_cost_what_was_said(rows, bands, kept_bytes, planar):
    data = PLANES if planar else TOGETHER
    reader = opened(data, limits=replace(BY_PIECES, kept_bytes=kept_bytes))
    windows = [Window(number * 7, first, 9, min(height, 200 - first)) for number, (first, height) in enumerate(rows)]
    for number, window in enumerate(windows):
        chosen = bands[number] if number < len(bands) else (2,)
        said, before = reader.bytes_for(windows[number:], chosen), reader.bytes_read
        assert said <= sum(reader.bytes_for([one], chosen) for one in windows[number:]) or number
        patch = reader.read(window, chosen, rule="any")
        expected = np.moveaxis(THREE, -1, 0)[[band - 1 for band in chosen], window.rows, window.cols]
        np.testing.assert_array_equal(patch.pixels, expected)
        assert reader.bytes_read + reader.bytes_for(windows[number + 1 :], chosen) == before + said


THREE = RNG.integers(0, 65535, (200, 150, 3), np.uint16)
TOGETHER = native(THREE)
PLANES = native(THREE, data=np.moveaxis(THREE, -1, 0).tobytes(), PlanarConfiguration=1)


def test_of_planes_only_those_of_the_bands_are_fetched():
    pixels = RNG.integers(0, 255, (900, 400, 3), np.uint8)
    data = native(pixels, data=np.moveaxis(pixels, -1, 0).tobytes(), PlanarConfiguration=1)
    assert spent(data, [Window(0, 400, 400, 50)], bands=(3,)) == [50 * 400]
    assert spent(data, [Window(0, 400, 400, 50)], bands=(1, 3)) == [2 * 50 * 400]


def test_of_many_frames_only_the_one_is_fetched():
    store = FakeStore()
    data = lossless(LARGE)
    reader = opened(data, plane=Plane.of(frame=2), limits=BY_PIECES, store=store)
    encoded = reader.header.encoded_bytes
    assert encoded < len(data) / 3
    whole = Window(0, 0, 260, 300)
    assert encoded - PAGE_BYTES <= reader.bytes_for([whole], (1,)) <= encoded
    store.requests.clear()
    reader.read(whole, (1,), rule="any")
    reader.read(whole, (1,), rule="any")
    assert len(store.requests) == 1
    assert reader.bytes_read < 2 * PAGE_BYTES + encoded + PAGE_BYTES


def test_a_frame_that_came_with_the_header_is_not_fetched_again():
    reader = opened(lossless(LARGE[0]), limits=BY_PIECES)
    reader.read(Window(0, 0, 260, 300), (1,), rule="any")
    assert reader.bytes_read == reader.size_bytes


def test_frames_without_a_table_are_looked_for_once():
    """Over large frames the walk fetches eight bytes at a time, and the next reader knows what it found."""
    store = FakeStore()
    data = lossless(LARGE, table=False)
    reader = opened(data, plane=Plane.of(frame=3), limits=BY_PIECES, store=store)
    assert reader.bytes_read < 2 * PAGE_BYTES
    assert len(store.requests) > 4
    store.requests.clear()
    again = open_reader(store, "scene.dcm", plane=Plane.of(frame=1), limits=BY_PIECES)
    assert [operation for operation, _ in store.requests] == ["info"]
    np.testing.assert_array_equal(again.read(Window(0, 0, 260, 300), (1,), rule="any").pixels[0], LARGE[1])


def test_a_header_is_parsed_once_for_all_frames_of_a_version():
    store = FakeStore()
    first = opened(native(FRAMES, ImageComments="x" * 3), plane=Plane.of(frame=0), store=store)
    second = open_reader(store, "scene.dcm", plane=Plane.of(frame=2))
    assert second._stored._image is first._stored._image
    store.put("scene.dcm", native(FRAMES + 1, ImageComments="x" * 5))
    np.testing.assert_array_equal(
        open_reader(store, "scene.dcm", plane=Plane.of(frame=2)).read(Window(0, 0, 54, 37), (1,), rule="any").pixels[0],
        FRAMES[2] + 1,
    )


def test_a_thumbnail_of_an_uncompressed_frame_fetches_every_nth_row():
    pixels = np.repeat(np.arange(128, dtype=np.uint16)[:, None], 35_000, axis=1)
    reader = opened(native(pixels), limits=BY_PIECES)
    patch = reader.thumbnail(8000)
    np.testing.assert_array_equal(patch.pixels[0, :, 0], np.arange(0, 128, 5))
    assert patch.pixels.shape[1:] == (26, 7000)
    # Rows of 70 kB, four of which are left out between two; of the first, a part came with the header.
    start = reader.size_bytes - pixels.nbytes
    assert reader.bytes_read == PAGE_BYTES + 25 * 70_000 + (start + 70_000 - PAGE_BYTES)
    with pytest.raises(UnsupportedScene, match="too much to read for a thumbnail"):
        opened(native(pixels), limits=replace(BY_PIECES, max_thumbnail_bytes=1 << 20)).thumbnail(8000)


def test_of_an_object_of_many_frames_no_more_is_fetched_at_once_than_of_one():
    data = native(LARGE)
    assert opened(data, plane=Plane.of(frame=1), whole=True).bytes_read == PAGE_BYTES
    assert opened(native(LARGE[0]), whole=True).bytes_read == len(native(LARGE[0]))
