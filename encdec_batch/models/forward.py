"""One forward pass as jobs make it: on a device, in a precision, channels last."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def prepare(network: nn.Module, *, device: str = "cpu", precision: Precision = "float32") -> nn.Module:
    """A copy of the network, ready for `forward` on this device in this precision."""
    prepared = copy.deepcopy(network).eval().to(device=device, dtype=DTYPES[precision])
    return prepared.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def placement(network: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a network is and what it computes in; one without parameters is on the CPU in float32."""
    for parameter in network.parameters():
        return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32


def forward(network: nn.Module, image_NCHW: Tensor) -> Tensor:
    """The network's output in float32 on the CPU, for a float32 image."""
    device, dtype = placement(network)
    x_NCHW = image_NCHW.to(device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        out_NCHW: Tensor = network(x_NCHW)
    return out_NCHW.float().cpu()
