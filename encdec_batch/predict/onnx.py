"""ONNX networks on onnxruntime: CPU, one thread, float32."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from encdec_batch.models.onnx_network import OnnxNetwork
from encdec_batch.predict.resolve import onnx_name
from encdec_batch.window import Window


class OnnxEngine:
    """An engine around a session; the session holds the weights."""

    def __init__(self, network: OnnxNetwork) -> None:
        self.device, self.name, self.busy = "cpu", onnx_name(), threading.Lock()
        self._network = network

    @torch.inference_mode()
    def cores(self, tiles_NCHW: Tensor, keep: Sequence[Window]) -> list[Tensor]:
        y_NCHW = self._network(tiles_NCHW)
        return [y_NCHW[n, :, window.rows, window.cols] for n, window in enumerate(keep)]
