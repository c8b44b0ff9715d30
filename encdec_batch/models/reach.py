"""What tiles must respect, measured on the network itself: size, stride, reach, and whether tiles can be exact at all.

Nothing is derived from a formula or from the layers' names, so it holds for every network that runs. Half of the
image is changed, on each of four sides, and one looks how far the change gets in the output: by NaN, which passes
convolutions, ReLU, pooling and interpolation however small the weights are; and by random values, because NaN can be
swallowed (unpooling by indices, `where`). The larger counts.

All probes but the first run in float64, where the network can: equal means equal to the last digits, and no kernel
that mixes neighbouring pixels (Winograd) widens what is seen.

Suffixes: C bands, H rows, W columns of one image.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, lcm

import torch
from torch import Tensor, nn

from encdec_batch.models.card import Exactness, GeometryCard
from encdec_batch.models.sizes import Sizes, find_sizes, output_side

LARGE_REACH = 256
"""Beyond this the class is `large-reach`: around the largest core that pays on a CPU (about 1024 px) a halo of 256 px
makes the tile 2.25 times the core, so that more than half of the work is thrown away."""
MAX_REACH = 1500
"""Beyond this a network counts as global: its tiles would be larger than most memory."""
MAX_STRIDE = 64
"""Larger ones are tried only for networks that take no other sides."""
_NARROW = 16
"""Pixels: at least so many across what is probed."""
_AMPLITUDES = (1.0, 1e3, 1e6)
"""Of the random changes, one seed each: a network of ReLUs passes large ones as large, one of sigmoids small ones."""
FLOAT64_ROUNDING, FLOAT32_ROUNDING = 1e-9, 1e-5
"""Two results that differ by less than this share of the largest value are equal."""


@dataclass(frozen=True)
class Probe:
    """A network, seen along one axis: the other one is as short as the network allows."""

    network: nn.Module
    """In float64."""
    quick: nn.Module
    """The same in float32, for large images."""
    num_bands: int
    axis: int
    """2: along the rows; 3: along the columns."""
    across: int
    """Length of the other axis, pixels."""
    rounding: float
    """Differences up to this share of the largest value are none."""

    def noise(self, length: int, seed: int) -> Tensor:
        """Standard normal (1, C, H, W), `length` pixels along the axis."""
        generator = torch.Generator().manual_seed(seed)
        shape = [1, self.num_bands, self.across, self.across]
        shape[self.axis] = length
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def run(self, image: Tensor) -> Tensor:
        """The output with everything but the axis folded into rows: (values, length)."""
        with torch.no_grad():
            out: Tensor = self.network(image) if image.dtype == torch.float64 else self.quick(image)
        return out.movedim(self.axis, -1).reshape(-1, out.shape[self.axis])

    def part(self, image: Tensor, start: int, stop: int) -> Tensor:
        """The pixels [start, stop) of an image along the axis."""
        return image.narrow(self.axis, start, stop - start)

    def equal(self, a: Tensor, b: Tensor) -> bool:
        """Whether two results differ by rounding at most."""
        if a.shape != b.shape:
            return False
        largest = float(torch.maximum(a.abs().max(), b.abs().max()))
        return float((a - b).abs().max()) <= self.rounding * max(largest, 1e-300)


def measure_geometry(network: nn.Module, num_bands: int, *, rounding: float = FLOAT64_ROUNDING) -> GeometryCard:
    """Scale, stride, reach, margin, size offset and class of exactness of a network in eval mode.

    Takes seconds on a CPU; the network is copied, not changed.

    Args:
        network: is asked in float64.
        num_bands: of its images.
        rounding: that of float32 for a network which computes in that all the same.

    Raises:
        ModelError: no image passes the network, or its output is no image of 1 to 8 times the size.
    """
    probed = copy.deepcopy(network).double().eval()
    sizes = find_sizes(probed, num_bands)
    quick = copy.deepcopy(network).float().eval()
    across = _across(probed, num_bands, sizes)
    probes = [Probe(probed, quick, num_bands, axis, across, rounding) for axis in (2, 3)]
    if not all(_repeats(probe, sizes) for probe in probes):
        return _global(sizes)
    if not sizes.padded:
        return _unpadded(probes, sizes)
    roughs = [_reach(probe, sizes, sizes.period) for probe in probes]
    strides = [_stride(probe, sizes, rough) for probe, rough in zip(probes, roughs, strict=True) if rough is not None]
    if len(strides) < len(probes) or None in strides:
        return _global(sizes)
    stride = lcm(*(found for found in strides if found))
    # The rough border was at a multiple of `period`, in most cases one of the stride too: then it is the answer.
    exact = roughs if sizes.period % stride == 0 else [_reach(probe, sizes, stride) for probe in probes]
    reach = max((found for found in exact if found is not None), default=0)
    if None in exact:
        return _global(sizes)
    exactness: Exactness = "exact" if reach <= LARGE_REACH else "large-reach"
    return GeometryCard(scale=sizes.scale, stride=stride, reach=reach, exactness=exactness)


def _across(network: nn.Module, num_bands: int, sizes: Sizes) -> int:
    """How short the axis may be that is not looked along: probes of a third of the width cost a third."""
    if sizes.padded:
        narrow = sizes.step * ceil(_NARROW / sizes.step)
        if output_side(network, num_bands, sizes.smallest, narrow) == sizes.scale * sizes.smallest:
            return min(narrow, sizes.smallest)
    return sizes.smallest


def _repeats(probe: Probe, sizes: Sizes) -> bool:
    """Whether the same image gives the same result twice; dropout that was left on does not."""
    image = probe.noise(sizes.smallest, seed=0)
    return torch.equal(probe.run(image), probe.run(image))


def _global(sizes: Sizes) -> GeometryCard:
    return GeometryCard(
        scale=sizes.scale,
        stride=sizes.step,
        reach=0,
        margin=sizes.margin,
        size_offset=sizes.offset,
        exactness="global",
    )


def _reach(probe: Probe, sizes: Sizes, stride: int) -> int | None:
    """Pixels that a change beyond a border at a multiple of `stride` gets across it, or None where it does not end."""
    step, slack = lcm(stride, sizes.step), _slack(sizes)
    found = _far(probe, sizes.scale, step)
    while found <= MAX_REACH:
        half = step * ceil((found + 2 * slack) / step)
        found = max(_crossings(probe, sizes.scale, half))
        if found <= half - slack:
            return found
        # A change that got to the image's edge says nothing of how far it would have got: look at twice the size.
        found = 2 * half
    return None


def _slack(sizes: Sizes) -> int:
    """How much farther than for borders at multiples of the stride a change may get for others."""
    return max(MAX_STRIDE, sizes.step)


def _far(probe: Probe, scale: int, step: int) -> int:
    """How far NaN or large values in a strip of one step get, up to a little beyond MAX_REACH.

    Dilated convolutions have gaps: what they see may begin beyond the edges of a small image, so that a small probe
    would not notice it at all. Large values, since not every kernel lets NaN pass (onnxruntime's max-pooling does not).
    """
    before = step * ceil((MAX_REACH + MAX_STRIDE) / step)
    image = probe.noise(2 * before + step, seed=3).float()
    plain, strip = probe.run(image), probe.part(image, before, before + step)
    strip.mul_(_AMPLITUDES[-1])
    touched = (probe.run(image) != plain).any(dim=0)
    strip.fill_(torch.nan)
    touched |= probe.run(image).isnan().any(dim=0)
    left = _extent(touched[: scale * (before + step)], changed_first=False, border=scale * before, scale=scale)
    right = _extent(touched, changed_first=True, border=scale * (before + step), scale=scale)
    return max(left, right)


def _crossings(probe: Probe, scale: int, half: int) -> Iterator[int]:
    """How far each change gets from one half of an image of 2 * `half` pixels into the other, in input pixels."""
    for seed, amplitude in enumerate(_AMPLITUDES):
        image = probe.noise(2 * half, seed)
        before = probe.run(image)
        changes = [amplitude * probe.noise(half, seed + 1000)]
        if seed == 0:
            changes.append(torch.full_like(changes[0], torch.nan))
        for change in changes:
            for changed_first in (True, False):
                changed = image.clone()
                probe.part(changed, 0 if changed_first else half, half if changed_first else 2 * half).copy_(change)
                # Same shape, same kernels: what does not depend on the change is equal to the last bit.
                differs = (probe.run(changed) != before).any(dim=0)
                yield _extent(differs, changed_first=changed_first, border=scale * half, scale=scale)


def _extent(differs: Tensor, *, changed_first: bool, border: int, scale: int) -> int:
    other_half = differs[border:] if changed_first else differs[:border].flip(0)
    touched = other_half.nonzero()
    return ceil((int(touched.max()) + 1) / scale) if touched.numel() else 0


def _stride(probe: Probe, sizes: Sizes, reach: int) -> int | None:
    """The least shift of the image that shifts the result and does nothing else, or None."""
    for stride in range(sizes.step, _slack(sizes) + 1, sizes.step):
        if _is_equivariant(probe, sizes, stride, reach + _slack(sizes)):
            return stride
    return None


def _is_equivariant(probe: Probe, sizes: Sizes, stride: int, border: int) -> bool:
    """Whether images cut from one larger image, `stride` pixels apart, agree beyond `border` pixels of their edges."""
    length = stride * ceil((2 * border + 2 * _slack(sizes)) / stride)
    image = probe.noise(length + stride, seed=7)
    whole = probe.run(image)
    first = probe.run(probe.part(image, 0, length))
    second = probe.run(probe.part(image, stride, length + stride))
    k = sizes.scale
    inner = slice(k * border, k * (length - border))
    shifted = slice(k * (border + stride), k * (length - border + stride))
    return probe.equal(first[:, inner], whole[:, inner]) and probe.equal(second[:, inner], whole[:, shifted])


def _unpadded(probes: list[Probe], sizes: Sizes) -> GeometryCard:
    """A network without padding: its margin is all the context there is, so tiles must agree up to their edges."""
    exact = all(_agrees_to_the_edge(probe, sizes) for probe in probes)
    return GeometryCard(
        scale=sizes.scale,
        stride=sizes.step,
        reach=0,
        margin=sizes.margin,
        size_offset=sizes.offset,
        exactness="exact" if exact else "global",
    )


def _agrees_to_the_edge(probe: Probe, sizes: Sizes) -> bool:
    length, step, k = sizes.smallest + 2 * sizes.step, sizes.step, sizes.scale
    image = probe.noise(length + step, seed=7)
    whole = probe.run(image)
    first = probe.run(probe.part(image, 0, length))
    second = probe.run(probe.part(image, step, length + step))
    return probe.equal(first, whole[:, : first.shape[1]]) and probe.equal(second, whole[:, k * step :])
