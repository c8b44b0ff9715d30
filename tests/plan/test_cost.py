"""What a plan says the network will compute."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
from plan.recipes import card, order, recipe, scene

from encdec_batch.errors import SpecError
from encdec_batch.plan.cost import cost_of
from encdec_batch.plan.recipe import Recipe


def test_every_tile_of_what_is_left_counts_and_nothing_else():
    whole = scene("a", 3000, 2500)
    grid = whole.grid()
    everything = cost_of([whole])
    assert (everything.tiles, everything.scene_pixels) == (grid.num_tiles, 3000 * 2500)
    assert everything.halo_tax == pytest.approx(grid.num_tiles * prod(grid.tile_shape) / (3000 * 2500))
    done = [block for block in grid.blocks() if block.row == 0]
    rest = cost_of([replace(whole, blocks_done=frozenset(block.name for block in done))])
    assert rest.scene_pixels == everything.scene_pixels - sum(block.window.num_pixels for block in done)
    assert rest.tiles == everything.tiles - sum(len(list(block.tiles())) for block in done)


def test_the_dearest_scene_is_named():
    many = [scene("long", 3000, 3000), scene("sliver", 10, 3000)]
    assert cost_of(many).dearest == "sliver"
    assert cost_of(many).dearest_tax > cost_of(many[:1]).halo_tax
    assert cost_of([]).halo_tax == 1.0


def asked(halo: int | None = None, stitch: str = "crop", **of_card) -> Recipe:
    tiling = {"core": 256, "halo": halo, "stitch": {"kind": stitch}}
    return recipe(order(card(stride=16, reach=40, **of_card), tiling=tiling))


@pytest.mark.parametrize(
    ("made", "exact"),
    [
        (asked(), True),
        (asked(48), True),
        (asked(33), True),  # rounded up to 48
        (asked(32), False),
        (asked(stitch="blend"), False),
        (asked(stitch="blend", exactness="global"), False),
        (asked(exactness="large-reach"), True),
    ],
)
def test_exact_is_said_of_what_is(made: Recipe, exact: bool):
    assert made.exact is exact


@pytest.mark.parametrize("output", ["/archive/out", "/archive", "file:///archive/x", "/archive/"])
def test_an_output_inside_its_own_source_is_refused(output: str):
    with pytest.raises(SpecError, match="below the source"):
        order(output={"uri": output}).check()


@pytest.mark.parametrize("output", ["/archive-out", "/other", "s3://archive/out"])
def test_an_output_beside_its_source_is_not(output: str):
    order(output={"uri": output}).check()
