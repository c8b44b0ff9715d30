"""Written pixels beside the same window computed once more: what differs, and what of that is no rounding.

Two use it: the certificate, before a scene is committed, and `verify --deep`, long after. So that both follow one rule,
it is here that quantisation, nodata and what is not finite are dealt with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from encdec_batch.models.card import ClassesOutput, ImageOutput, ToleranceCard
from encdec_batch.plan.product import MARGIN, Product, quantum_levels
from encdec_batch.window import Window
from encdec_batch.write.check import Check

FLIPS = 1e-4
"""Of the pixels compared: more of another class are no rounding, however close their classes were."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the main product of a network is compared."""

    output: ClassesOutput | ImageOutput
    product: Product
    """The mask or the image."""
    tolerance: float | None
    """That of `tolerance_for`; None: nobody can say what is rounding, so that nothing is a fault."""

    def of(self, written: NDArray[np.generic], check: Check) -> Difference:
        """A window, written and computed once more.

        Args:
            written: (bands, height, width) in the product's dtype.
            check: of the same window.
        """
        seen, classes = check.rasters[self.product.name], self._is_classes
        here = _valid(written, self.product.nodata)
        there = _valid(seen, self.product.nodata if classes else np.nan)
        both = here & there
        if classes:
            off = np.where(written != seen, check.rasters[MARGIN.name].astype(np.float64), 0.0)
            differing = (written != seen) & both
        else:
            off = self._value_differences(written, seen)
            differing = (off > self.tolerance) & both if self.tolerance is not None else np.zeros_like(both)
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

    def faults(self, found: Difference) -> Iterator[str]:
        """What no rounding explains, of one window or of several; each begins with a number of pixels."""
        if self.tolerance is None:
            return
        if found.holes:
            yield f"{found.holes} are nodata on one side alone"
        if found.worst > self.tolerance:
            what = "are of another class, by a margin of" if self._is_classes else "have another value, by"
            yield f"{found.differing} {what} up to {found.worst:.3g} where {self.tolerance:.3g} is rounding"

    def flips(self, found: Difference) -> Iterator[str]:
        """The same of classes that are each as close as rounding wants: too many of them.

        Args:
            found: of all windows of a scene; one alone is too small to count by.
        """
        rounding = self.tolerance is not None and found.worst <= self.tolerance
        # One alone is never too many: of a scene that is mostly nodata few pixels are compared.
        if self._is_classes and rounding and found.differing > max(1.0, FLIPS * found.pixels):
            yield f"{found.differing} are of another class, more than rounding explains"

    @property
    def _is_classes(self) -> bool:
        return self.product.kind == "classes"

    def _value_differences(self, written: NDArray[np.generic], seen: NDArray[np.generic]) -> NDArray[np.float64]:
        """By pixel and band; of integers what is left when the half step that quantising may take is given."""
        values, own = written.astype(np.float64), seen.astype(np.float64)
        if self.product.dtype != "float32" and isinstance(self.output, ImageOutput):
            low, high = self.output.range
            step = (high - low) / quantum_levels(self.product.dtype)
            # Quantising is done in float32, and rounds itself.
            given = step / 2 + np.finfo(np.float32).eps * max(abs(low), abs(high), high - low)
            excess: NDArray[np.float64] = np.abs(low + (values - 1) * step - own.clip(low, high)) - given
            return np.maximum(excess, 0.0)
        turned = 0.0
        if isinstance(self.output, ImageOutput) and (self.output.scale, self.output.offset) != (1.0, 0.0):
            # Results are in other units than tolerances, and were turned into them in float32.
            values = (values - self.output.offset) / self.output.scale
            largest = np.abs(written, where=np.isfinite(written), out=np.zeros(written.shape)).max(initial=0.0)
            turned = 2 * float(np.finfo(np.float32).eps) * max(largest, abs(self.output.offset)) / self.output.scale
        with np.errstate(invalid="ignore"):
            off: NDArray[np.float64] = np.abs(values - own)
        # An infinity that both have is no difference.
        off[values == own] = 0.0
        return np.maximum(off - turned, 0.0)


def total(windows: Sequence[Difference]) -> Difference:
    """Of one window or more, together."""
    worst = max(windows, key=lambda window: window.worst)
    return Difference(
        pixels=sum(window.pixels for window in windows),
        holes=sum(window.holes for window in windows),
        differing=sum(window.differing for window in windows),
        worst=worst.worst,
        where=worst.where,
    )


def tolerance_for(output: ClassesOutput | ImageOutput, tolerance: ToleranceCard | None) -> float | None:
    """The largest difference that is rounding: of values, or of the margin of a class that flips."""
    if tolerance is None:
        return None
    return tolerance.margin if isinstance(output, ClassesOutput) else tolerance.value


def _valid(pixels: NDArray[np.generic], nodata: float | None) -> NDArray[np.bool_]:
    if nodata is None:
        return np.ones(pixels.shape, bool)
    valid: NDArray[np.bool_] = ~np.isnan(pixels.astype(np.float64)) if np.isnan(nodata) else pixels != nodata
    return valid
