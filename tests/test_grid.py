"""The laws of the grid, over all sizes, cores, blocks, reaches, strides and scales."""

from __future__ import annotations

from math import ceil

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.grid import Axis, NetworkGeometry, Tiling, make_grid, round_up, rounded_core

STRIDES = (1, 2, 3, 4, 6, 8, 16)


@st.composite
def padded_cases(draw: st.DrawFn) -> tuple[int, NetworkGeometry, Tiling]:
    """A scene's side with a network that pads itself; block sides that are multiples of the stride, and not."""
    stride = draw(st.sampled_from(STRIDES))
    block = draw(st.one_of(st.integers(1, 24).map(lambda n: n * stride), st.integers(stride, 200)))
    geometry = NetworkGeometry(
        reach=draw(st.integers(0, 60)),
        stride=stride,
        scale=draw(st.integers(1, 4)),
        pad_multiple=stride * draw(st.integers(0, 10)),
    )
    return draw(st.integers(1, 400)), geometry, Tiling(core=draw(st.integers(1, 2 * block + 20)), block=block)


@st.composite
def unpadded_cases(draw: st.DrawFn) -> tuple[int, NetworkGeometry, Tiling]:
    """A scene's side with a network that takes its margin off, as the U-Net of 2015 does."""
    stride = draw(st.sampled_from(STRIDES))
    geometry = NetworkGeometry(
        reach=draw(st.integers(0, 60)),
        stride=stride,
        margin=draw(st.integers(1, 60)),
        size_offset=draw(st.integers(0, stride - 1)),
    )
    block = stride * draw(st.integers(1, 24))
    return draw(st.integers(1, 400)), geometry, Tiling(core=draw(st.integers(1, 2 * block)), block=block)


def axis_of(size: int, geometry: NetworkGeometry, tiling: Tiling) -> Axis:
    return make_grid(size, 7, geometry, tiling).rows


@given(padded_cases() | unpadded_cases())
def test_cores_partition_the_scene(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    for stitch in ("crop", "blend"):
        axis = axis_of(size, geometry, Tiling(core=tiling.core, block=tiling.block, stitch=stitch))
        cores = [core for block in axis.blocks for core in block.cores]
        assert [core.start for core in cores] == [0, *(core.stop for core in cores[:-1])]
        assert cores[-1].stop == size
        assert all(core.start < core.stop for core in cores)
        assert [block.first_core for block in axis.blocks] == list(
            np.cumsum([0, *(len(b.cores) for b in axis.blocks)])[:-1]
        )


@given(padded_cases())
def test_every_pixel_within_reach_of_a_core_lies_in_its_tile(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    axis = axis_of(size, geometry, tiling)
    for core in (core for block in axis.blocks for core in block.cores):
        # Reach is measured for windows whose borders are multiples of the stride.
        start = core.start // geometry.stride * geometry.stride
        stop = min(round_up(core.stop, geometry.stride), axis.padded)
        assert core.origin <= max(0, start - geometry.reach)
        assert min(axis.padded, stop + geometry.reach) <= core.origin + axis.tile


@given(unpadded_cases())
def test_a_tile_without_padding_answers_for_its_core(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    axis = axis_of(size, geometry, tiling)
    assert axis.tile % geometry.stride == geometry.size_offset % geometry.stride
    for core in (core for block in axis.blocks for core in block.cores):
        assert core.origin <= core.start
        assert core.stop <= core.origin + axis.tile - 2 * geometry.margin


@given(padded_cases() | unpadded_cases())
def test_tiles_lie_in_the_padded_scene_at_multiples_of_the_stride(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    for stitch in ("crop", "blend"):
        axis = axis_of(size, geometry, Tiling(core=tiling.core, block=tiling.block, stitch=stitch))
        assert axis.padded % geometry.stride == geometry.size_offset % geometry.stride
        for origin in (origin for block in axis.blocks for origin in block.tiles):
            assert origin % geometry.stride == 0
            assert 0 <= origin <= axis.padded - axis.tile


@given(padded_cases())
def test_no_two_cores_of_a_block_share_a_tile_and_tiles_are_few(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    axis = axis_of(size, geometry, tiling)
    for block in axis.blocks:
        assert len(set(block.tiles)) == len(block.tiles)
        assert block.tiles[-1] + axis.tile - block.tiles[0] <= block.stop - block.start + axis.tile
    core = rounded_core(tiling, geometry.stride)
    assert sum(len(block.tiles) for block in axis.blocks) <= ceil(size / core) + len(axis.blocks)


@given(padded_cases() | unpadded_cases())
def test_blended_tiles_cover_each_block_wherever_its_borders_are(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    blended = Tiling(core=tiling.core, block=tiling.block, stitch="blend")
    axis = axis_of(size, geometry, blended)
    whole = axis_of(size, geometry, Tiling(core=tiling.core, block=size, stitch="blend"))
    answered = axis.tile - 2 * geometry.margin
    for block in axis.blocks:
        covered = np.zeros(size + axis.tile, bool)
        for origin in block.tiles:
            covered[origin : origin + answered] = True
        assert covered[block.start : block.stop].all()
        # Which tiles touch a pixel does not depend on the blocks: each block has all of them.
        assert [o for o in whole.blocks[0].tiles if o < block.stop and o + answered > block.start] == list(block.tiles)


@given(st.integers(1, 40), st.integers(0, 90), st.integers(0, 90))
def test_padding_repeats_the_scene_as_numpy_does(size: int, before: int, after: int) -> None:
    axis = Axis(size, before, before + size + after, 1, ())
    scene = np.arange(size)
    reflected = np.pad(scene, (before, after), "reflect")
    assert (axis.sources(0, axis.padded, "reflect") == reflected).all()
    assert (axis.sources(0, axis.padded, "edge") == np.pad(scene, (before, after), "edge")).all()


@given(padded_cases())
def test_only_pixels_of_the_scene_are_read(case: tuple[int, NetworkGeometry, Tiling]) -> None:
    size, geometry, tiling = case
    grid = make_grid(size, 1 + size // 3, geometry, tiling)
    for block in grid.blocks():
        window = grid.source_window(block, "reflect")
        assert window.row_off >= 0
        assert window.row_stop <= grid.rows.size
        assert window.col_off >= 0
        assert window.col_stop <= grid.cols.size


def test_the_paper_s_numbers() -> None:
    """572 in, 388 out (Ronneberger et al. 2015, figure 1); for a core of 384 the tile is 572, not 388."""
    unpadded = NetworkGeometry(reach=92, stride=16, margin=92, size_offset=12)
    assert [unpadded.valid_size(at_least) for at_least in (530, 541, 557)] == [540, 556, 572]
    grid = make_grid(1536, 1536, unpadded, Tiling(core=384, block=1536))
    assert grid.rows.tile == 572


def test_a_block_side_that_is_no_multiple_of_the_stride_costs_one_stride() -> None:
    geometry = NetworkGeometry(reach=5, stride=3)
    assert make_grid(900, 900, geometry, Tiling(core=34, block=100)).rows.tile == 36 + 2 * 6 + 3
    assert make_grid(990, 990, geometry, Tiling(core=36, block=99)).rows.tile == 33 + 2 * 6
