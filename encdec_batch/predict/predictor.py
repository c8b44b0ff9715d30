"""One block through the network: normalise, tile, forward, crop or blend, decide; all on the device.

The patch goes to the device once and the products come back once. Shapes: N tiles of a batch, C channels,
H height, W width.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encdec_batch.grid import Block, Grid, Tile
from encdec_batch.models.card import Card
from encdec_batch.plan.product import Product
from encdec_batch.predict.blend import Blender
from encdec_batch.predict.engine import Engine
from encdec_batch.predict.head import STORED, Verdict, Wanted, make_head
from encdec_batch.predict.normalize import Affine, normalize
from encdec_batch.predict.prediction import CoreSummary, Prediction
from encdec_batch.predict.transfer import Transfer, make_transfer
from encdec_batch.read.patch import Patch
from encdec_batch.window import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockOnDevice:
    """A block's padded window, normalised, with what the grid says of it."""

    grid: Grid
    block: Block
    origin: Window
    """The block's padded window, in pixels of the padded scene."""
    x_CHW: Tensor
    valid_HW: Tensor


class Predictor:
    """A network, ready for blocks; made in the process that uses it.

    Thread-safe: one block computes at a time, while another thread's goes to the device or comes back from it.

    Args:
        card: of the network that the engine runs.
        engine: runs its network on its device.
        wanted: what to make of each block.
        batch: tiles per forward pass; halved for good when the device runs out of memory.
        weights: of overlapping tiles, for grids with `stitch: blend`.
    """

    def __init__(
        self,
        card: Card,
        engine: Engine,
        wanted: Wanted,
        *,
        batch: int,
        weights: str = "hann",
    ) -> None:
        self._card, self._engine, self._products = card, engine, wanted.products
        self._head = make_head(card, wanted)
        self._transfer: Transfer = make_transfer(engine.device)
        self._wanted_batch = self._batch = batch
        self._weights = weights

    @torch.inference_mode()
    def predict(self, patch: Patch, grid: Grid, block: Block, affine: Affine) -> Prediction:
        """The products of one block.

        Args:
            patch: covers `grid.padded_window(block)`, padding included, in stored values.
            grid: of the scene.
            block: one of the grid's.
            affine: the card's normalisation of this scene's stored values.

        Raises:
            torch.OutOfMemoryError: not even one tile fits the device.
        """
        pixels_CHW, valid_HW = self._transfer.upload(patch)
        with self._engine.busy:
            work = BlockOnDevice(
                grid=grid,
                block=block,
                origin=grid.padded_window(block),
                x_CHW=normalize(pixels_CHW, valid_HW, affine, self._card.nodata.fill),
                valid_HW=valid_HW,
            )
            canvas = self._painted(work)
            notes = () if self._batch == self._wanted_batch else (f"batch halved to {self._batch}: device memory",)
        return Prediction(rasters=canvas.download(self._transfer), cores=tuple(canvas.cores), notes=notes)

    def _painted(self, work: BlockOnDevice) -> _Canvas:
        while True:
            canvas = _Canvas(work, self._products, self._head.num_classes)
            try:
                (self._blend if work.grid.stitch == "blend" else self._crop)(work, canvas)
            except torch.OutOfMemoryError:
                if self._batch == 1:
                    raise
                self._batch //= 2
                log.warning("predict.batch_halved", extra={"batch": self._batch, "block": work.block.name})
            else:
                return canvas

    def _crop(self, work: BlockOnDevice, canvas: _Canvas) -> None:
        """Each core from its own tile; tiles without a valid core pixel cannot change a byte and are skipped."""
        cores = list(zip(work.block.tiles(), work.block.cores(), strict=True))
        busy = [(tile, core) for tile, (_, _, core) in cores if canvas.valid(core).any()]
        made: dict[Window, Verdict] = {}
        for first in range(0, len(busy), self._batch):
            chunk = busy[first : first + self._batch]
            tiles_NCHW = self._batch_of([(tile.row_origin, tile.col_origin) for tile, _ in chunk], work)
            keep = [_core_in_tile(tile, work.grid.geometry.scale) for tile, _ in chunk]
            for (_, core), logits_CHW in zip(chunk, self._engine.cores(tiles_NCHW, keep), strict=True):
                made[core] = self._head(logits_CHW, canvas.valid(core))
                canvas.paint(core, made[core])
        for _, (_, _, core) in cores:
            canvas.note(core, made.get(core))

    def _blend(self, work: BlockOnDevice, canvas: _Canvas) -> None:
        """Weighted mean of all tiles that touch the block, summed row by row: no matter which block asks."""
        blender = Blender(work.grid, work.block, self._head.num_channels, self._weights, work.x_CHW.device)
        origins = [o for o in blender.origins() if self._answers_valid_pixels(work, o)]
        keep = Window(0, 0, *reversed(blender.answered))
        for first in range(0, len(origins), self._batch):
            chunk = origins[first : first + self._batch]
            outputs = self._engine.cores(self._batch_of(chunk, work), [keep] * len(chunk))
            for origin, logits_CHW in zip(chunk, outputs, strict=True):
                blender.add(origin, logits_CHW)
        for _, _, core in work.block.cores():
            valid_HW = canvas.valid(core)
            verdict = self._head(blender.mean(core), valid_HW) if valid_HW.any() else None
            if verdict:
                canvas.paint(core, verdict)
            canvas.note(core, verdict)

    def _answers_valid_pixels(self, work: BlockOnDevice, origin: tuple[int, int]) -> bool:
        tile = _tile_window(origin, work)
        return bool(work.valid_HW[tile.rows, tile.cols].any())

    def _batch_of(self, origins: list[tuple[int, int]], work: BlockOnDevice) -> Tensor:
        """(N, C, H, W); a short batch is filled up, so that the network always sees one shape."""
        windows = [_tile_window(origin, work) for origin in origins]
        windows += [windows[-1]] * (self._batch - len(windows))
        return torch.stack([work.x_CHW[:, window.rows, window.cols] for window in windows])


