from __future__ import annotations

import pytest
from fakes import fake_marker

from encdec_batch.commit.packed import CHUNK, PackedMarkers


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_a_sequence_like_any_other(count):
    plain = [fake_marker(f"s{n}", outputs=("mask.tif", "mask.png")[: n % 3]) for n in range(count)]
    packed = PackedMarkers()
    for marker in plain:
        packed.append(marker)
    assert list(packed) == plain
    assert len(packed) == count
    assert packed[:: max(1, count // 5)] == plain[:: max(1, count // 5)]
    assert packed[-2:] == plain[-2:]
    for place in {0, count - 1, CHUNK - 1, CHUNK} & set(range(count)):
        assert packed[place] == plain[place]
    with pytest.raises(IndexError):
        packed[count]
