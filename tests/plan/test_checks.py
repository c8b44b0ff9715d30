"""Where check windows lie, and what they cost."""

from __future__ import annotations

from math import prod, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.grid import Grid, NetworkGeometry, Tiling, make_grid
from encdec_batch.plan.checks import (
    LEAST,
    MOST,
    NO_CHECKS,
    SHARE,
    Checks,
    check_block,
    check_grid,
    choose_checks,
    core_side,
    is_check_name,
)
from encdec_batch.window import Window

UNET = NetworkGeometry(reach=46, stride=8)


def keys(number: int) -> list[str]:
    return [f"{n:064x}" for n in range(number)]


@st.composite
def geometries(draw: st.DrawFn) -> NetworkGeometry:
    stride = draw(st.sampled_from([1, 2, 3, 8, 16, 48]))
    unpadded = draw(st.booleans())
    return NetworkGeometry(
        reach=0 if unpadded else draw(st.integers(0, 100)),
        stride=stride,
        scale=draw(st.integers(1, 4)),
        margin=draw(st.integers(1, 92)) if unpadded else 0,
        size_offset=draw(st.integers(0, stride - 1)) if unpadded else 0,
        pad_multiple=stride * draw(st.integers(1, 3)),
    )


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Grid, Tiling]:
    geometry = draw(geometries())
    tiling = Tiling(
        core=draw(st.integers(1, 600)),
        block=draw(st.sampled_from([512, 768, 1024])),
        halo=None if geometry.margin else draw(st.none() | st.integers(0, 120)),
        stitch=draw(st.sampled_from(["crop", "blend"])),
    )
    sides = st.integers(1, 300) | st.integers(300, 4000)
    return make_grid(draw(sides), draw(sides), geometry, tiling), tiling


def is_on_a_place(grid: Grid, window: Window) -> bool:
    """A border of the lattice runs through it, or it lies at the scene's edge."""
    for axis, start, stop in (
        (grid.rows, window.row_off, window.row_stop),
        (grid.cols, window.col_off, window.col_stop),
    ):
        borders = {core.start for block in axis.blocks for core in block.cores} - {0}
        if start == 0 or stop == axis.size or any(start < border < stop for border in borders):
            return True
    return False


@given(scene=scenes(), number=st.integers(0, 10**6), has_reach=st.booleans())
def test_windows_lie_in_the_scene_on_a_place_on_tiles_of_their_own(scene, number, has_reach):
    grid, tiling = scene
    checks = choose_checks(grid, tiling, f"{number:064x}", "all", has_reach=has_reach)
    if grid.num_tiles == 1:
        assert checks == NO_CHECKS
        return
    height, width = grid.rows.size, grid.cols.size
    stride, margin = grid.geometry.stride, grid.geometry.margin
    assert 1 <= len(set(checks.windows)) == len(checks.windows) <= MOST
    assert checks.tile != grid.tile_shape
    for n, window in enumerate(checks.windows):
        assert Window(0, 0, width, height).contains(window)
        assert window.col_off % stride == window.row_off % stride == 0
        assert window.width % stride == 0 or window.col_stop == width
        assert max(window.width, window.height) <= core_side(stride)
        assert is_on_a_place(grid, window)
        made, block = check_grid(grid, checks, n), check_block(grid, checks, n)
        [tile] = block.tiles()
        assert (block.window, block.name) == (window, f"check-{n}")
        assert is_check_name(block.name)
        assert made.tile_shape == checks.tile
        for axis, origin, start, stop in (
            (made.rows, tile.row_origin, window.row_off, window.row_stop),
            (made.cols, tile.col_origin, window.col_off, window.col_stop),
        ):
            assert origin % stride == 0
            assert origin >= 0
            assert origin + axis.tile <= axis.padded
            assert origin <= start
            assert stop <= origin + axis.tile - 2 * margin
            if tiling.stitch == "crop" and tiling.halo is None and not margin and has_reach:
                assert origin <= max(0, start - grid.geometry.reach)
                assert origin + axis.tile >= min(axis.padded, stop + grid.geometry.reach)


