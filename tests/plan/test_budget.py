"""Block sides: aligned to the output's tiles, within the budget, the whole bill counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import SpecError
from encdec_batch.grid import NetworkGeometry, Tiling, largest_tile, make_grid
from encdec_batch.plan.budget import ALLOCATOR, FLOW_BYTES, LARGEST, TILE, Burden, choose_block
from encdec_batch.plan.product import Product
from encdec_batch.write.overview import TILE as WRITTEN_TILE

GIB = 2**30


def burden(
    *,
    bands: int = 3,
    itemsize: int = 1,
    dtype: str = "uint8",
    out: int = 1,
    channels: int = 2,
    blended: bool = False,
    activations: float = 40.0,
) -> Burden:
    product = Product(name="image", kind="image", dtype=dtype, band_names=tuple(f"b{n}" for n in range(out)), nodata=0)
    return Burden(
        bands=bands,
        itemsize=itemsize,
        products=(product,),
        channels=channels,
        batch=1,
        blended=blended,
        activation_bytes=activations,
    )


burdens = st.builds(
    burden,
    bands=st.integers(1, 16),
    itemsize=st.sampled_from([1, 2, 4, 8]),
    dtype=st.sampled_from(["uint8", "uint16", "float32"]),
    out=st.integers(1, 4),
    channels=st.integers(1, 30),
    blended=st.booleans(),
    activations=st.floats(0, 2000),
)
geometries = st.builds(
    NetworkGeometry,
    reach=st.integers(0, 150),
    stride=st.sampled_from([1, 2, 3, 4, 8, 16]),
    scale=st.sampled_from([1, 2, 3, 4]),
)
tilings = st.builds(Tiling, core=st.integers(16, 1024), block=st.just(512))


@given(burdens, geometries, tilings, st.floats(0.01, 16))
def test_a_block_is_aligned_and_within_the_budget(load, geometry, tiling, gib):
    least = TILE if geometry.scale == 3 else TILE // geometry.scale
    if load.block_bytes(geometry, Tiling(core=tiling.core, block=least)) > gib * GIB:
        with pytest.raises(SpecError, match=r"tiling\.budget_gib"):
            choose_block(load, geometry, tiling, budget=gib * GIB, wanted=None)
        return
    chosen = choose_block(load, geometry, tiling, budget=gib * GIB, wanted=None)
    assert chosen.side * geometry.scale % (TILE << chosen.levels) == 0
    assert load.block_bytes(geometry, Tiling(core=tiling.core, block=chosen.side)) <= gib * GIB


@given(burdens, geometries, tilings, st.floats(0.5, 4), st.floats(1, 4))
def test_a_larger_budget_never_gives_fewer_levels(load, geometry, tiling, gib, more):
    def chosen(budget: float):
        try:
            return choose_block(load, geometry, tiling, budget=budget * GIB, wanted=None)
        except SpecError:
            return None

    small, large = chosen(gib), chosen(gib * more)
    if small is not None:
        assert large is not None
        assert (large.levels, large.side) >= (small.levels, small.side)


@given(burdens, geometries, tilings)
def test_the_bill_covers_what_is_alive_for_the_largest_block(load, geometry, tiling):
    """Input window, float32 window, logits of one tile and output of the largest block, from the grid itself."""
    tiling = Tiling(core=tiling.core, block=1024)
    side = int(LARGEST * tiling.block)
    grid = make_grid(side, side, geometry, tiling)
    window = grid.padded_window(grid.block(0, 0)).num_pixels
    tile = grid.tile_shape[0] * grid.tile_shape[1] * geometry.scale**2
    out = (side * geometry.scale) ** 2
    (product,) = load.products
    alive = (
        window * load.bands * (load.itemsize + 4)
        + tile * load.channels * 4
        + out * product.num_bands * np.dtype(product.dtype).itemsize
    )
    assert load.block_bytes(geometry, tiling) >= alive


def test_a_scene_of_one_tile_is_in_the_bill():
    """Of 1200 px, core 768 and halo 96: one tile, larger than those of a long scene."""
    geometry, tiling = NetworkGeometry(reach=94, stride=16, scale=1), Tiling(core=768, block=2048)
    (side, _) = make_grid(1200, 1200, geometry, tiling).tile_shape
    assert side == 1200
    assert side <= largest_tile(geometry, tiling)
    load = burden(activations=228.0)
    assert load.block_bytes(geometry, tiling) >= ALLOCATOR * 228 * side**2


@given(geometries, tilings, st.integers(1, 4000))
def test_no_scene_has_a_larger_tile(geometry, tiling, size):
    assert max(make_grid(size, size, geometry, tiling).tile_shape) <= largest_tile(geometry, tiling)


def test_tiles_are_those_that_are_written():
    assert TILE == WRITTEN_TILE


def test_input_and_output_of_a_block_stay_small_whatever_the_budget():
    load = burden(bands=3)
    geometry, tiling = NetworkGeometry(reach=94, stride=16), Tiling(core=512, block=512)
    chosen = choose_block(load, geometry, tiling, budget=1e15, wanted=None)
    assert load.flow(chosen.side, 1) <= FLOW_BYTES


def test_the_users_own_block_is_taken_or_refused_never_changed():
    geometry, tiling = NetworkGeometry(reach=10, stride=4), Tiling(core=256, block=512)
    assert choose_block(burden(), geometry, tiling, budget=4 * GIB, wanted=1536).side == 1536
    assert choose_block(burden(), geometry, tiling, budget=4 * GIB, wanted=1536).levels == 0
    assert choose_block(burden(), geometry, tiling, budget=4 * GIB, wanted=2048).levels == 2
    with pytest.raises(SpecError, match="a block of 8192 px takes"):
        choose_block(burden(), geometry, tiling, budget=GIB / 8, wanted=8192)
