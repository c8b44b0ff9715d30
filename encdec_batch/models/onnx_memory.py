"""What an ONNX network holds in memory: the values of every node's outputs, until the last node that takes them."""

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


def measure_onnx_memory(model: ModelProto, num_bands: int, geometry: GeometryCard) -> MemoryCard:
    """Parameters, and the most values alive at a time, counted in the order in which the nodes stand.

    The runtime joins nodes, writes some outputs over their inputs, and packs others for its kernels: it needs less or a
    little more than that.
    """
    side = round_up(_SIDE + 2 * geometry.margin - geometry.size_offset, geometry.stride) + geometry.size_offset
    tile_NCHW = np.zeros((1, num_bands, side, side), np.float32)
    sizes = _sizes(model, tile_NCHW)
    parameters = sum(int(np.prod(tensor.dims, dtype=np.int64)) for tensor in model.graph.initializer)
    most = _most_alive(model.graph, sizes, tile_NCHW.nbytes / 4)
    return MemoryCard(parameters=parameters, activations=most / side**2)


def _sizes(model: ModelProto, tile_NCHW: np.ndarray) -> Mapping[str, float]:
    """Size of every value that a node makes, in float32 values, by its name."""
    told = ModelProto.FromString(model.SerializeToString())
    named = {value.name for value in told.graph.output}
    made = [name for node in told.graph.node for name in node.output if name]
    told.graph.output.extend(ValueInfoProto(name=name) for name in made if name not in named)
    values = run(open_session(told, optimise=False), {input_name(model): tile_NCHW}, made)
    return {name: value.nbytes / 4 for name, value in zip(made, values, strict=True)}


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
