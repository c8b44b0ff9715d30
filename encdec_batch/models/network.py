"""From a package to a network that computes what its author saw."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from encdec_batch.errors import CardError, ModelError
from encdec_batch.models.architectures import construct
from encdec_batch.models.card import ONNX
from encdec_batch.models.golden import replay
from encdec_batch.models.package import Package

_WEIGHT_TYPES = frozenset(f"torch.{name}" for name in ("float64", "float32", "float16", "bfloat16", "int64"))
"""int64: how many batches a batch norm has seen."""
_MOST_ARGUMENT = 1 << 20


def build_network(package: Package) -> nn.Module:
    """The package's network with its weights: float32 on the CPU, in eval mode, without gradients; of an ONNX package
    a module around its session (models/onnx_network.py).

    The golden sample is replayed, which takes milliseconds; whoever moves the network to another device or precision
    may `replay` it there once more.

    Raises:
        CardError: the architecture is unknown, or its parameters are not those of the weights.
        ModelError: the weights cannot be parsed, or the golden sample does not come out.
    """
    card = package.card
    if card.architecture == ONNX:
        return _open_onnx(package)
    _check_size(package)
    network = construct(card.architecture, card.arguments)
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


def _check_size(package: Package) -> None:
    """Before memory is taken for it: what a card asks for must be about what the weights hold."""
    card = package.card
    # An architecture may count up to its arguments before it makes anything.
    most = max((value for value in card.arguments.values() if isinstance(value, int)), default=0)
    try:
        if most > _MOST_ARGUMENT:
            raise OverflowError(f"{most} is more than {_MOST_ARGUMENT}")
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
