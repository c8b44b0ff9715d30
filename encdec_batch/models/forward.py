"""A network as jobs run it: folded, on a device, in a precision, channels last; and one forward pass of it."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from encdec_batch.models.fold import fold_batch_norm

Precision = Literal["float32", "bfloat16", "float16"]
DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def make_ready(network: nn.Module, *, device: str, dtype: torch.dtype) -> nn.Module:
    """The network itself, changed in place to what engines run.

    What is measured of a network goes through here too: a tolerance of other arithmetic would forgive other errors.
    """
    if device.startswith("cuda"):
        _be_deterministic()
    # Folded in float32, before anything is rounded.
    ready = fold_batch_norm(network.eval()).to(device=device, dtype=dtype)
    # torch's stubs know only one overload of nn.Module.to
    return ready.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def prepare(network: nn.Module, *, device: str = "cpu", precision: Precision = "float32") -> nn.Module:
    """A copy of the network, ready for `forward` on this device in this precision."""
    return make_ready(copy.deepcopy(network), device=device, dtype=DTYPES[precision])


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


@contextmanager
def arithmetic_restored() -> Iterator[None]:
    """What engines set for the whole process is as before afterwards: not all that trains has a repeatable form."""
    deterministic = torch.are_deterministic_algorithms_enabled()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=deterministic)
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = benchmark


def _be_deterministic() -> None:
    """Same tiles, same bytes; on a CPU channels-last and one thread are enough for that."""
    # cuBLAS reads this when its first handle is made (CUDA toolkit documentation, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
