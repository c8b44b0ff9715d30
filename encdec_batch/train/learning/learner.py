"""A network that learns, and from what: one for most tasks, two for an adversarial pair.

Suffixes: N samples, C channels, H and W rows and columns of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from encdec_batch.train.learning.losses import Loss, Truth, Verdicts


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A batch, or a part of it, on the device."""

    image_NCHW: Tensor
    truth: Truth
    level_N: Tensor
    """Standard deviation of the noise, in units of the normalised image."""

    def __len__(self) -> int:
        return len(self.image_NCHW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One of the things that a learner makes small."""

    name: str
    factor: float
    loss: Loss


class Learner(Protocol):
    """One network's turn in a step."""

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> nn.Module: ...

    @property
    def terms(self) -> tuple[Term, ...]: ...

    def outputs(self, sample: Sample) -> tuple[Tensor, ...]:
        """What each term's loss looks at; computed anew at each call, with gradients for `network` alone."""


class Mapper:
    """A network that gives the target for an image: segmentation, denoising, super-resolution."""

    def __init__(self, network: nn.Module, terms: tuple[Term, ...]) -> None:
        self.name, self.network, self.terms = "network", network, terms

    def outputs(self, sample: Sample) -> tuple[Tensor, ...]:
        return (apply(self.network, sample),) * len(self.terms)


class Generator:
    """A network that gives the target, and is to be taken for it by a discriminator.

    Its terms of name `adversarial` look at the discriminator's verdict, the others at the image.
    """

    def __init__(self, network: nn.Module, discriminator: nn.Module, terms: tuple[Term, ...]) -> None:
        self.name, self.network, self.terms = "network", network, terms
        self._discriminator = discriminator

    def outputs(self, sample: Sample) -> tuple[Tensor, ...]:
        made_NCHW = apply(self.network, sample)
        with _fixed(self._discriminator):
            verdict_NCHW = self._discriminator(sample.image_NCHW, shown(made_NCHW, sample.truth))
        return tuple(verdict_NCHW if isinstance(term.loss, Verdicts) else made_NCHW for term in self.terms)


class Discriminator:
    """A network that tells made images from true ones, given what they were made from.

    The paper halves this loss, so that it learns at half the generator's pace (section 3.3). What the generator makes
    is computed once more here: were it kept from one turn to the other, so would be all that its gradient needs.
    """

    def __init__(self, network: nn.Module, generator: nn.Module) -> None:
        self.name, self.network = "discriminator", network
        self.terms = (
            Term(name="real", factor=0.5, loss=Verdicts(real=True)),
            Term(name="made", factor=0.5, loss=Verdicts(real=False)),
        )
        self._generator = generator

    def outputs(self, sample: Sample) -> tuple[Tensor, ...]:
        with torch.no_grad():
            made_NCHW = apply(self._generator, sample)
        truth = sample.truth
        return tuple(
            self.network(sample.image_NCHW, shown(image_NCHW, truth)) for image_NCHW in (truth.target, made_NCHW)
        )


def apply(network: nn.Module, sample: Sample) -> Tensor:
    """The network's output; one that is told the noise level is told each sample's."""
    told = getattr(network, "noise_level", None) is not None
    output_NCHW: Tensor = network(sample.image_NCHW, sample.level_N) if told else network(sample.image_NCHW)
    return output_NCHW


def shown(image_NCHW: Tensor, truth: Truth) -> Tensor:
    """What is not valid is 0, in true and made images alike: a discriminator must not tell them apart by it."""
    return torch.where(truth.valid_NHW[:, None], image_NCHW, 0.0)


@contextmanager
def _fixed(network: nn.Module) -> Iterator[None]:
    """Gradients pass through the network, but are not computed for it."""
    learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
