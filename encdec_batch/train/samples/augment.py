"""Samples varied: what is done to a picture, and with it to its target, drawn from the sample's own seed.

Geometry moves image and target alike; light and colour change the image alone, or before a target is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.spec.train_data import AugmentSpec
from encdec_batch.train.dataset.normalization import Units
from encdec_batch.train.pairs.reader import Raw
from encdec_batch.train.samples.resample import nearest, resized


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where pixels go. The default moves none."""

    zoom: float = 1.0
    horizontal: bool = False
    """Left becomes right."""
    vertical: bool = False
    turns: int = 0
    """Quarters, counter-clockwise, after the mirrors."""

    def moved(self, array: NDArray[Any]) -> NDArray[Any]:
        """Mirrored and turned in its last two axes; a view."""
        if self.horizontal:
            array = array[..., ::-1]
        if self.vertical:
            array = array[..., ::-1, :]
        return np.rot90(array, self.turns, axes=(-2, -1))

    def applied(self, raw: Raw) -> Raw:
        """The same of image, target and masks."""
        target = None if raw.target is None else self.moved(raw.target)
        return replace(
            raw,
            pixels=self.moved(raw.pixels),
            valid=self.moved(raw.valid),
            counts=self.moved(raw.counts),
            target=target,
        )


def draw_geometry(spec: AugmentSpec, *, square: bool, rng: np.random.Generator) -> Geometry:
    """As likely as the spec says. Always as many random numbers, whatever is switched on."""
    zoom, left, up, turn = rng.random(4)
    steps = 4 if square else 2
    return Geometry(
        zoom=exp(log(spec.zoom[0]) + zoom * (log(spec.zoom[1]) - log(spec.zoom[0]))),
        horizontal="horizontal" in spec.flips and left < 0.5,
        vertical="vertical" in spec.flips and up < 0.5,
        turns=int(turn * steps) * (4 // steps) if spec.turns else 0,
    )


def zoomed(raw: Raw, height: int, width: int, *, labels_seen: bool, labels_wanted: bool) -> Raw:
    """A window brought to another size: pictures by linear interpolation, labels and masks by nearest neighbour.

    Invalid pixels lend nothing to their neighbours; an ignored label stays one.

    Args:
        raw: as stored.
        height: wanted.
        width: wanted.
        labels_seen: the image is one of labels.
        labels_wanted: the target is.
    """
    if raw.valid.shape == (height, width):
        return raw
    target = raw.target
    if target is not None and labels_wanted:
        target = nearest(target, height, width)
    elif target is not None:
        target = _smooth(target, raw.counts, height, width)
    return Raw(
        pixels=nearest(raw.pixels, height, width) if labels_seen else _smooth(raw.pixels, raw.valid, height, width),
        valid=nearest(raw.valid, height, width),
        target=target,
        counts=nearest(raw.counts, height, width),
    )


def _smooth(pixels: NDArray[Any], valid: NDArray[np.bool_], height: int, width: int) -> NDArray[np.float32]:
    if valid.all():
        return resized(pixels.astype(np.float32), height, width)
    known = resized(valid[None].astype(np.float32), height, width)
    summed = resized(np.where(valid, pixels, 0).astype(np.float32), height, width)
    return (summed / np.maximum(known, np.float32(1e-6))).astype(np.float32, copy=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """value' = gain (value - centre) + centre + shift spread, per band; then noise and blur."""

    gain: float
    shift: NDArray[np.float32]
    """(bands,), in standard deviations."""
    noise: float
    """In standard deviations."""
    blur: float
    """Standard deviation of the Gaussian, pixels."""

    def lit(self, pixels_CHW: NDArray[np.float32], units: Units, dtype: str) -> NDArray[np.float32]:
        """The picture in another light, clipped to what the file's type holds, as a camera's would be."""
        if self.gain == 1 and not self.shift.any():
            return pixels_CHW
        centre, spread = units.centre.reshape(-1, 1, 1), units.spread.reshape(-1, 1, 1)
        out = np.float32(self.gain) * (pixels_CHW - centre) + (centre + self.shift.reshape(-1, 1, 1) * spread)
        if np.dtype(dtype).kind != "f":
            held = np.iinfo(np.dtype(dtype))
            out = np.clip(out, held.min, held.max)
        return out.astype(np.float32, copy=False)

    def disturbed(self, x_CHW: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """What the network sees, blurred and with noise; normalised units."""
        if self.blur:
            x_CHW = _blurred(x_CHW, self.blur)
        if self.noise:
            x_CHW = x_CHW + np.float32(self.noise) * rng.standard_normal(x_CHW.shape, dtype=np.float32)
        return x_CHW


def draw_light(spec: AugmentSpec, num_bands: int, rng: np.random.Generator) -> Light:
    """As the spec says; always as many random numbers."""
    gain, shift, noise, blur = rng.random(4)
    bands = rng.random(num_bands)
    both = spec.brightness * (2 * shift - 1) + spec.colour * (2 * bands - 1)
    return Light(
        gain=exp((2 * gain - 1) * log(spec.contrast)),
        shift=both.astype(np.float32),
        noise=spec.noise * noise,
        blur=spec.blur * blur,
    )


def _blurred(x_CHW: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """By a Gaussian cut at three sigma, the border pixel repeated beyond the border."""
    radius = max(1, round(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (1, 2):
        pads = [(0, 0)] * 3
        pads[axis] = (radius, radius)
        wide, size = np.pad(x_CHW, pads, mode="edge"), x_CHW.shape[axis]
        out = np.zeros_like(x_CHW)
        for tap, weight in enumerate(taps):
            out += weight * wide.take(range(tap, tap + size), axis=axis)
        x_CHW = out
    return x_CHW
