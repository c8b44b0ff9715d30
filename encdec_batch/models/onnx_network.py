"""An ONNX network on onnxruntime, as a module: measured, replayed and run like any other. One thread, one CPU.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

from typing import Any, Self

import onnxruntime as ort
import torch
from onnx import ModelProto
from torch import Tensor, nn

from encdec_batch.errors import ModelError
from encdec_batch.models.card import ONNX_NAME
from encdec_batch.models.onnx_checks import input_name, parse_onnx
from encdec_batch.models.package import Package


class OnnxNetwork(nn.Module):
    """A session of onnxruntime in float32. It has no parameters, so moving or converting it does nothing.

    Args:
        model: checked, all of its weights in it.

    Raises:
        ModelError: the runtime does not take it.
        RuntimeError: (forward) the network does not take this image.
        MemoryError: (forward) there is no memory for it.
    """

    def __init__(self, model: ModelProto) -> None:
        super().__init__()
        self._session = open_session(model)
        self._input = input_name(model)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The output, in the type of what goes in; computed in float32."""
        image_NCHW = x_NCHW.detach().to("cpu", torch.float32).contiguous().numpy()
        (out_NCHW,) = run(self._session, {self._input: image_NCHW})
        return torch.from_numpy(out_NCHW).to(x_NCHW.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # It cannot be changed, and a session cannot be copied.
        return self


def open_onnx(package: Package) -> OnnxNetwork:
    """The network of an ONNX package; nothing but the package's own bytes is read.

    Raises:
        ModelError: it holds something that is not let in, or the runtime does not take it.
        CardError: it takes another number of bands than the card says.
    """
    where = f"{package.uri}/{ONNX_NAME}"
    return OnnxNetwork(parse_onnx(package.weights, package.others, num_bands=package.card.num_bands, where=where))


def open_session(model: ModelProto, *, optimise: bool = True) -> ort.InferenceSession:
    """A session that computes the same bytes each time: one thread, one operator after the other.

    Raises:
        ModelError: the runtime does not take the model.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # What is wrong comes back as an error; it would be said on the terminal as well.
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common but this
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"onnxruntime does not take this network: {said}", hint="export it anew") from error


def run(session: ort.InferenceSession, inputs: dict[str, Any], outputs: list[str] | None = None) -> list[Any]:
    """What comes out; None: of every output.

    Raises:
        RuntimeError: the network does not take this input.
        MemoryError: there is no memory for it.
    """
    try:
        found: list[Any] = session.run(outputs, inputs)
    except Exception as error:  # its errors have no class in common but this
        said = " ".join(str(error).split())[:300]
        if "bad_alloc" in said or "Failed to allocate" in said:
            raise MemoryError(said) from error
        raise RuntimeError(said) from error
    return found
