"""From an ONNX file to a package: checked, measured as any other network, with a golden sample, and loaded back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from onnx import ModelProto, StringStringEntryProto, TensorProto, inliner
from torch import Tensor

from encdec_batch.errors import CardError, ModelError
from encdec_batch.models.card import GOLDEN_NAME, ONNX_NAME, Declared, GeometryCard
from encdec_batch.models.forward import forward
from encdec_batch.models.given import read_file
from encdec_batch.models.golden import record
from encdec_batch.models.network import build_network
from encdec_batch.models.onnx_checks import MAX_BYTES, check_graph, decode, fill_external, parse_onnx, tensors
from encdec_batch.models.onnx_memory import measure_onnx_memory
from encdec_batch.models.onnx_network import OnnxNetwork
from encdec_batch.models.package import Measured, Package, load_package, write_package
from encdec_batch.models.reach import FLOAT32_ROUNDING, measure_geometry
from encdec_batch.models.tolerance import measure_tolerance
from encdec_batch.store.open import open_store
from encdec_batch.store.secrets import Options

DATA_NAME = "model.onnx.data"
"""Of a package, where the source kept its weights apart."""
_ALIGNED = 64
_GOLDEN_CORE = 48
_SMALL_TENSOR = 1024
"""Bytes; what is smaller stays in the graph, which the runtime's shape inference reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A network as its author has it: the message, and the files that it names."""

    data: bytes
    others: Mapping[str, bytes]
    where: str


def read_source(path: Path) -> Source:
    """An ONNX file and the files of its own folder that hold its weights.

    Raises:
        SpecError: it cannot be read.
        ModelError: it is none, or names a file outside of its folder.
    """
    data, where = read_file(path, MAX_BYTES), str(path)
    others: dict[str, bytes] = {}
    for tensor in tensors(decode(data, where=where).graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            name = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            if name not in others:
                others[name] = read_file(_inside(path.parent, name, where), MAX_BYTES)
    return Source(data=data, others=others, where=where)


def import_onnx(source: Source, declared: Declared, uri: str, options: Options | None = None) -> Package:
    """Write an ONNX network as a package and load it back, golden sample and all.

    Its golden sample is noise: what it is for is to show that another machine computes the same.

    Args:
        source: the network.
        declared: what its author says of it; its architecture is `onnx`.
        uri: folder of the new package.
        options: of the store.

    Raises:
        ModelError: the network holds something that is not let in, or cannot be measured, or another package is there.
        CardError: network and card do not fit each other.
    """
    files = _files(source)
    model = parse_onnx(files[ONNX_NAME], files, num_bands=declared.num_bands, where=source.where)
    network = OnnxNetwork(model)
    geometry = measure_geometry(network, declared.num_bands, rounding=FLOAT32_ROUNDING)
    measured = Measured(
        geometry=geometry,
        tolerance={"cpu/float32": measure_tolerance(network, declared.num_bands, geometry)},
        memory=measure_onnx_memory(model, declared.num_bands, geometry),
    )
    image_CHW = _golden_image(declared.num_bands, geometry)
    _check_output(network, declared, image_CHW, source.where)
    files[GOLDEN_NAME] = record(network, image_CHW)
    write_package(open_store(uri, options), declared, measured, files)
    package = load_package(uri, options)
    build_network(package)
    return package


def _files(source: Source) -> dict[str, bytes]:
    """The files of the package but card and golden sample: as they were, as far as that is possible."""
    model = decode(source.data, where=source.where)
    if model.functions:
        model = inliner.inline_local_functions(model)
    elif not source.others:
        return {ONNX_NAME: source.data}
    # Before a byte of another file is copied.
    check_graph(model, where=source.where)
    blob = _gather(model, source)
    data = model.SerializeToString(deterministic=True)
    return {ONNX_NAME: data, DATA_NAME: blob} if blob else {ONNX_NAME: data}


def _gather(model: ModelProto, source: Source) -> bytes:
    """Puts weights of all files into the one that a package has for them, and small ones into the graph."""
    blob = bytearray()
    whole = ModelProto.FromString(model.SerializeToString())
    fill_external(whole, source.others, where=source.where)
    for tensor, filled in zip(tensors(model.graph), tensors(whole.graph), strict=True):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        tensor.CopyFrom(filled)
        if len(filled.raw_data) < _SMALL_TENSOR:
            continue
        blob.extend(bytes(-len(blob) % _ALIGNED))
        said = {"location": DATA_NAME, "offset": str(len(blob)), "length": str(len(filled.raw_data))}
        blob.extend(filled.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.extend(StringStringEntryProto(key=key, value=value) for key, value in said.items())
    return bytes(blob)


def _check_output(network: OnnxNetwork, declared: Declared, image_CHW: Tensor, where: str) -> None:
    """Channels as the card has them, and a batch of two is two images."""
    one_NCHW = forward(network, image_CHW[None])
    if one_NCHW.shape[1] != declared.output.num_channels:
        raise CardError(
            f"{where}: gives {one_NCHW.shape[1]} channels, the card's output has {declared.output.num_channels}",
            hint="correct `output` in the card",
        )
    try:
        two_NCHW = forward(network, torch.stack([image_CHW, image_CHW.flip(1)]))
    except RuntimeError as error:
        raise ModelError(
            f"{where}: takes no batch of two: {error}", hint="export it with a dynamic batch axis"
        ) from error
    close = FLOAT32_ROUNDING * float(one_NCHW.abs().max())
    if two_NCHW.shape[0] != 2 or not float((two_NCHW[:1] - one_NCHW).abs().max()) <= close:
        raise ModelError(
            f"{where}: the result for an image depends on the others of its batch",
            hint="export it in evaluation mode, with a dynamic batch axis",
        )


def _golden_image(num_bands: int, geometry: GeometryCard) -> Tensor:
    """Standard normal, as a normalised image about is."""
    s, offset = geometry.stride, geometry.size_offset
    side = -(-(_GOLDEN_CORE + 2 * geometry.margin - offset) // s) * s + offset
    values = np.random.default_rng(0).standard_normal((num_bands, side, side))
    return torch.from_numpy(values.astype(np.float32))


def _inside(folder: Path, name: str, where: str) -> Path:
    """A file of the folder itself or below it, not one that a link or `..` leads to."""
    try:
        path = (folder / name).resolve()
        if name and not Path(name).is_absolute() and path.is_relative_to(folder.resolve()):
            return path
    except (ValueError, OSError, RuntimeError):
        pass  # a NUL in it; links without end
    raise ModelError(
        f"{where}: its weights lie in {name[:120]!r}, which is not a file beside it",
        hint="put the files of a network into one folder; nothing outside of it is read",
    )