@given(scene=scenes(), number=st.integers(0, 10**6))
def test_a_key_decides_windows_whatever_is_asked_for(scene, number):
    grid, tiling = scene
    key = f"{number:064x}"
    every = choose_checks(grid, tiling, key, "all")
    assert choose_checks(grid, tiling, key, "all") == every
    assert choose_checks(grid, tiling, key, "sample") in (every, NO_CHECKS)
    assert choose_checks(grid, tiling, key, "off") == NO_CHECKS


def share(grid: Grid, checks: Checks) -> float:
    return len(checks.windows) * checks.tile_pixels / (grid.num_tiles * prod(grid.tile_shape))


@pytest.mark.parametrize(
    ("shape", "core"),
    [((300, 260), 32), ((724, 934), 256), ((1500, 1300), 512), ((4096, 4096), 688), ((12_000, 9000), 768)],
)
@pytest.mark.parametrize("geometry", [UNET, NetworkGeometry(reach=0, stride=16, margin=92, size_offset=12)])
def test_certificates_cost_at_most_their_share_in_the_mean(shape, core, geometry):
    tiling = Tiling(core=core, block=1024)
    grid = make_grid(*shape, geometry, tiling)
    shares = [share(grid, choose_checks(grid, tiling, key, "sample")) for key in keys(1500)]
    largest, mean = max(shares), sum(shares) / len(shares)
    if largest <= SHARE:
        assert min(shares) > 0, "four windows are within the share: nobody draws"
        return
    # Drawn by lot: the sum of draws of one chance each, within four standard deviations.
    chance = SHARE / largest
    error = 4 * largest * sqrt(chance * (1 - chance) / len(shares))
    assert abs(mean - SHARE) <= error


def test_large_scenes_get_more_windows_and_bounded():
    tiling = Tiling(core=768, block=2048)
    sizes = [1500, 4096, 20_000, 100_000]
    grids = [make_grid(side, side, UNET, tiling) for side in sizes]
    counts = [len(choose_checks(grid, tiling, keys(1)[0], "all").windows) for grid in grids]
    assert counts == [LEAST, LEAST, LEAST + 100 // 16, MOST]


def test_every_kind_of_place_is_looked_at():
    """Corners of blocks, borders of blocks and of cores, edges and corners of the scene, each in some scene."""
    tiling = Tiling(core=256, block=1024)
    grid = make_grid(3000, 3000, UNET, tiling)
    windows = {w for key in keys(60) for w in choose_checks(grid, tiling, key, "all").windows}
    blocks = {block.start for block in grid.rows.blocks} - {0}
    cores = {core.start for block in grid.rows.blocks for core in block.cores} - {0} - blocks

    def crossed(window: Window, marks: set[int]) -> tuple[bool, bool]:
        rows = any(window.row_off < mark < window.row_stop for mark in marks)
        return rows, any(window.col_off < mark < window.col_stop for mark in marks)

    def at_edge(window: Window) -> tuple[bool, bool]:
        return (window.row_off == 0 or window.row_stop == 3000, window.col_off == 0 or window.col_stop == 3000)

    assert (True, True) in {crossed(w, blocks) for w in windows}
    assert {(True, False), (False, True)} <= {crossed(w, blocks) for w in windows}
    assert {(True, False), (False, True)} <= {crossed(w, cores) for w in windows}
    assert {(True, True), (True, False), (False, True)} <= {at_edge(w) for w in windows}
    assert len({(w.row_off, w.col_off) for w in windows if at_edge(w) == (True, True)}) == 4


def test_a_shorter_halo_is_checked_with_all_the_context_there_is_room_for():
    """Else the error that it costs would be in both."""
    grid = make_grid(2000, 2000, NetworkGeometry(reach=400, stride=8), tiling := Tiling(core=512, block=1024, halo=32))
    [height, width] = choose_checks(grid, tiling, keys(1)[0], "all").tile
    assert height == width == 64 + 2 * ((512 + 64 - 64) // 2) + 8, "the lattice's own tile, and a stride more"
