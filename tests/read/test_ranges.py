from __future__ import annotations

import itertools

import numpy as np
from fakes import FakeStore
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.read.limits import DEFAULT_LIMITS
from encdec_batch.read.ranges import GAP_BYTES, LONGEST_BYTES, PAGE_BYTES, PinnedObject, View, coalesce

SIZE = 330_000
DATA = np.random.default_rng(0).bytes(SIZE)

spans = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 60_000)).map(
    lambda pair: (pair[0], min(SIZE, pair[0] + pair[1]))
)


def pinned() -> tuple[PinnedObject, FakeStore]:
    store = FakeStore()
    return PinnedObject(store, "x", store.put("x", DATA), DEFAULT_LIMITS), store


@given(st.lists(st.tuples(st.integers(0, 1 << 26), st.integers(1, 3 << 20)), max_size=60))
def test_coalesced_gets_cover_each_range_with_little_more(pairs):
    ranges = [(start, start + length) for start, length in pairs]
    gets = coalesce(ranges)
    for start, stop in ranges:
        assert any(first <= start and stop <= last for first, last in gets)
    for first, last in gets:
        within = [span for span in ranges if first <= span[0] and span[1] <= last]
        assert min(start for start, _ in within) == first
        assert max(stop for _, stop in within) == last
        assert last - first <= max(LONGEST_BYTES, *(stop - start for start, stop in within))
    for (_, last), (first, _) in itertools.pairwise(gets):
        assert last < first
        if first <= last + GAP_BYTES:  # kept apart only because one get would be too long
            assert sum(stop - start for start, stop in gets) + GAP_BYTES > LONGEST_BYTES


@given(
    st.lists(
        st.one_of(st.tuples(st.just("hold"), st.lists(spans, max_size=6)), st.tuples(st.just("at"), spans)), max_size=8
    )
)
def test_bytes_are_those_of_the_object_and_counted(steps):
    source, store = pinned()
    asked = 0
    original = store.get_ranges

    def counting(path, ranges, *, etag=None):
        nonlocal asked
        asked += sum(stop - start for start, stop in ranges)
        return original(path, ranges, etag=etag)

    store.get_ranges = counting
    for kind, what in steps:
        if kind == "at":
            assert source.bytes_at(*what) == DATA[slice(*what)]
            continue
        before, said = source.bytes_read, source.cost(what, source.held)
        source.hold(what)
        assert source.bytes_read == before + said
        for span in what:
            assert source.bytes_at(*span) == DATA[slice(*span)]
        assert source.bytes_read == before + said
        source.keep(what[:2])
        assert set(source.held) <= set(what)
    assert source.bytes_read == asked
    said = source.whole_cost()
    assert source.whole() == DATA
    assert source.bytes_read == asked
    assert source.whole_cost() == 0
    assert said <= SIZE


@given(st.lists(st.tuples(st.sampled_from(["read", "seek", "end"]), st.integers(0, SIZE + 10)), max_size=8))
def test_a_view_is_a_file(tmp_path_factory, steps):
    source, _ = pinned()
    view, position = View(source), 0
    for kind, number in steps:
        if kind == "read":
            assert view.read(number) == DATA[position : position + number]
            position = min(position + number, max(position, SIZE))
        else:
            offset, whence = (number, 0) if kind == "seek" else (-number % SIZE - SIZE, 2)
            position = offset if whence == 0 else SIZE + offset
            assert view.seek(offset, whence) == position
        assert view.tell() == position


def test_the_first_page_of_an_object_of_many_images_is_fetched_once_for_each_version():
    store = FakeStore()
    for version in (b"a" * 3 * PAGE_BYTES, b"b" * 3 * PAGE_BYTES):
        store.put("many", version)
        fetched = []
        for _ in range(2):
            source = PinnedObject(store, "many", store.info("many"), DEFAULT_LIMITS, is_shared=True)
            assert source.bytes_at(8, 16) == version[:8]
            assert source.bytes_at(PAGE_BYTES, PAGE_BYTES + 4) == version[:4]
            fetched.append(source.bytes_read)
        assert fetched == [2 * PAGE_BYTES, PAGE_BYTES]
