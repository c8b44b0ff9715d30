"""From a package to a network that computes what its author saw."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from encdec_batch.errors import CardError, ModelError
from encdec_batch.models.architectures import EXTRAS, construct
from encdec_batch.models.bounded import at_most
from encdec_batch.models.card import ONNX
from encdec_batch.models.golden import replay
from encdec_batch.models.package import Package

_WEIGHT_TYPES = frozenset(f"torch.{name}" for name in ("float64", "float32", "float16", "bfloat16", "int64"))
"""int64: how many batches a batch norm has seen."""
_MOST_ARGUMENT = 1 << 20
_ROOM = {"smp": 1 << 28}
"""Values: timm makes an encoder whole before it keeps the stages that were asked for."""


def build_network(package: Package) -> nn.Module:
    """The package's network with its weights: float32 on the CPU, in eval mode, without gradients; of an ONNX package
    a module around its session (models/onnx_network.py).

    The golden sample is replayed, which takes milliseconds; whoever moves the network to another device or precision
    may `replay` it there once more.

    Raises:
        CardError: the architecture is unknown, or its parameters are not those of the weights.
        ModelError: the weights cannot be parsed, the golden sample does not come out, or an extra is not installed.
    """
    card = package.card
    if card.architecture == ONNX:
        return _open_onnx(package)
    network = _construct_foreign(package) if card.architecture in EXTRAS else _construct_own(package)
    try:
        state = load(package.weights)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{package.uri}: the weights cannot be parsed: {error}", hint="make the package anew"
        ) from error
    _check_finite(state, package.uri)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise CardError(
            f"{package.uri}: the weights are not of {card.architecture} {card.arguments}: {said}",
            hint="`architecture` and `arguments` must be those it was trained with",
        ) from error
    network = network.float().eval().requires_grad_(requires_grad=False)
    replay(package, network)
    return network


def _open_onnx(package: Package) -> nn.Module:
    try:
        from encdec_batch.models.onnx_network import open_onnx
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{package.uri}: is an ONNX network, and {error.name} is not installed",
            hint="pip install 'encdec-batch[onnx]', on every machine that runs it",
        ) from error
    network = open_onnx(package)
    replay(package, network)
    return network


def _construct_foreign(package: Package) -> nn.Module:
    """Of an extra: stopped as soon as it has more values than the weights could hold.

    Not tried on the meta device first: some look at numbers that they computed.
    """
    card = package.card
    _check_numbers(package)
    with at_most(max(len(package.weights), _ROOM.get(card.architecture, 0))):
        return construct(card.architecture, card.arguments)


def _construct_own(package: Package) -> nn.Module:
    """Before memory is taken for it: what a card asks for must be about what the weights hold."""
    card = package.card
    _check_numbers(package)
    try:
        with torch.device("meta"):
            network = construct(card.architecture, card.arguments)
        values = sum(tensor.numel() for tensor in network.state_dict().values())
    except (RuntimeError, OverflowError, MemoryError) as error:
        raise CardError(
            f"{package.uri}: no {card.architecture} can be made of {card.arguments}: {str(error)[:200]}",
            hint="correct `arguments` in the card",
        ) from error
    if values > len(package.weights):
        raise CardError(
            f"{package.uri}: {card.architecture} with {card.arguments} has {values:,} values, its weights are "
            f"{len(package.weights):,} bytes",
            hint="`architecture` and `arguments` must be those it was trained with",
        )
    return construct(card.architecture, card.arguments)


def _check_numbers(package: Package) -> None:
    # An architecture may count up to its arguments before it makes anything.
    card = package.card
    most = max(_numbers(card.arguments), default=0)
    if most > _MOST_ARGUMENT:
        raise CardError(
            f"{package.uri}: no {card.architecture} can be made of {card.arguments}: {most} is more than "
            f"{_MOST_ARGUMENT}",
            hint="correct `arguments` in the card",
        )


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


def _check_finite(state: dict[str, torch.Tensor], uri: str) -> None:
    odd = sorted({str(tensor.dtype) for tensor in state.values()} - _WEIGHT_TYPES)
    if odd:
        raise ModelError(f"{uri}: the weights are of type {', '.join(odd)}", hint="publish them as float32")
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise ModelError(
            f"{uri}: the weights hold NaN or infinity in {', '.join(sorted(broken)[:3])}",
            hint="the training diverged: publish an earlier checkpoint",
        )
