"""ONNX files for tests: exported networks, graphs made by hand, and the card that goes with them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
import yaml
from models.made import declared
from onnx import ModelProto, TensorProto, helper
from torch import nn

from encdec_batch.models.card import Declared

OPSET = 20
ANY_SIZE = {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n", 2: "h", 3: "w"}}


def exported(
    network: nn.Module, bands: int = 2, side: int = 96, axes: dict[str, dict[int, str]] | None = None, batch: int = 1
) -> bytes:
    """The bytes of an ONNX file, by torch's own exporter."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter is deprecated; the other one takes no network of ours that looks at its image's size.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(batch, bands, side, side),),
            file,
            dynamo=False,
            opset_version=OPSET,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=ANY_SIZE if axes is None else axes,
        )
    return file.getvalue()


def onnx_declared(**changes: Any) -> Declared:
    return declared(**({"architecture": "onnx", "arguments": {}} | changes))


def write_card(path: Path, **changes: Any) -> Path:
    """card.yaml as an author writes it: without what follows."""
    said = onnx_declared().model_dump(mode="json") | changes
    for key in ("architecture", "arguments"):
        if key not in changes:
            del said[key]
    path.write_text(yaml.safe_dump(said))
    return path


def image(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph_of(
    *nodes: onnx.NodeProto,
    weights: list[TensorProto] = [],  # noqa: B006
    inputs: list[onnx.ValueInfoProto] | None = None,
    outputs: list[onnx.ValueInfoProto] | None = None,
    **model: Any,
) -> ModelProto:
    """A graph from x to y, of two bands and any size where nothing else is said."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        inputs or [image("x", ["n", 2, "h", "w"])],
        outputs or [image("y", ["n", 2, "h", "w"])],
        initializer=weights,
    )
    made = {"opset_imports": [helper.make_opsetid("", OPSET)], "ir_version": 10} | model
    return helper.make_model(graph, **made)


def relu() -> onnx.NodeProto:
    return helper.make_node("Relu", ["x"], ["y"])
