"""Eager torch: the first engine, and the reference for others."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from encdec_batch.models.forward import make_ready
from encdec_batch.predict.resolve import eager_name
from encdec_batch.window import Window

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class EagerEngine:
    """Channels-last eager torch in one precision.

    Args:
        network: it is put into evaluation mode, its batch norms are folded, and it is moved and converted, in place.
        device: `cpu` or `cuda:n`.
        precision: float32, bfloat16 or float16; weights and activations alike.
        name: of engine and versions; None: that of a network of ours.
    """

    def __init__(self, network: nn.Module, *, device: str, precision: str, name: str | None = None) -> None:
        self.device, self.name, self.busy = device, name or eager_name(), threading.Lock()
        self._dtype = PRECISIONS[precision]
        self._network = make_ready(network, device=device, dtype=self._dtype)

    @torch.inference_mode()
    def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
        # Two steps: to convert and to turn at once takes twice as long.
        x_NCHW = tiles_NCHW.to(self._dtype)
        x_NCHW = torch.empty_like(x_NCHW, memory_format=torch.channels_last).copy_(x_NCHW)
        y_NCHW = self._network(x_NCHW)
        return [y_NCHW[n, :, window.rows, window.cols].float() for n, window in enumerate(keep)]
