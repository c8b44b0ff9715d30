"""The certificate of a scene: its check windows against what was written, before it is committed.

A check window was computed on a tile of its own, so that its pixels are the same twice only if tiling changes nothing.
Of an exact network they must be, within the card's tolerance: else the scene is not committed. Of any other the
difference is the error that its tiles cost, and the certificate says how large it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Literal

from pydantic import JsonValue

from encdec_batch.commit.difference import Comparison, Difference, tolerance_for, total
from encdec_batch.commit.parts import SceneTiles
from encdec_batch.errors import CertificateFailed
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.window import Window
from encdec_batch.write.check import Check

_DIGITS = 6

Result = Literal["passed", "stated", "not drawn", "one tile"]


def certify(recipe: Recipe, scene: ScenePlan, tiles: SceneTiles, checks: Sequence[Check]) -> dict[str, JsonValue]:
    """The certificate of a scene of which windows were checked, for its marker.

    Decodes those tiles that hold a window, one row at a time.

    Raises:
        CertificateFailed: the network is exact, and what was written is not what it says.
        PartMissing: parts are gone or damaged.
    """
    tolerance = tolerance_of(recipe)
    comparison = Comparison(output=recipe.card.output, product=tiles.product, tolerance=tolerance)
    found = total([comparison.of(tiles.window(check.window), check) for check in checks])
    if recipe.exact:
        _refuse(scene, comparison, found)
    return {
        # Without a tolerance for this device nobody can say what is rounding, and what is a fault.
        "result": "passed" if recipe.exact and tolerance is not None else "stated",
        "windows": len(checks),
        "pixels": found.pixels,
        "holes": found.holes,
        "differing": found.differing,
        "worst": _rounded(found.worst),
        "worst_window": None if found.where is None else list(_numbers(found.where)),
        "tolerance": None if tolerance is None else _rounded(tolerance),
        "share": _rounded(share_of(scene)),
    }


def without_checks(scene: ScenePlan) -> dict[str, JsonValue]:
    """The certificate of a scene that has none."""
    return {"result": "one tile" if scene.grid().num_tiles == 1 else "not drawn"}


def share_of(scene: ScenePlan) -> float:
    """What the checks cost: pixels of their tiles for each pixel of the scene's."""
    grid = scene.grid()
    height, width = grid.tile_shape
    return len(scene.checks.windows) * scene.checks.tile_pixels / (grid.num_tiles * height * width)


def tolerance_of(recipe: Recipe) -> float | None:
    """The largest difference that is rounding, on the device of the run and in its precision."""
    return tolerance_for(recipe.card.output, recipe.tolerance)


def _refuse(scene: ScenePlan, comparison: Comparison, found: Difference) -> None:
    faults = [*comparison.faults(found), *comparison.flips(found)]
    if faults:
        place = f"; the worst is in window {_numbers(found.where)} of the output" if found.where else ""
        raise CertificateFailed(
            f"certificate: of {found.pixels} pixels computed again on other tiles {', and '.join(faults)}{place}",
            hint="its parts are dropped: `retry` computes them anew; if it fails again, the reach or the tolerance of "
            "the card is wrong for this network or device: publish the package anew",
            scene_id=scene.scene_id,
        )


def _numbers(window: Window) -> tuple[int, int, int, int]:
    return window.col_off, window.row_off, window.width, window.height


def _rounded(value: float) -> float | None:
    """Six digits: what comes after them says nothing. None: not finite, which JSON has no number for."""
    return float(f"{value:.{_DIGITS}g}") if isfinite(value) else None
