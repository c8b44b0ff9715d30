"""The golden sample: an input and its output, kept in the package and replayed wherever its network is loaded.

It shows that this machine, device and version compute what the package's author saw.
"""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from encdec_batch.errors import ModelError
from encdec_batch.models.forward import forward, placement
from encdec_batch.models.package import Package

_SLACK = {torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}
"""Share of the largest golden value by which a replay may differ: the sample is recorded in float32 on a CPU, another
device or precision rounds otherwise. Wrong weights or a broken kernel are off by far more."""


def record(network: nn.Module, image_CHW: Tensor) -> bytes:
    """The golden file of a float32 network for one normalised image, as safetensors bytes."""
    output_CHW = forward(network, image_CHW[None])[0]
    return save({"input": image_CHW.contiguous(), "output": output_CHW.contiguous()})


def keeps(golden: bytes, network: nn.Module) -> bool:
    """Whether the network, where it is and in its precision, gives its golden output up to rounding.

    Not all do: where pooling remembers which pixel was the largest, one that is rounded may put a value elsewhere.
    """
    difference, allowed = _compared(golden, network)
    return difference <= allowed


def replay(package: Package, network: nn.Module) -> float:
    """Run the golden input through a network, where it is and in its precision.

    Returns:
        The largest difference from the golden output.

    Raises:
        ModelError: the difference is beyond rounding, or the sample cannot be used.
    """
    try:
        difference, allowed = _compared(package.golden, network)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{package.uri}: the golden sample cannot be replayed: {error}", hint="make the package anew"
        ) from error
    device, dtype = placement(network)
    if not difference <= allowed:  # NaN is refused too
        raise ModelError(
            f"{package.uri}: the network does not give its golden output: off by {difference:.3g} "
            f"({device.type}, {dtype}), allowed is {allowed:.3g}",
            hint="weights, code or device differ from what was published; try --set compute.device=cpu",
            uri=package.uri,
        )
    return difference


def _compared(golden: bytes, network: nn.Module) -> tuple[float, float]:
    """The largest difference from the golden output, and what rounding may come to."""
    sample = load(golden)
    image_CHW, wanted_CHW = sample["input"], sample["output"]
    found_CHW = forward(network, image_CHW[None])[0]
    _, dtype = placement(network)
    return float((found_CHW - wanted_CHW).abs().max()), _SLACK[dtype] * float(wanted_CHW.abs().max())
