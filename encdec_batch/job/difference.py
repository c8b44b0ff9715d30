"""A window that was computed again against what lies in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encdec_batch.job.makers import Maker
from encdec_batch.models.card import ImageOutput
from encdec_batch.plan.product import Product

if TYPE_CHECKING:
    from encdec_batch.predict.window import WindowOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a comparison came to."""

    pixels: int
    worst: float
    """Difference of a value, or margin of a class that came out otherwise, in units of the network's output."""
    faults: tuple[str, ...]
    """What rounding does not explain."""


def compare(maker: Maker, output: WindowOutput, written: NDArray[np.generic]) -> Difference:
    """How a window came out, and how it was written.

    A class may come out otherwise where the two highest were closer than the card's tolerance; a value may differ by
    that, and by one step where it was quantised.

    Args:
        maker: of the scene.
        output: computed again.
        written: (bands, height, width) of the file.
    """
    here, there = _is_nodata(output.stored, maker.product), _is_nodata(written, maker.product)
    off, limit = _differences(maker, output, written)
    off = np.where(here | there, 0.0, np.where(np.isnan(off), np.inf, off))
    holes, wrong, worst = int((here != there).sum()), int((off > limit).sum()), float(off.max(initial=0.0))
    faults = []
    if holes:
        faults.append(f"{holes} of {written.size} values are nodata on one side alone")
    if wrong:
        what = "labels are others, by a margin of" if maker.product.kind == "classes" else "values are others, by"
        faults.append(f"{wrong} of {written.size} {what} up to {worst:.3g}, where {limit:.3g} is rounding")
    return Difference(pixels=int(written[0].size), worst=worst, faults=tuple(faults))


def _differences(maker: Maker, output: WindowOutput, written: NDArray[np.generic]) -> tuple[NDArray[np.float64], float]:
    """Of each value, in units of the network's output; and up to where that is rounding."""
    if output.margin_HW is not None:
        return np.where(output.stored != written, output.margin_HW.astype(np.float64), 0.0), maker.tolerance.margin
    there, here = written.astype(np.float64), output.stored.astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinity that both have
        off = np.where(there == here, 0.0, np.abs(there - here))
    if maker.product.dtype == "float32" or not isinstance(maker.card.output, ImageOutput):
        return off, maker.tolerance.value
    from encdec_batch.plan.product import quantum_levels

    low, high = maker.card.output.range
    step = (high - low) / quantum_levels(maker.product.dtype)
    return off * step, maker.tolerance.value + step


def _is_nodata(pixels: NDArray[np.generic], product: Product) -> NDArray[np.bool_]:
    found = np.isnan(pixels.astype(np.float64)) if product.dtype == "float32" else pixels == product.nodata
    return np.asarray(found, bool)
