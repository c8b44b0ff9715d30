"""What is made small; encdec_batch/train/learning/losses.py has the formulas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encdec_batch.spec.base import Spec

Factor = Annotated[float, Field(gt=0, le=1e6)]
Balance = Literal["none", "median", "sqrt_median"]


class CrossEntropyLoss(Spec):
    """Of classes."""

    kind: Literal["cross_entropy"]
    factor: Factor = 1.0
    """By which it counts in the sum."""
    balance: Balance = "none"
    """Rare classes weigh more: by the median of all classes' frequencies over their own, or the root of that."""


class DiceLoss(Spec):
    """Of classes: one minus the overlap, sample by sample."""

    kind: Literal["dice"]
    factor: Factor = 1.0


class FocalLoss(Spec):
    """Of classes: cross-entropy in which what the network is sure of counts less."""

    kind: Literal["focal"]
    factor: Factor = 1.0
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """0 is the plain cross-entropy."""
    balance: Balance = "none"


class DifferenceLoss(Spec):
    """Of images: mean absolute or squared difference, or between them (Charbonnier)."""

    kind: Literal["l1", "mse", "charbonnier"]
    factor: Factor = 1.0


class AdversarialLoss(Spec):
    """Of images: a second network learns to tell made images from true ones, the first to deceive it (Pix2Pix)."""

    kind: Literal["adversarial"]
    factor: Factor = 1.0
    width: Annotated[int, Field(ge=1, le=1024)] = 64
    """Channels of the second network's first level; 64 in the paper."""
    depth: Annotated[int, Field(ge=1, le=6)] = 3
    """How often it halves what it sees: with 3 each of its verdicts is on 70x70 pixels, as in the paper."""
    learning_rate: Annotated[float, Field(gt=0, le=10)] | None = None
    """Of the discriminator, at its peak; None: that of the network."""


TrainLoss = Annotated[
    CrossEntropyLoss | DiceLoss | FocalLoss | DifferenceLoss | AdversarialLoss, Field(discriminator="kind")
]
OF_CLASSES = (CrossEntropyLoss, DiceLoss, FocalLoss)