class _Canvas:
    """The products of a block while its cores are painted; nodata wherever none was."""

    def __init__(self, work: BlockOnDevice, products: tuple[Product, ...], num_classes: int) -> None:
        self._k = work.grid.geometry.scale
        self._window, self._products, self._num_classes = work.block.window, products, num_classes
        device = work.x_CHW.device
        lead = work.grid.rows.lead
        inside = self._window.shift(lead - work.origin.row_off, lead - work.origin.col_off)
        valid_HW = work.valid_HW[inside.rows, inside.cols]
        self._valid_HW = valid_HW.repeat_interleave(self._k, 0).repeat_interleave(self._k, 1)
        self._rasters = {
            p.name: torch.full(
                (p.num_bands, *self._valid_HW.shape), p.nodata or 0, dtype=STORED[p.dtype], device=device
            )
            for p in products
        }
        self.cores: list[CoreSummary] = []

    def _inside(self, core: Window) -> Window:
        """A core (scene pixels) in output pixels of the block."""
        return core.shift(-self._window.row_off, -self._window.col_off).scale(self._k)

    def valid(self, core: Window) -> Tensor:
        inside = self._inside(core)
        return self._valid_HW[inside.rows, inside.cols]

    def paint(self, core: Window, verdict: Verdict) -> None:
        inside = self._inside(core)
        for name, values in verdict.rasters.items():
            self._rasters[name][:, inside.rows, inside.cols] = values

    def note(self, core: Window, verdict: Verdict | None) -> None:
        valid_HW = self.valid(core)
        num_valid = int(valid_HW.sum())
        counts = verdict.class_counts if verdict else (0,) * self._num_classes
        mean = verdict.probability_sum / num_valid if verdict and num_valid else nan
        self.cores.append(
            CoreSummary(
                window=core.scale(self._k),
                class_counts=counts,
                mean_probability=mean,
                valid_fraction=num_valid / valid_HW.numel(),
            )
        )

    def download(self, transfer: Transfer) -> dict[str, NDArray[np.generic]]:
        arrays = transfer.download(self._rasters)
        return {p.name: arrays[p.name].astype(p.dtype, copy=False) for p in self._products}


def _core_in_tile(tile: Tile, scale: int) -> Window:
    """The core in output pixels of what its tile answers for (which begins at the scene pixel `origin`)."""
    return tile.core.shift(-tile.row_origin, -tile.col_origin).scale(scale)


def _tile_window(origin: tuple[int, int], work: BlockOnDevice) -> Window:
    """A tile in pixels of the block's padded window."""
    height, width = work.grid.tile_shape
    return Window(origin[1] - work.origin.col_off, origin[0] - work.origin.row_off, width, height)
