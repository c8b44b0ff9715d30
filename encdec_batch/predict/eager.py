"""Eager torch: the first engine, and the reference for others."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encdec_batch.models.fold import fold_batch_norm
from encdec_batch.predict.resolve import eager_name
from encdec_batch.window import Window

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class EagerEngine:
    """Channels-last eager torch in one precision.

    Args:
        network: it is put into evaluation mode, its batch norms are folded, and it is moved and converted, in place.
        device: `cpu` or `cuda:n`.
        precision: float32, bfloat16 or float16; weights and activations alike.
    """

    def __init__(self, network: nn.Module, *, device: str, precision: str) -> None:
        if device.startswith("cuda"):
            _be_deterministic()
        self.device, self.name, self.busy = device, eager_name(), threading.Lock()
        self._dtype = PRECISIONS[precision]
        self._network = fold_batch_norm(network.eval()).to(device, self._dtype)
        # torch's stubs know only one overload of nn.Module.to
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
        x_NCHW = tiles_NCHW.to(self._dtype, memory_format=torch.channels_last)
        y_NCHW = self._network(x_NCHW)
        return [y_NCHW[n, :, window.rows, window.cols].float() for n, window in enumerate(keep)]


def _be_deterministic() -> None:
    """Same tiles, same bytes; on a CPU channels-last and one thread are enough for that."""
    # cuBLAS reads this when its first handle is made (CUDA toolkit documentation, "Results reproducibility").
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
