"""The workers that learn together, as far as they have to talk: sums over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor

_BUCKET_VALUES = 8 << 20
"""Gradients are summed in pieces of 32 MiB: one call for hundreds of small ones, and not a copy of all at once."""


class Team(Protocol):
    """Every member calls `sum` equally often, with tensors of equal shapes and types in equal order."""

    rank: int
    size: int

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each by the sum of all members' ones; all are of one type and on one device."""


class TeamOfOne:
    """A team of one."""

    rank, size = 0, 1

    def sum(self, tensors: Sequence[Tensor]) -> None:
        del tensors


class TorchTeam:
    """The processes of torch's default group: gloo on CPUs, NCCL on GPUs.

    Args:
        device: where this member's sums are made: NCCL knows no other memory than its GPU's.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size, self._device = dist.get_rank(), dist.get_world_size(), device

    def sum(self, tensors: Sequence[Tensor]) -> None:
        if self.size == 1:
            return
        bucket: list[Tensor] = []
        for tensor in tensors:
            if bucket and sum(one.numel() for one in bucket) + tensor.numel() > _BUCKET_VALUES:
                self._sum_flat(bucket)
                bucket = []
            bucket.append(tensor)
        self._sum_flat(bucket)

    def _sum_flat(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).to(self._device)
        dist.all_reduce(flat)
        parts = flat.split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
