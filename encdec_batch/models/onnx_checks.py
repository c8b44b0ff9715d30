"""From the bytes of an ONNX file to a graph that may be run: everything else is refused, by name.

An ONNX file is data, but not harmless data: it can name other files to be read, operators of a library to be loaded,
and graphs that are chosen by what they compute. Here it may name neither: files only of its own package, whose digests
were compared, operators only of the list, one image in, one image out. The runtime is given bytes and opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from encdec_batch.errors import CardError, ModelError
from encdec_batch.models.onnx_operators import LEAST_OPSET, MOST_OPSET, OPERATORS

MAX_BYTES = (1 << 31) - (1 << 20)
"""Of a network with its weights: what protobuf can hold, and a little less."""
_STANDARD = ("", "ai.onnx")
_WEIGHTS = frozenset(
    {
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.INT32,
        TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL,
    }
)  # fmt: skip
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
_AXES = 'e.g. dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}} of torch.onnx.export, or its dynamic_shapes'


def parse_onnx(data: bytes, others: Mapping[str, bytes], *, num_bands: int, where: str) -> ModelProto:
    """The network in these bytes, all of its weights in it.

    Args:
        data: of the ONNX file.
        others: by name, the other files of its package, whose digests were compared.
        num_bands: of the card.
        where: names the file in errors.

    Raises:
        ModelError: it is none, or holds something that is not let in.
        CardError: it takes another number of bands.
    """
    model = decode(data, where=where)
    check_graph(model, where=where)
    check_ports(model, num_bands, where=where)
    fill_external(model, others, where=where)
    _check_weights(model, where)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise ModelError(f"{where}: is not a valid ONNX graph: {said}", hint="export it anew") from error
    return model


def decode(data: bytes, *, where: str) -> ModelProto:
    """The message in these bytes, unchecked.

    Raises:
        ModelError: it is none.
    """
    try:
        model: ModelProto = ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError(f"{where}: is not an ONNX file", hint="name a file that an ONNX exporter wrote") from error
    if not model.graph.node:
        raise ModelError(f"{where}: is not an ONNX file, or an empty one", hint="name a file of a network")
    return model


def check_graph(model: ModelProto, *, where: str) -> None:
    """Opset and operators, without a look at the weights.

    Raises:
        ModelError: it uses what is not let in; the message names it.
    """
    for opset in model.opset_import:
        if opset.domain not in _STANDARD:
            if any(node.domain == opset.domain for node in model.graph.node) or model.functions:
                raise ModelError(
                    f"{where}: uses operators of the domain {opset.domain!r}; libraries of operators are not loaded",
                    hint="export it with standard operators alone, before a runtime optimised it",
                )
        elif not LEAST_OPSET <= opset.version <= MOST_OPSET:
            raise ModelError(
                f"{where}: is of opset {opset.version}, taken are {LEAST_OPSET} to {MOST_OPSET}",
                hint="export it with opset_version=20, or convert it with onnx.version_converter",
            )
    if not any(opset.domain in _STANDARD for opset in model.opset_import):
        raise ModelError(f"{where}: does not say which opset it is of", hint="export it anew")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        what = "functions of its own" if model.functions else "training" if model.training_info else "sparse weights"
        raise ModelError(f"{where}: holds {what}", hint="inline them or export it anew, for inference")
    for node in model.graph.node:
        _check_node(node, where)


def fill_external(model: ModelProto, others: Mapping[str, bytes], *, where: str) -> None:
    """Puts weights that lie in other files into the model; `others` are all the files that there are.

    Raises:
        ModelError: a file that is not among them is named, or bytes beyond its end.
    """
    size = model.ByteSize()
    for tensor in tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        name = said.get("location", "")
        if name not in others:
            raise ModelError(
                f"{where}: the weights {tensor.name[:80]!r} lie in {name[:120]!r}, which is not a file of the package",
                hint="external data is read from the package's own folder alone",
            )
        blob = others[name]
        try:
            offset = int(said.get("offset") or 0)
            length = int(said["length"]) if said.get("length") else len(blob) - offset
        except ValueError:
            offset, length = -1, 0
        if not 0 <= offset <= offset + length <= len(blob):
            raise ModelError(f"{where}: {tensor.name[:80]!r} lies beyond the end of {name}", hint="copy all files anew")
        size += length
        if size > MAX_BYTES:
            raise ModelError(f"{where}: has more than {MAX_BYTES:,} bytes of weights", hint="take a narrower network")
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT
        tensor.raw_data = blob[offset : offset + length]


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor that is stored in a graph."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def check_ports(model: ModelProto, num_bands: int, *, where: str) -> None:
    """One image of this many bands in, one image out, of any size and batch.

    Raises:
        ModelError: it has other inputs or outputs, or a size that is fixed.
        CardError: it takes another number of bands.
    """
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    for kind, ports in (("input", inputs), ("output", list(model.graph.output))):
        if len(ports) != 1:
            names = ", ".join(port.name for port in ports[:5]) or "none"
            raise ModelError(
                f"{where}: has {len(ports)} {kind}s ({names}), wanted is one image",
                hint="cut it with onnx.utils.extract_model, or export a module with one of each",
            )
        _check_port(ports[0], kind, where)
    _check_dynamic(inputs[0], where)
    channels = inputs[0].type.tensor_type.shape.dim[1]
    if channels.dim_value != num_bands:
        found = channels.dim_value or "any number of"
        raise CardError(f"{where}: takes {found} channels, the card has {num_bands} bands", hint="correct one of them")


def input_name(model: ModelProto) -> str:
    """The image that goes in."""
    held = {tensor.name for tensor in model.graph.initializer}
    name: str = next(value.name for value in model.graph.input if value.name not in held)
    return name


def _check_node(node: NodeProto, where: str) -> None:
    if node.domain not in _STANDARD or node.op_type not in OPERATORS:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        raise ModelError(
            f"{where}: the operator {name[:80]} is not let in",
            hint="a network of encdec_batch/models/onnx_operators.py's list is; say if one is missing there",
        )
    for attribute in node.attribute:
        if attribute.ref_attr_name or attribute.type not in (
            AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.TENSOR,
            AttributeProto.FLOATS, AttributeProto.INTS, AttributeProto.STRINGS,
        ):  # fmt: skip
            raise ModelError(
                f"{where}: {node.op_type} has a {attribute.name[:40]!r} that is not let in", hint="no graphs"
            )
        if node.op_type == "BatchNormalization" and attribute.name == "training_mode" and attribute.i:
            raise ModelError(f"{where}: is in training mode", hint="call network.eval() before it is exported")


def _check_weights(model: ModelProto, where: str) -> None:
    for tensor in tensors(model.graph):
        if tensor.data_type not in _WEIGHTS:
            kind = (
                TensorProto.DataType.Name(tensor.data_type)
                if tensor.data_type in TensorProto.DataType.values()
                else "?"
            )
            raise ModelError(f"{where}: {tensor.name[:80]!r} is of type {kind}", hint="export it as float32")
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError(f"{where}: {tensor.name[:80]!r} cannot be read: {error}", hint="export it anew") from error
        if tensor.data_type in _FLOATS and np.isnan(values).any():
            raise ModelError(f"{where}: the weights hold NaN in {tensor.name[:80]!r}", hint="the training diverged")


def _check_port(port: ValueInfoProto, kind: str, where: str) -> None:
    tensor = port.type.tensor_type
    if not port.type.HasField("tensor_type") or tensor.elem_type != TensorProto.FLOAT:
        raise ModelError(f"{where}: the {kind} {port.name!r} is not float32", hint="export it as float32")
    if tensor.HasField("shape") and len(tensor.shape.dim) != 4:
        raise ModelError(
            f"{where}: the {kind} {port.name!r} has {len(tensor.shape.dim)} axes",
            hint="wanted is (batch, channels, height, width): wrap the network before it is exported",
        )
    if kind == "input" and not tensor.HasField("shape"):
        raise ModelError(
            f"{where}: the input {port.name!r} says nothing of its axes", hint=f"export it with them, {_AXES}"
        )


def _check_dynamic(port: ValueInfoProto, where: str) -> None:
    axes = port.type.tensor_type.shape.dim
    for number, name in ((0, "batch"), (2, "height"), (3, "width")):
        if axes[number].HasField("dim_value"):
            raise ModelError(
                f"{where}: its {name} is fixed at {axes[number].dim_value}, and tiles are of many sizes",
                hint=f"export it with dynamic axes, {_AXES}",
            )
