"""What halos and tiles of a file cost: bytes that are read for each byte of a scene."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from plan.recipes import card, order, recipe

from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.item import RUN, work_items
from encdec_batch.plan.opening import make_plan
from encdec_batch.plan.plan import Known, Plan, sort_candidates

BLOCK = 2048
NOTHING = Known(committed={}, quarantined={}, parts={})


def empty_tiff(path: Path, height: int, width: int, *, tile: int) -> None:
    """Two bands of uint8 in uncompressed tiles: a header, and behind it a hole that takes no room on the disk."""
    num_tiles, size = (height // tile) * (width // tile), tile * tile * 2
    start = 8 + 2 + 11 * 12 + 4
    first = start + 8 * num_tiles
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 2, 8 | 8 << 16),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (277, 3, 1, 2),
        (284, 3, 1, 1),
        (322, 4, 1, tile),
        (323, 4, 1, tile),
        (324, 4, num_tiles, start),
        (325, 4, num_tiles, start + 4 * num_tiles),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    places = [first + number * size for number in range(num_tiles)]
    with path.open("wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4))
        file.write(struct.pack(f"<{2 * num_tiles}I", *places, *[size] * num_tiles))
        file.truncate(first + num_tiles * size)


def planned(folder: Path, *, reach: int) -> Plan:
    tiling = {"core": 512, "block": BLOCK, "budget_gib": 16}
    # Check windows read a few tiles more, and are no blocks of a run.
    output = {"uri": "/out", "certify": "off"}
    source = {"kind": "prefix", "uri": str(folder)}
    asked = order(card(reach=reach, stride=16), source=source, tiling=tiling, output=output)
    plan = make_plan(
        recipe(asked, core=512), sort_candidates(asked, find_scenes(asked.spec.source)[0], NOTHING), NOTHING
    )
    assert plan.set_aside == ()
    return plan


@pytest.mark.parametrize("reach", [16, 250])
@pytest.mark.parametrize(("tile", "bound"), [(256, 1.3), (512, 1.6)])
def test_runs_of_eight_blocks_read_little_more_than_the_scene(tmp_path, tile, bound, reach):
    """Of a halo within one tile of the file: a run is wider by a tile on each side, and higher by as much."""
    height, width = 4 * BLOCK, 3 * RUN * BLOCK
    empty_tiff(tmp_path / "a.tif", height, width, tile=tile)
    plan = planned(tmp_path, reach=reach)
    [scene] = plan.scenes
    assert scene.header.encoded_bytes == height * width * 2
    assert {len(piece.blocks) for item in work_items(plan.scenes) for piece in item.pieces} == {RUN}
    ratio = plan.bytes_to_read["a"] / scene.header.encoded_bytes
    # At the scene's border there is no halo: four rows of blocks have six sides within it, three runs have four.
    expected = (1 + 6 / 4 * tile / BLOCK) * (1 + 4 / 3 * tile / (RUN * BLOCK))
    assert ratio == pytest.approx(expected, abs=0.01)
    assert ratio < bound
    within = (1 + 2 * tile / BLOCK) * (1 + 2 * tile / (RUN * BLOCK))
    assert within < bound, "nor where every block is within the scene"
