"""What a person sees of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from encdec_batch.console import count, print_aside, print_notes
from encdec_batch.plan.plan import Plan
from encdec_batch.report.page import format_bytes, format_duration, format_number

if TYPE_CHECKING:
    from encdec_batch.job.plan import Helpers
    from encdec_batch.plan.totals import PlanTotals

STANDS_OUT = 1.3
"""A scene this many times dearer than the mean is named."""


def print_plan(console: Console, plan: Plan, projected_bytes: int, helpers: Helpers) -> None:
    recipe, scenes, totals = plan.recipe, plan.scenes, plan.totals
    if not scenes:
        done, aside = count(len(plan.done), "scene"), f"{len(plan.set_aside):,}"
        console.print(f"nothing to do: {done} done, {aside} set aside", highlight=False)
        _print_end(console, plan)
        return
    cost = totals.cost
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("scenes", f"{len(scenes):,} to do, {len(plan.done):,} done, {len(plan.set_aside):,} set aside")
    sides = ", ".join(map(str, sorted(totals.block_sides))) or "-"
    table.add_row(
        "blocks", f"{totals.blocks:,} of up to {sides} px, {format_number(cost.scene_pixels / 1e6)} Mpx to compute"
    )
    table.add_row("to read", _to_read(totals))
    if totals.bytes_for_statistics:
        before = format_bytes(totals.bytes_for_statistics)
        table.add_row("", f"{before} before, for statistics of whole scenes, at most")
    table.add_row(
        "core", f"{recipe.resolved.core} px, halo {recipe.halo_pixels} px: {'exact' if recipe.exact else 'not exact'}"
    )
    tiles = f"{cost.tiles:,} tile{'' if cost.tiles == 1 else 's'}"
    table.add_row("compute", f"{format_number(cost.tile_pixels / 1e6)} Mpx through the network, in {tiles}")
    if cost.scene_pixels:
        table.add_row("halo tax", f"{cost.halo_tax:.2f} pixels computed for each pixel of the scenes")
    if cost.checks:
        table.add_row("certificates", f"{cost.checks:,} windows, {100 * cost.check_share:.2f} % of the network's work")
    if cost.dearest_tax > STANDS_OUT * cost.halo_tax:
        table.add_row("", f"{cost.dearest_tax:.2f} for {cost.dearest}, the dearest")
    for side, rate in recipe.resolved.rates:
        chosen = "  <- chosen" if side == recipe.resolved.core else ""
        table.add_row("measured", f"core {side}: {rate:.2f} Mpx/s of one worker, tax included{chosen}")
    table.add_row(
        "device", f"{recipe.resolved.device_kind}, {recipe.resolved.precision}, batch {recipe.resolved.batch}"
    )
    table.add_row("memory", f"{format_bytes(projected_bytes)} a worker process")
    if helpers.number:
        table.add_row("", f"{format_bytes(helpers.bytes)} each of {helpers.number} more, for small scenes, at most")
    rates = dict(recipe.resolved.rates)
    if recipe.resolved.core in rates and cost.scene_pixels:
        seconds = cost.scene_pixels / 1e6 / rates[recipe.resolved.core]
        table.add_row("", f"{format_duration(seconds)} of one worker")
    console.print(table)
    _print_end(console, plan)


def _print_end(console: Console, plan: Plan) -> None:
    print_notes(console, plan.notes)
    print_aside(console, plan.set_aside, said="set aside  ", more="plan --json lists them all")


def _to_read(totals: PlanTotals) -> str:
    """Beside the headers: of small files these bring the pixels along."""
    encoded = format_bytes(totals.bytes_in_scenes)
    if totals.blocks and not totals.bytes_to_read:
        return f"the headers alone, which bring the {encoded} of pixels along"
    return f"{format_bytes(totals.bytes_to_read)} beside the headers, for {encoded} of pixels"
