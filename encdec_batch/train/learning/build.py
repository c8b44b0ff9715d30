"""From a spec to networks that learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import nn

from encdec_batch.errors import SpecError
from encdec_batch.models.architectures import construct
from encdec_batch.models.package import load_package
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_loss import AdversarialLoss, Balance, CrossEntropyLoss, DiceLoss, FocalLoss, TrainLoss
from encdec_batch.spec.train_target import HighResolutionTarget
from encdec_batch.train.learning.learner import Discriminator, Generator, Learner, Mapper, Term
from encdec_batch.train.learning.loop import Loop
from encdec_batch.train.learning.losses import CrossEntropy, Dice, Difference, Focal, Loss, Verdicts, median_frequency
from encdec_batch.train.learning.signature import arguments_of, check_bands, num_channels, output_of
from encdec_batch.train.material import Facts


def build_loop(spec: TrainSpec, facts: Facts, *, device: torch.device, precision: str) -> Loop:
    """The loop at its beginning: fresh weights from the seed, or those of the parent.

    Raises:
        SpecError: the parent is of another architecture.
        CardError: the architecture is not known, or does not take the arguments.
        ModelError: the parent cannot be used.
    """
    torch.manual_seed(spec.learn.seed)
    network = build_network(spec, facts)
    margin = margin_of(network, spec, facts)
    terms = tuple(Term(name=loss.kind, factor=loss.factor, loss=_loss(loss, facts)) for loss in spec.learn.losses)
    learners: list[Learner] = [Mapper(network, terms)]
    rates = [spec.learn.optimizer.learning_rate]
    if adversarial := spec.learn.adversarial:
        judge = _discriminator(adversarial, facts, num_channels(spec, facts))
        # In turns, as in the paper (section 3.3), which begins with the discriminator: with the second turn, here.
        learners = [Generator(network, judge, terms), Discriminator(judge, network)]
        rates.append(adversarial.learning_rate or rates[0])
    return Loop(learners, spec.learn, rates=rates, precision=precision, device=device, margin=margin)


def margin_of(network: nn.Module, spec: TrainSpec, facts: Facts) -> int:
    """By how many output pixels the network's result is smaller than its input on each side: 0 if it pads.

    Found by passing a window of zeros through it, so what does not fit is said before anything is learned.

    Raises:
        SpecError: windows of this size do not pass, or what comes out is not what the target is.
    """
    height, width = spec.data.sampling.sides
    target = spec.data.target
    scale = target.scale if isinstance(target, HighResolutionTarget) else 1
    channels = output_of(spec, facts).num_channels
    try:
        with torch.inference_mode():
            made = network.eval()(torch.zeros(1, facts.num_bands, height, width))
    except (ValueError, RuntimeError) as error:
        raise SpecError(
            f"data.sampling.crop: {spec.network.architecture} does not take windows of {height}x{width} px: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
    finally:
        network.train()
    rows, cols = height * scale - made.shape[2], width * scale - made.shape[3]
    if made.shape[1] != channels or rows != cols or rows < 0 or rows % 2:
        raise SpecError(
            f"{spec.network.architecture} makes {tuple(made.shape[1:])} of {(facts.num_bands, height, width)}, the "
            f"target is {(channels, height * scale, width * scale)}",
            hint="correct network.arguments",
        )
    return int(rows // 2)


def build_network(spec: TrainSpec, facts: Facts) -> nn.Module:
    """The network to be trained, on the CPU."""
    arguments = arguments_of(spec, facts)
    network = construct(spec.network.architecture, arguments)
    if spec.network.parent is not None:
        network.load_state_dict(_weights_of_parent(spec, facts, arguments))
    return network


def digest_of_parent(spec: TrainSpec) -> str | None:
    """What names the package that it began with."""
    return load_package(spec.network.parent, spec.network.storage).digest if spec.network.parent else None


def _weights_of_parent(spec: TrainSpec, facts: Facts, arguments: dict[str, Any]) -> dict[str, torch.Tensor]:
    package = load_package(str(spec.network.parent), spec.network.storage)
    card = package.card
    check_bands(spec, facts.num_bands, card)
    if (card.architecture, dict(card.arguments)) != (spec.network.architecture, arguments):
        raise SpecError(
            f"network.parent {spec.network.parent} is {card.architecture} {card.arguments}, asked for is "
            f"{spec.network.architecture} {arguments}",
            hint="set network.architecture and network.arguments to the parent's",
        )
    return load(package.weights)


def _loss(loss: TrainLoss, facts: Facts) -> Loss:
    if isinstance(loss, CrossEntropyLoss):
        return CrossEntropy(_class_weights(loss.balance, facts))
    if isinstance(loss, FocalLoss):
        return Focal(loss.gamma, _class_weights(loss.balance, facts))
    if isinstance(loss, DiceLoss):
        return Dice()
    if isinstance(loss, AdversarialLoss):
        return Verdicts(real=True)
    return Difference(loss.kind)


def _class_weights(balance: Balance, facts: Facts) -> Sequence[float] | None:
    if balance == "none":
        return None
    pixels, around = np.array(facts.class_pixels), np.array(facts.class_presence)
    return median_frequency(pixels, around, root=balance == "sqrt_median")


def _discriminator(loss: AdversarialLoss, facts: Facts, channels: int) -> nn.Module:
    from encdec_batch.networks.patch_discriminator import PatchDiscriminator

    try:
        return PatchDiscriminator(facts.num_bands, channels, width=loss.width, depth=loss.depth)
    except ValueError as error:
        raise SpecError(f"learn.losses: {error}") from None
