"""What a network holds in memory: counted tensor by tensor while it runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from encdec_batch.grid import round_up
from encdec_batch.models.card import GeometryCard, MemoryCard
from encdec_batch.models.forward import forward, prepare

_SIDE = 256
"""Of the tile that is tried; what a tile takes grows with its pixels."""


def measure_memory(network: nn.Module, num_bands: int, geometry: GeometryCard) -> MemoryCard:
    """Parameters, and the most values alive at a time in one forward pass.

    Times the size of a value, that is the least memory that eager torch needs, whatever the allocator adds.
    """
    side = round_up(_SIDE + 2 * geometry.margin - geometry.size_offset, geometry.stride) + geometry.size_offset
    tile_NCHW = torch.zeros(1, num_bands, side, side)
    prepared = prepare(network)
    with _LiveValues() as live:
        forward(prepared, tile_NCHW)
    parameters = sum(value.numel() for value in network.state_dict().values())
    return MemoryCard(parameters=parameters, activations=live.most / side**2)


class _LiveValues(TorchDispatchMode):
    """Counts the values of every storage that an operation makes, until the storage is gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no annotation here
        self._seen: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self._now = 0.0
        self.most = 0.0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        known = {id(t.untyped_storage()) for t in tree_iter((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_iter(out):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in known:
                self._add(tensor)
        self.most = max(self.most, self._now)
        return out

    def _add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        self._seen.add(storage)
        # Whole numbers (indices of max-pooling) are as large beside bfloat16 as beside float32: they count as there.
        values = storage.nbytes() / (4 if tensor.is_floating_point() else 2)
        self._now += values
        weakref.finalize(storage, self._drop, values)

    def _drop(self, values: float) -> None:
        self._now -= values
