"""Overlapping tiles averaged with weights, for networks that no halo makes exact.

The weight of a pixel depends on its place in its tile alone, so that the sums at a pixel are the same in every block
that holds it; they are added up tile by tile, row by row.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from encdec_batch.grid import Block, Grid
from encdec_batch.window import Window


class Blender:
    """Weighted sums over one block, in output pixels."""

    def __init__(self, grid: Grid, block: Block, channels: int, weights: str, device: torch.device) -> None:
        self._block, self._k = block, grid.geometry.scale
        lost = 2 * grid.geometry.margin
        height, width = (side - lost for side in grid.tile_shape)
        self.answered = (height * self._k, width * self._k)
        """Height and width of a tile's output."""
        self._weight_HW = _profile(self.answered[0], weights)[:, None] * _profile(self.answered[1], weights)[None, :]
        self._weight_HW = self._weight_HW.to(device)
        window = block.window.scale(self._k)
        self._sum_CHW = torch.zeros((channels, window.height, window.width), device=device)
        self._total_HW = torch.zeros((window.height, window.width), device=device)

    def origins(self) -> Iterator[tuple[int, int]]:
        """Row and column of each tile that touches the block."""
        for row in self._block.rows.tiles:
            for col in self._block.cols.tiles:
                yield row, col

    def add(self, origin: tuple[int, int], logits_CHW: Tensor) -> None:
        """Adds one tile's output where it lies in the block."""
        whole = Window(origin[1] * self._k, origin[0] * self._k, self.answered[1], self.answered[0])
        window = self._block.window.scale(self._k)
        common = whole.intersection(window)
        here = common.shift(-window.row_off, -window.col_off)
        there = common.shift(-whole.row_off, -whole.col_off)
        weight_HW = self._weight_HW[there.rows, there.cols]
        self._sum_CHW[:, here.rows, here.cols] += logits_CHW[:, there.rows, there.cols] * weight_HW
        self._total_HW[here.rows, here.cols] += weight_HW

    def mean(self, core: Window) -> Tensor:
        """(channels, height, width) of a core given in scene pixels."""
        window = self._block.window
        inside = core.shift(-window.row_off, -window.col_off).scale(self._k)
        # Pixels that no tile answered for are nodata, and never looked at.
        total_HW = self._total_HW[inside.rows, inside.cols].clamp_min(torch.finfo(torch.float32).tiny)
        return self._sum_CHW[:, inside.rows, inside.cols] / total_HW


def _profile(size: int, weights: str) -> Tensor:
    """Weights along one side; taken at pixel centres, so that not even a tile's outermost pixel weighs nothing."""
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    if weights == "gaussian":
        # A standard deviation of an eighth of the side, as nnU-Net has it (Isensee et al. 2021).
        return torch.exp(-0.5 * ((at - 0.5) * 8) ** 2).float()
    return torch.sin(torch.pi * at).square().float()
