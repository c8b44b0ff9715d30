"""What the networks are to make small.

Every loss is a sum and the number to divide it by, which hangs on the targets alone. So the loss of a step is the mean
over all that counts in it, wherever that lies: in which micro-batch, on which worker. The mean of the workers' means
would weigh a pixel more where many of its neighbours are ignored.

Shapes: N samples, C channels, H and W rows and columns of the output. Sums are of float32, whatever the network's type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from encdec_batch.train.batch import IGNORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a network's output is compared with, on its device; as in `Batch`."""

    target: Tensor
    """int64 (N, H, W) or float32 (N, C, H, W)."""
    valid_NHW: Tensor
    """bool."""


class Loss(Protocol):
    """Pure; may hold tensors, which are moved where they are needed."""

    name: str

    def weight(self, truth: Truth) -> Tensor:
        """The scalar that `total`, summed over all of a step, is divided by."""

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        """The scalar sum over these samples."""


class CrossEntropy:
    """Minus the logarithm of the probability of the right class; pixels of label `IGNORE` do not count.

    Args:
        class_weights: (classes,) of each pixel by its right class, as `median_frequency` gives them; None: 1.
    """

    name = "cross_entropy"

    def __init__(self, class_weights: Sequence[float] | None = None) -> None:
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    def weight(self, truth: Truth) -> Tensor:
        if self._weights is None:
            return truth.valid_NHW.sum().float()
        return self._weights.to(truth.target.device)[truth.target[truth.valid_NHW]].sum()

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        weights = None if self._weights is None else self._weights.to(output_NCHW.device)
        return functional.cross_entropy(
            two_channels(output_NCHW), truth.target, weights, ignore_index=IGNORE, reduction="sum"
        )


class Focal:
    """Cross-entropy in which a pixel counts the less, the surer the network is of its class.

    -(1 - p)^gamma log p, divided by the number of pixels; gamma 0 is the plain cross-entropy.

    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 4 (5 with class weights).
    """

    name = "focal"

    def __init__(self, gamma: float = 2.0, class_weights: Sequence[float] | None = None) -> None:
        self._gamma = gamma
        self._weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    def weight(self, truth: Truth) -> Tensor:
        return truth.valid_NHW.sum().float()

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        log_p_NHW = -functional.cross_entropy(
            two_channels(output_NCHW), truth.target, ignore_index=IGNORE, reduction="none"
        )
        # Through expm1, as 1 - p of a sure pixel would be rounded away.
        losses_NHW = -((-torch.expm1(log_p_NHW)).clamp_min(1e-12) ** self._gamma) * log_p_NHW
        losses = losses_NHW[truth.valid_NHW]
        if self._weights is not None:
            losses = losses * self._weights.to(losses.device)[truth.target[truth.valid_NHW]]
        return losses.sum()


class Dice:
    """One minus the soft Dice score, the mean over the classes and over the samples that hold a valid pixel.

    (2 sum(p t) + 1) / (sum p + sum t + 1) for each class of a sample; the 1 gives a class that is neither there nor
    seen a score of 1. By sample, so that the mean does not depend on how samples are laid into batches.

    Source: Milletari et al., "V-Net", 3DV 2016, section 3, with sums in place of squares.
    """

    name = "dice"

    def weight(self, truth: Truth) -> Tensor:
        return truth.valid_NHW.flatten(1).any(1).sum().float()

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        p_NCHW = two_channels(output_NCHW).softmax(1)
        counts_N1HW = truth.valid_NHW[:, None].float()
        labels_NHW = torch.where(truth.valid_NHW, truth.target, 0)
        t_NCHW = functional.one_hot(labels_NHW, p_NCHW.shape[1]).movedim(-1, 1) * counts_N1HW
        p_NCHW = p_NCHW * counts_N1HW
        both, all_p, all_t = ((x.flatten(2).sum(2)) for x in (p_NCHW * t_NCHW, p_NCHW, t_NCHW))
        losses_N = 1 - ((2 * both + 1) / (all_p + all_t + 1)).mean(1)
        return losses_N[truth.valid_NHW.flatten(1).any(1)].sum()


class Difference:
    """The mean of a function of output minus target, over the channels of all valid pixels."""

    def __init__(self, name: str) -> None:
        if name not in _OF_DIFFERENCE:
            raise ValueError(f"{name!r} is none of {', '.join(_OF_DIFFERENCE)}")
        self.name = name

    def weight(self, truth: Truth) -> Tensor:
        return truth.valid_NHW.sum().float() * truth.target.shape[1]

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        losses_NCHW = _OF_DIFFERENCE[self.name](output_NCHW.float() - truth.target)
        return torch.where(truth.valid_NHW[:, None], losses_NCHW, 0.0).sum()


def _charbonnier(difference: Tensor) -> Tensor:
    """sqrt(d^2 + epsilon^2), epsilon 1e-3: Lai et al., "LapSRN", CVPR 2017, section 3.2 (theirs: squared, 1e-6)."""
    return torch.sqrt(difference * difference + 1e-6)


_OF_DIFFERENCE: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": torch.abs,
    "mse": torch.square,
    "charbonnier": _charbonnier,
}


class Verdicts:
    """How far a discriminator's patches are from one verdict: the mean over patches, then over samples.

    Source: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, equation 1; the
    generator maximises log D(x, G(x)) instead of minimising log(1 - D(x, G(x))), as its section 3.3 says.
    """

    name = "adversarial"

    def __init__(self, *, real: bool) -> None:
        self._real = real

    def weight(self, truth: Truth) -> Tensor:
        return torch.tensor(float(len(truth.valid_NHW)), device=truth.valid_NHW.device)

    def total(self, output_NCHW: Tensor, truth: Truth) -> Tensor:
        del truth
        logits = output_NCHW.float()
        wanted = torch.full_like(logits, float(self._real))
        losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return losses.flatten(1).mean(1).sum()


def two_channels(output_NCHW: Tensor) -> Tensor:
    """Float32 logits; a single channel, the logit of the second class against the first, becomes two."""
    logits_NCHW = output_NCHW.float()
    if logits_NCHW.shape[1] == 1:
        return torch.cat([torch.zeros_like(logits_NCHW), logits_NCHW], dim=1)
    return logits_NCHW


def median_frequency(
    pixels: NDArray[np.int64], pixels_around: NDArray[np.int64], *, root: bool = False
) -> tuple[float, ...]:
    """A weight for each class that makes up for how rare it is: median of frequencies / its frequency.

    The frequency of a class is its share of the pixels of those scenes in which it occurs. A class that never occurs
    has weight 1 and no part in the median.

    Args:
        pixels: (classes,) of each class, over all scenes.
        pixels_around: (classes,) known pixels of the scenes in which it occurs.
        root: the square root of it, which over-corrects less where a class is very rare.

    Source: Eigen and Fergus, "Predicting Depth, Surface Normals and Semantic Labels", ICCV 2015, section 6.3.2;
    Badrinarayanan et al., "SegNet", TPAMI 2017, section 4.
    """
    there = pixels > 0
    frequency = pixels[there] / pixels_around[there]
    weights = np.ones(len(pixels))
    weights[there] = np.median(frequency) / frequency if there.any() else 1.0
    return tuple(float(weight) for weight in (np.sqrt(weights) if root else weights))
