"""The certificate of a scene: its check windows against what was written, before it is committed.

A check window was computed on a tile of its own, so that its pixels are the same twice only if tiling changes nothing.
Of an exact network they must be, within the card's tolerance: else the scene is not committed. Of any other the
difference is the error that its tiles cost, and the certificate says how large it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from encdec_batch.commit.parts import SceneTiles
from encdec_batch.errors import CertificateFailed
from encdec_batch.models.card import Card, ClassesOutput, ImageOutput
from encdec_batch.plan.product import Product, quantum_levels
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.window import Window
from encdec_batch.write.check import Check

FLIPS = 1e-4
"""Of the pixels checked: more of another class are no rounding, however close their classes were."""
_DIGITS = 6

Result = Literal["passed", "stated", "not drawn", "one tile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One window twice, or several together."""

    pixels: int = 0
    """Compared: valid on both sides."""
    holes: int = 0
    """Nodata on one side alone."""
    differing: int = 0
    """Of another class; of images, by more than the tolerance."""
    worst: float = 0.0
    """Of classes, the largest margin of a pixel that is of another class; of images, the largest difference of a value,
    less what quantisation makes of it. In units of the network's output.
    """
    where: Window | None = None
    """The window of the worst pixel, in output pixels."""


def certify(recipe: Recipe, scene: ScenePlan, tiles: SceneTiles, checks: Sequence[Check]) -> dict[str, JsonValue]:
    """The certificate of a scene of which windows were checked, for its marker.

    Decodes those tiles that hold a window, one row at a time.

    Raises:
        CertificateFailed: the network is exact, and what was written is not what it says.
        PartMissing: parts are gone or damaged.
    """
    tolerance = tolerance_of(recipe)
    found = _total([_difference(recipe.card, tiles, check, tolerance) for check in checks])
    classes = isinstance(recipe.card.output, ClassesOutput)
    # Without a tolerance for this device nobody can say what is rounding, and what is a fault.
    judged = recipe.exact and tolerance is not None
    if judged:
        _refuse(scene, found, tolerance or 0.0, classes=classes)
    return {
        "result": "passed" if judged else "stated",
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
    """The largest difference that is rounding: of values, or of the margin of a class that flips."""
    if recipe.tolerance is None:
        return None
    return recipe.tolerance.margin if isinstance(recipe.card.output, ClassesOutput) else recipe.tolerance.value


def _difference(card: Card, tiles: SceneTiles, check: Check, tolerance: float | None) -> Difference:
    product, written = tiles.product, tiles.window(check.window)
    seen = check.rasters[product.name]
    here, there = _valid(written, product.nodata), _valid(seen, product.nodata if product.kind == "classes" else np.nan)
    both = here & there
    if product.kind == "classes":
        off = np.where(written != seen, check.rasters["margin"].astype(np.float64), 0.0)
        differing = (written != seen) & both
    else:
        off = _value_differences(card, product, written, seen)
        differing = (off > tolerance) & both if tolerance is not None else np.zeros_like(both)
    off = np.where(both, np.where(np.isnan(off), np.inf, off), 0.0)
    worst = float(off.max(initial=0.0))
    return Difference(
        # Of an image a pixel counts once, whatever its bands.
        pixels=int(both.any(axis=0).sum()),
        holes=int((here != there).any(axis=0).sum()),
        differing=int(differing.any(axis=0).sum()),
        worst=worst,
        where=check.window if worst > 0 else None,
    )


def _valid(pixels: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None:
        return np.ones(pixels.shape, bool)
    valid: NDArray[np.bool_] = ~np.isnan(pixels.astype(np.float64)) if np.isnan(nodata) else pixels != nodata
    return valid


def _value_differences(
    card: Card, product: Product, written: NDArray[np.generic], seen: NDArray[np.generic]
) -> NDArray[np.float64]:
    """By pixel and band; of integers what is left when the half step that quantising may take is given."""
    values, own = written.astype(np.float64), seen.astype(np.float64)
    if product.dtype != "float32" and isinstance(card.output, ImageOutput):
        low, high = card.output.range
        step = (high - low) / quantum_levels(product.dtype)
        # Quantising is done in float32, and rounds itself.
        given = step / 2 + np.finfo(np.float32).eps * max(abs(low), abs(high), high - low)
        excess: NDArray[np.float64] = np.abs(low + (values - 1) * step - own.clip(low, high)) - given
        return np.maximum(excess, 0.0)
    with np.errstate(invalid="ignore"):
        off: NDArray[np.float64] = np.abs(values - own)
    # An infinity that both have is no difference.
    off[values == own] = 0.0
    return off


def _total(windows: Sequence[Difference]) -> Difference:
    worst = max(windows, key=lambda window: window.worst)
    return Difference(
        pixels=sum(window.pixels for window in windows),
        holes=sum(window.holes for window in windows),
        differing=sum(window.differing for window in windows),
        worst=worst.worst,
        where=worst.where,
    )


def _refuse(scene: ScenePlan, found: Difference, tolerance: float, *, classes: bool) -> None:
    faults = list(_faults(found, tolerance, classes=classes))
    if faults:
        raise CertificateFailed(
            f"certificate: of {found.pixels} pixels computed again on other tiles {', and '.join(faults)}",
            hint="its parts are dropped: `retry` computes them anew; if it fails again, the reach or the tolerance of "
            "the card is wrong for this network or device: publish the package anew",
            scene_id=scene.scene_id,
        )


def _faults(found: Difference, tolerance: float, *, classes: bool) -> Iterator[str]:
    if found.holes:
        yield f"{found.holes} are nodata on one side alone"
    if found.worst > tolerance:
        at = f"{found.worst:.3g} where {tolerance:.3g} is rounding"
        place = f" (window {_numbers(found.where)} of the output)" if found.where else ""
        if classes:
            yield f"{found.differing} are of another class, by a margin of up to {at}{place}"
        else:
            yield f"{found.differing} have another value, by up to {at}{place}"
    elif classes and found.differing > FLIPS * found.pixels:
        yield f"{found.differing} are of another class, more than rounding explains"


def _numbers(window: Window) -> tuple[int, int, int, int]:
    return window.col_off, window.row_off, window.width, window.height


def _rounded(value: float) -> float | None:
    """Six digits: what comes after them says nothing. None: not finite, which JSON has no number for."""
    return float(f"{value:.{_DIGITS}g}") if isfinite(value) else None
