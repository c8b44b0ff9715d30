from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from commit.scenes import DEFLATE, FLOAT, MASK, ZSTD, coarse_of, encode_blocks, in_memory, patches, scene_tiles
from fakes import FakeStore

from encdec_batch.commit.cog import write_cog
from encdec_batch.commit.geo import Geo
from encdec_batch.commit.parts import MemoryParts, SceneTiles, StoredParts, digest_d
from encdec_batch.commit.pyramid import COARSE, write_coarse
from encdec_batch.errors import CommitError, PartMissing
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

SHAPE = (1100, 1300)
PIXELS = patches(MASK, *SHAPE)
PARTS = encode_blocks(PIXELS, MASK, side=512, levels=0)
BLOCKS = [f"r{number // 3}-c{number % 3}" for number in range(len(PARTS))]
PREFIX = ".encdec/parts/0123abcd/"


def stored(store: Store) -> StoredParts:
    for block, part in zip(BLOCKS, PARTS, strict=True):
        store.create(PREFIX + block, part)
    return StoredParts(store, PREFIX, BLOCKS)


def cog(parts: StoredParts | MemoryParts, coarse: StoredParts | MemoryParts | None) -> bytes:
    sink = io.BytesIO()
    write_cog(sink, SceneTiles(MASK, SHAPE, parts, coarse), Geo())
    return sink.getvalue()


def test_stored_parts_give_the_bytes_that_parts_in_memory_give(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    parts = stored(store)
    with store.open_writer(PREFIX + COARSE) as writer:
        write_coarse(writer, (MASK,), parts)
        assert writer.finish()
    memory = in_memory(PARTS)
    assert cog(parts, StoredParts(store, PREFIX, [COARSE])) == cog(memory, coarse_of(memory, MASK))
    assert digest_d(parts, {"encdec": "1"}) == digest_d(memory, {"encdec": "1"})


def test_decoded_rows_are_the_scene() -> None:
    tiles = scene_tiles(PIXELS, MASK, side=512, levels=0)
    rows = list(tiles.pixel_rows(0))
    assert [row.shape for row in rows] == [(1, 512, 1300), (1, 512, 1300), (1, 76, 1300)]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), PIXELS)


def test_the_name_changes_with_parts_and_versions_alone() -> None:
    parts = in_memory(PARTS)
    name = digest_d(parts, {"encdec": "1", "gdal": "3"})
    assert len(name) == 8
    assert int(name, 16) >= 0
    assert digest_d(MemoryParts(PARTS, BLOCKS), {"gdal": "3", "encdec": "1"}) == name
    assert digest_d(parts, {"encdec": "2", "gdal": "3"}) != name
    assert digest_d(in_memory(encode_blocks(PIXELS, MASK, side=512, levels=0, codec=ZSTD)), {}) != digest_d(parts, {})


def test_missing_parts_are_all_named() -> None:
    store = FakeStore()
    parts = stored(store)
    store.delete([PREFIX + BLOCKS[1], PREFIX + BLOCKS[7]])
    with pytest.raises(PartMissing) as error:
        cog(parts, None)
    assert error.value.context["blocks"] == [BLOCKS[1], BLOCKS[7]]


def test_parts_that_vanish_or_change_during_assembly_are_named_and_left_alone() -> None:
    store = FakeStore()
    parts = stored(store)
    assert len(parts.indexes) == 9
    store.delete([PREFIX + BLOCKS[0]])
    other = encode_blocks(PIXELS, MASK, side=512, levels=0, codec=ZSTD)[2]
    store.put(PREFIX + BLOCKS[2], other)
    with pytest.raises(PartMissing) as error:
        cog(parts, coarse_of(in_memory(PARTS), MASK))
    assert error.value.context["blocks"] == [BLOCKS[0], BLOCKS[2]]
    assert store.get(PREFIX + BLOCKS[2]) == other


