"""How large a block may be: what it takes in memory, all that is alive at a time counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from encdec_batch.errors import SpecError
from encdec_batch.grid import NetworkGeometry, Tiling, largest_tile
from encdec_batch.plan.product import Product

TILE = 512
"""Side of the tiles of every COG that is written, output pixels."""
MAX_LEVELS = 3
LARGEST = 1.25
"""A short last block joins the one before it: the largest is this many block sides long."""
FLOW_BYTES = 32 * 2**20
"""Input and output of a block. More would not be faster, only fewer and dearer to repeat after a death:
at this size a pass costs at most 1.3 times the scene's bytes, and the objects are 16 to 64 MB (DESIGN of parts)."""


ALLOCATOR = 1.5
"""Resident bytes for each byte of activations: freed blocks are kept, and some do not fit what is asked for next."""
NETWORK_COPIES = 3
"""Of the float32 weights: the package's bytes, the network built from them, and the one that computes."""
PROCESS_BYTES = 450 * 2**20
"""A worker with Ray, torch and GDAL before its first block: 390 MiB resident (docs/results.md), and some air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSide:
    """B and L."""

    side: int
    levels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """What pixels weigh on their way through a worker."""

    bands: int
    itemsize: int
    products: tuple[Product, ...]
    channels: int
    batch: int
    blended: bool
    activation_bytes: float
    """Of the network, for each pixel of a tile; 0 where they lie in a device's own memory."""

    def flow(self, side: int, scale: int) -> int:
        """Bytes of a block's input and output."""
        return side * side * (self.bands * self.itemsize + scale * scale * self._output_bytes)

    def block_bytes(self, geometry: NetworkGeometry, tiling: Tiling, tile: int | None = None) -> int:
        """Bytes alive at a time for the largest block: window, normalised, activations and logits of a batch, products,
        parts. With tiles of side `tile`; None: with the largest that any scene would be given.
        """
        side = int(LARGEST * tiling.block)
        tile = tile or largest_tile(geometry, tiling)
        window = (side + tile) ** 2
        out = (side * geometry.scale) ** 2
        stored = window * (self.bands * self.itemsize + 1)
        normalised = 2 * window * self.bands * 4
        logits = 4 * self.batch * self.channels * (tile * geometry.scale) ** 2
        activations = int(ALLOCATOR * self.activation_bytes * self.batch * tile**2)
        blended = out * 4 * (self.channels + 1) if self.blended else 0
        # On the device uint16 is held in 32 bits; the encoded copy is at worst as large as the product.
        products = out * sum(
            p.num_bands * max(np.dtype(p.dtype).itemsize, 4 if p.dtype == "uint16" else 1) for p in self.products
        )
        return stored + normalised + activations + logits + blended + 2 * products + out

    @property
    def _output_bytes(self) -> int:
        return sum(p.num_bands * np.dtype(p.dtype).itemsize for p in self.products)


@lru_cache(64)
def choose_block(
    burden: Burden, geometry: NetworkGeometry, tiling: Tiling, *, budget: float, wanted: int | None
) -> BlockSide:
    """B and L: the first L of 3, 2, 1, 0 for which a block fits, and the largest block of that L.

    A block's side in output pixels is a multiple of 512 * 2^L, so that each 512 px tile of the output and of its first
    L overview levels belongs to one block.

    Args:
        burden: of the job's pixels.
        geometry: of the network.
        tiling: its `block` is not looked at.
        budget: bytes, for everything a block takes.
        wanted: the user's own block side, or None.

    Raises:
        SpecError: not even the smallest block fits, or the wanted one does not.
    """
    sides = [wanted] if wanted else _sides(geometry.scale)
    for levels in range(MAX_LEVELS, -1, -1):
        fitting = [
            side
            for side in sides
            if side * geometry.scale % (TILE << levels) == 0
            and (wanted or side == sides[0] or burden.flow(side, geometry.scale) <= FLOW_BYTES)
            and burden.block_bytes(geometry, _with_block(tiling, side)) <= budget
        ]
        if fitting:
            return BlockSide(side=max(fitting), levels=levels)
    least = burden.block_bytes(geometry, _with_block(tiling, sides[0]))
    raise SpecError(
        f"a block of {sides[0]} px takes {least / 2**30:.2f} GiB, tiling.budget_gib is {budget / 2**30:.2f}",
        hint="raise tiling.budget_gib, or lower tiling.core or compute.batch",
    )


def _sides(scale: int) -> Sequence[int]:
    """Candidate block sides, ascending: the least is one 512 px tile of output, or 512 input pixels where the scale
    does not divide it.
    """
    least = TILE // scale if TILE % scale == 0 else TILE
    return [least * n for n in range(1, 33)]


def _with_block(tiling: Tiling, block: int) -> Tiling:
    return Tiling(core=tiling.core, block=block, halo=tiling.halo, stitch=tiling.stitch)
