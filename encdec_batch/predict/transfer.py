"""Pixels to the device and products back: a no-op on a CPU, pinned memory and a copy stream on CUDA."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encdec_batch.read.patch import Patch


class Transfer(Protocol):
    """Moves arrays between the host and one device; the caller sees finished tensors and arrays."""

    def upload(self, patch: Patch) -> tuple[Tensor, Tensor]:
        """Pixels (C, H, W) in the stored dtype and the valid mask (H, W), on the device."""
        ...

    def download(self, rasters: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
        """The rasters in host memory, as arrays of their own."""
        ...


def make_transfer(device: str) -> Transfer:
    return CudaTransfer(device) if device.startswith("cuda") else CpuTransfer()


class CpuTransfer:
    """The device's memory is the host's."""

    def upload(self, patch: Patch) -> tuple[Tensor, Tensor]:
        return _view(patch.pixels), _view(patch.valid_mask)

    def download(self, rasters: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
        return {name: raster.numpy() for name, raster in rasters.items()}


class CudaTransfer:
    """Copies run on streams of their own, one each way, from and to page-locked memory.

    Double buffering: the predictor lets a second thread upload its block and download its products while the first one
    computes. Uploaded tensors are used on the current stream, which waits for them.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._up, self._down = torch.cuda.Stream(self._device), torch.cuda.Stream(self._device)

    def upload(self, patch: Patch) -> tuple[Tensor, Tensor]:
        pinned = [_view(array).pin_memory() for array in (patch.pixels, patch.valid_mask)]
        with torch.cuda.stream(self._up):
            pixels, valid = (host.to(self._device, non_blocking=True) for host in pinned)
        current = torch.cuda.current_stream(self._device)
        current.wait_stream(self._up)
        for tensor in (pixels, valid):
            # The allocator must not hand this memory out again before the current stream is through with it.
            tensor.record_stream(current)
        return pixels, valid

    def download(self, rasters: Mapping[str, Tensor]) -> dict[str, NDArray[np.generic]]:
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            hosts = {
                name: torch.empty(raster.shape, dtype=raster.dtype, pin_memory=True) for name, raster in rasters.items()
            }
            for name, raster in rasters.items():
                hosts[name].copy_(raster, non_blocking=True)
                raster.record_stream(self._down)
        self._down.synchronize()
        # Page-locked memory is scarce: what leaves the predictor is ordinary memory.
        return {name: host.numpy().copy() for name, host in hosts.items()}


def _view(array: NDArray[np.generic]) -> Tensor:
    with warnings.catch_warnings():
        # Ray's arrays are read-only views of its store; nothing here writes into them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))