@pytest.mark.parametrize("place", [100, -100, None], ids=["in a tile", "in the index", "cut short"])
def test_a_damaged_part_is_named_and_dropped(place: int | None) -> None:
    store = FakeStore()
    parts = stored(store)
    damaged = bytearray(PARTS[4])
    if place is None:
        damaged = damaged[:-1]
    else:
        damaged[place] ^= 1
    store.put(PREFIX + BLOCKS[4], bytes(damaged))
    with pytest.raises(PartMissing) as error:
        cog(parts, coarse_of(in_memory(PARTS), MASK))
    assert error.value.context["blocks"] == [BLOCKS[4]]
    assert PREFIX + BLOCKS[4] not in {info.path for info in store.list(PREFIX)}
    assert len(list(store.list(PREFIX))) == 8


def test_a_damaged_reduction_is_found_by_the_coarse_levels() -> None:
    store = FakeStore()
    index = in_memory(PARTS).indexes[4]
    damaged = bytearray(PARTS[4])
    damaged[index.reductions["mask"].span.offset] ^= 1
    parts = stored(store)
    store.put(PREFIX + BLOCKS[4], bytes(damaged))
    with pytest.raises(PartMissing) as error:
        write_coarse(io.BytesIO(), (MASK,), parts)
    assert error.value.context["blocks"] == [BLOCKS[4]]


def test_a_late_listing_hides_no_part() -> None:
    class LateStore(FakeStore):
        def list(self, prefix: str = ""):  # type: ignore[no-untyped-def]
            return iter(list(super().list(prefix))[:4])

    assert len(stored(LateStore()).indexes) == 9


def test_few_requests_are_made() -> None:
    store = FakeStore()
    parts = stored(store)
    store.requests.clear()
    assert parts.indexes
    assert len(store.requests) <= 1 + len(BLOCKS)
    store.requests.clear()
    cog(parts, coarse_of(in_memory(PARTS), MASK))
    assert len(store.requests) <= len(BLOCKS)


def test_a_large_part_is_read_one_row_of_tiles_at_a_time() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 2048, 1024)).astype("f4")
    part = encode_blocks(noise, FLOAT, side=2048, levels=0, codec=DEFLATE)[0]
    store = FakeStore()
    store.create("part", part)
    parts = StoredParts(store, "", ["part"])
    tiles = SceneTiles(FLOAT, (2048, 1024), parts, coarse_of(in_memory([part]), FLOAT))
    store.requests.clear()
    for row in range(4):
        assert len(tiles.encoded_row(0, row)) == 2
    assert len(store.requests) == 4
    assert max(len(data) for _, data in tiles._ahead.values()) < len(part) / 3


def test_rows_of_small_tiles_come_with_one_get_and_are_dropped_with_their_part() -> None:
    pixels = patches(MASK, 4096, 600)
    encoded = encode_blocks(pixels, MASK, side=1024, levels=0)
    store = FakeStore()
    for number, part in enumerate(encoded):
        store.create(f"{number}", part)
    parts = StoredParts(store, "", [f"{number}" for number in range(len(encoded))])
    tiles = SceneTiles(MASK, (4096, 600), parts, coarse_of(in_memory(encoded), MASK))
    store.requests.clear()
    for row in range(8):
        tiles.encoded_row(0, row)
        assert len(tiles._ahead) == 1
    assert len(store.requests) == len(encoded) == 4


def test_a_scene_with_a_hole_is_refused() -> None:
    with pytest.raises(CommitError, match="every tile"):
        SceneTiles(MASK, SHAPE, in_memory(PARTS[:-1]), coarse_of(in_memory(PARTS), MASK))
    with pytest.raises(CommitError, match="every tile"):
        SceneTiles(MASK, SHAPE, in_memory(PARTS), None)
    with pytest.raises(CommitError, match="every tile"):
        SceneTiles(MASK, SHAPE, in_memory([*PARTS, PARTS[0]]), coarse_of(in_memory(PARTS), MASK))
