"""What an ONNX network holds in memory: the values of every node's outputs, until the last node that takes them.

The runtime's own way of holding them is counted too: channels are filled up to a multiple of 16 for its kernels, and
its arena grows by powers of two, so that it holds up to twice what is alive (measured on U-Nets of width 8 to 32 and
tiles of 512 to 1024 px: 0.6 to 1.98 of what is counted without that factor).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto, ValueInfoProto

from encdec_batch.grid import round_up
from encdec_batch.models.card import GeometryCard, MemoryCard
from encdec_batch.models.onnx_checks import input_name
from encdec_batch.models.onnx_network import open_session, run

_SIDE = 128
"""Of the tile that is tried; what a tile takes grows with its pixels."""
_CHANNELS, _ARENA = 16, 2.0


def measure_onnx_memory(model: ModelProto, num_bands: int, geometry: GeometryCard) -> MemoryCard:
    """Parameters, and the most values held at a time, counted in the order in which the nodes stand."""
    side = round_up(_SIDE + 2 * geometry.margin - geometry.size_offset, geometry.stride) + geometry.size_offset
    tile_NCHW = np.zeros((1, num_bands, side, side), np.float32)
    sizes = _sizes(model, tile_NCHW)
    parameters = sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer)
    most = _most_alive(model.graph, sizes, tile_NCHW.nbytes / 4)
    return MemoryCard(parameters=parameters, activations=_ARENA * most / side**2)


def _sizes(model: ModelProto, tile_NCHW: np.ndarray) -> Mapping[str, float]:
    """Size of every value that a node makes, in float32 values, by its name."""
    told = ModelProto.FromString(model.SerializeToString())
    named = {value.name for value in told.graph.output}
    made = [name for node in told.graph.node for name in node.output if name]
    told.graph.output.extend(ValueInfoProto(name=name) for name in made if name not in named)
    values = run(open_session(told, optimise=False), {input_name(model): tile_NCHW}, made)
    return {name: _held(value) for name, value in zip(made, values, strict=True)}


def _held(value: np.ndarray) -> float:
    """In float32 values."""
    if value.ndim != 4 or not value.size:
        return value.nbytes / 4
    channels = value.shape[1]
    return float(value.nbytes / 4 * round_up(channels, _CHANNELS) / channels)


def _most_alive(graph: GraphProto, sizes: Mapping[str, float], tile: float) -> float:
    last = {name: number for number, node in enumerate(graph.node) for name in node.input}
    kept = {value.name for value in graph.output}
    alive, most = {"": tile}, tile
    for number, node in enumerate(graph.node):
        alive |= {name: sizes[name] for name in node.output if name}
        most = max(most, sum(alive.values()))
        for name in (*node.input, *node.output):
            if name in alive and name not in kept and last.get(name, number) <= number and name:
                del alive[name]
    return most
