"""Cores, tiles and blocks of a scene: pure arithmetic, no I/O, no torch.

A scene is padded at its bottom and right until its sides are sizes the network takes (a network without
padding also gets its margin, mirrored, on every side). *The reference result is one plain pass over this padded
scene.* The lattice below cuts that pass into tiles without changing it: every pixel that a core's
result depends on lies in the core's tile, and tile origins are multiples of the network's stride.

At the scene's border a tile moves inward instead of being padded, so that the network's own padding falls
where it falls in the reference pass, and all tiles of a scene have one shape.

Coordinates: `start`, `stop` of cores and blocks are scene pixels; `origin` of a tile is a pixel of the padded
scene, which begins `lead` pixels before the scene. As the network takes its margin off on both sides,
a tile of side T at `origin` answers for the scene pixels [origin, origin + T - 2 * margin).

Source: Ronneberger et al. 2015 (overlap-tile); Majurski and Bajcsy, NIST J. Res. 126, 2021 (halo and stride
conditions). The laws of the clamped lattice: tests/test_grid.py; torch proof: tests/predict/test_exactness.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import WindowError
from encdec_batch.window import Window

Stitch = Literal["crop", "blend"]
Padding = Literal["reflect", "edge"]


ONE_TILE = 1.25
"""A scene up to this many usual tiles long is one tile: two would cost more, nearly all of it halo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkGeometry:
    """What the grid must know of a network; all in input pixels, all measured (models/reach.py)."""

    reach: int
    """How far beyond a window with borders at multiples of `stride` a pixel can change its output."""
    stride: int = 1
    """The shift of the input under which the network is equivariant."""
    scale: int = 1
    """Output pixels per input pixel, along each axis."""
    margin: int = 0
    """Pixels that a network without padding takes off on each side."""
    size_offset: int = 0
    """Valid input sizes are `size_offset` modulo `stride`."""
    pad_multiple: int = 0
    """The padded scene is a multiple of this (plus the size offset); 0 stands for the stride."""

    def __post_init__(self) -> None:
        if self.stride < 1 or self.scale < 1 or self.reach < 0 or self.margin < 0:
            raise WindowError(f"no network has this geometry: {self}")
        if self.pad_multiple % self.stride:
            raise WindowError(f"pad_multiple {self.pad_multiple} is not a multiple of the stride {self.stride}")

    @property
    def halo(self) -> int:
        """Context around a core that makes tiling exact: the reach, rounded up to the stride."""
        return 0 if self.margin else round_up(self.reach, self.stride)

    def valid_size(self, at_least: int) -> int:
        """The least side that the network takes and that is not below `at_least`."""
        return round_up(at_least - self.size_offset, self.stride) + self.size_offset


@dataclass(frozen=True, slots=True)
class AxisCore:
    """One core along one axis, and where its tile begins."""

    start: int
    stop: int
    origin: int


@dataclass(frozen=True, slots=True)
class AxisBlock:
    """One block along one axis."""

    start: int
    stop: int
    cores: tuple[AxisCore, ...]
    """A partition of [start, stop)."""
    tiles: tuple[int, ...]
    """Origins of the tiles that the block is made of; with `crop` those of its cores, one each."""
    first_core: int
    """Number of the first core along the scene's axis."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The lattice along one axis of a scene."""

    size: int
    lead: int
    padded: int
    tile: int
    blocks: tuple[AxisBlock, ...]

    def sources(self, start: int, stop: int, padding: Padding) -> NDArray[np.int64]:
        """For the pixels [start, stop) of the padded scene, the scene pixel that each repeats."""
        at = np.arange(start - self.lead, stop - self.lead)
        if padding == "edge" or self.size == 1:
            return np.clip(at, 0, self.size - 1)
        # Repeated reflection without repeating the border pixel: a triangle wave of period 2 * (size - 1).
        period = 2 * (self.size - 1)
        at = np.mod(at, period)
        return np.minimum(at, period - at)


@dataclass(frozen=True, slots=True)
class Tile:
    """One forward pass: the core it answers for (crop) and where its input begins in the padded scene."""

    core: Window
    row_origin: int
    col_origin: int


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of cores: the unit of work, of retry and of resume."""

    row: int
    col: int
    rows: AxisBlock
    cols: AxisBlock
    label: str = ""
    """A name of its own, for what is no block of the lattice: a check window."""

    @property
    def name(self) -> str:
        return self.label or f"{self.row}-{self.col}"

    @property
    def window(self) -> Window:
        """The block in scene pixels."""
        return Window.from_bounds((self.rows.start, self.rows.stop), (self.cols.start, self.cols.stop))

    def cores(self) -> Iterator[tuple[int, int, Window]]:
        """Row number, column number and window (scene pixels) of each core, row by row."""
        for i, row in enumerate(self.rows.cores, self.rows.first_core):
            for j, col in enumerate(self.cols.cores, self.cols.first_core):
                yield i, j, Window.from_bounds((row.start, row.stop), (col.start, col.stop))

    def tiles(self) -> Iterator[Tile]:
        """The tiles of a `crop` lattice, row by row; one per core."""
        for row in self.rows.cores:
            for col in self.cols.cores:
                core = Window.from_bounds((row.start, row.stop), (col.start, col.stop))
                yield Tile(core, row.origin, col.origin)


@dataclass(frozen=True)
class Grid:
    """All blocks of one scene."""

    rows: Axis
    cols: Axis
    geometry: NetworkGeometry
    stitch: Stitch

    @cached_property
    def num_blocks(self) -> int:
        return len(self.rows.blocks) * len(self.cols.blocks)

    @property
    def num_tiles(self) -> int:
        """Forward passes over single tiles that the scene costs."""
        return sum(len(b.tiles) for b in self.rows.blocks) * sum(len(b.tiles) for b in self.cols.blocks)

    @property
    def tile_shape(self) -> tuple[int, int]:
        return self.rows.tile, self.cols.tile

    @property
    def output_shape(self) -> tuple[int, int]:
        """Height and width of what comes out, in output pixels."""
        return self.rows.size * self.geometry.scale, self.cols.size * self.geometry.scale

    def block(self, row: int, col: int) -> Block:
        return Block(row, col, self.rows.blocks[row], self.cols.blocks[col])

    def blocks(self) -> Iterator[Block]:
        """Row by row."""
        for row in range(len(self.rows.blocks)):
            for col in range(len(self.cols.blocks)):
                yield self.block(row, col)

    def padded_window(self, block: Block) -> Window:
        """The union of the block's tiles, in pixels of the padded scene."""
        rows, cols = block.rows.tiles, block.cols.tiles
        return Window.from_bounds((rows[0], rows[-1] + self.rows.tile), (cols[0], cols[-1] + self.cols.tile))

    def source_window(self, block: Block, padding: Padding) -> Window:
        """The scene pixels that the block reads, those that are repeated beyond the border included."""
        window = self.padded_window(block)
        rows = self.rows.sources(window.row_off, window.row_stop, padding)
        cols = self.cols.sources(window.col_off, window.col_stop, padding)
        return Window.from_bounds((int(rows.min()), int(rows.max()) + 1), (int(cols.min()), int(cols.max()) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How a scene is to be cut; sides in scene pixels."""

    core: int
    block: int
    halo: int | None = None
    """None: what the network's reach demands."""
    stitch: Stitch = "crop"


def make_grid(height: int, width: int, geometry: NetworkGeometry, tiling: Tiling) -> Grid:
    """The lattice of a scene of `height` x `width` pixels.

    Raises:
        WindowError: a side, core or block below one pixel.
    """
    if min(height, width, tiling.core, tiling.block) < 1:
        raise WindowError(f"no grid for a scene of {width} x {height} px with {tiling}")
    axis = _blend_axis if tiling.stitch == "blend" else _crop_axis
    return Grid(axis(height, geometry, tiling), axis(width, geometry, tiling), geometry, tiling.stitch)


def round_up(value: int, multiple: int) -> int:
    """The least multiple of `multiple` that is not below `value`."""
    return ceil(value / multiple) * multiple


def rounded_core(tiling: Tiling, stride: int) -> int:
    """The side of a core as it will be: a multiple of the stride, at most the block's."""
    return min(round_up(tiling.core, stride), tiling.block)


def largest_tile(geometry: NetworkGeometry, tiling: Tiling) -> int:
    """The side of the largest tile that a scene of any size is given."""
    long = make_grid(3 * tiling.block, 3 * tiling.block, geometry, tiling)
    one = int(ONE_TILE * (rounded_core(tiling, geometry.stride) + 2 * _context(geometry, tiling)))
    return max(*long.tile_shape, one)


def _padded(size: int, geometry: NetworkGeometry) -> int:
    """The side of the padded scene: one that the network takes."""
    multiple = geometry.pad_multiple or geometry.stride
    full = size + 2 * geometry.margin - geometry.size_offset
    return round_up(full, multiple) + geometry.size_offset


def _context(geometry: NetworkGeometry, tiling: Tiling) -> int:
    """Pixels of a tile beyond its core, on each side: the halo, or the margin of a network without padding."""
    if geometry.margin:
        return geometry.margin
    return geometry.halo if tiling.halo is None else round_up(tiling.halo, geometry.stride)


def _cut(size: int, block: int) -> list[tuple[int, int]]:
    """Blocks along an axis; a last one shorter than a quarter joins the one before it."""
    edges = [*range(0, size, block), size]
    if len(edges) > 2 and 4 * (edges[-1] - edges[-2]) < block:
        del edges[-2]
    return list(pairwise(edges))


def _crop_axis(size: int, geometry: NetworkGeometry, tiling: Tiling) -> Axis:
    stride, lead = geometry.stride, geometry.margin
    padded, context = _padded(size, geometry), _context(geometry, tiling)
    core = rounded_core(tiling, stride)
    blocks = _cut(size, tiling.block)
    if len(blocks) == 1 and padded <= ONE_TILE * (core + 2 * context):
        whole = AxisBlock(0, size, (AxisCore(0, size, 0),), (0,), 0)
        return Axis(size, lead, padded, padded, (whole,))
    counts = [ceil((stop - start) / core) for start, stop in blocks]
    steps = [round_up(ceil((stop - start) / n), stride) for (start, stop), n in zip(blocks, counts, strict=True)]
    # Where blocks do not begin at multiples of the stride, a tile begins up to a stride before its halo.
    slack = stride if tiling.block % stride else 0
    tile = min(geometry.valid_size(max(steps) + 2 * context + slack), padded)
    made: list[AxisBlock] = []
    first = 0
    for (start, stop), step in zip(blocks, steps, strict=True):
        cores = _merged(
            AxisCore(a, min(a + step, stop), _origin(a, padded - tile, geometry, context))
            for a in range(start, stop, step)
        )
        made.append(AxisBlock(start, stop, cores, tuple(c.origin for c in cores), first))
        first += len(cores)
    return Axis(size, lead, padded, tile, tuple(made))


def _origin(start: int, last: int, geometry: NetworkGeometry, context: int) -> int:
    """Where the tile of the core at `start` begins: its context before it, clamped to the padded scene."""
    wanted = start if geometry.margin else start - context
    return max(0, min(wanted, last)) // geometry.stride * geometry.stride


def _merged(cores: Iterator[AxisCore]) -> tuple[AxisCore, ...]:
    """Two cores of a block whose tiles were clamped to the same place are one core."""
    merged: list[AxisCore] = []
    for core in cores:
        joins = merged and merged[-1].origin == core.origin
        merged.append(AxisCore(merged.pop().start, core.stop, core.origin) if joins else core)
    return tuple(merged)


def _blend_axis(size: int, geometry: NetworkGeometry, tiling: Tiling) -> Axis:
    """Tiles at a fixed step from the scene's origin, the last one clamped; blocks share the tiles at their borders."""
    stride = geometry.stride
    padded, context = _padded(size, geometry), _context(geometry, tiling)
    step = round_up(tiling.core, stride)
    overlap = 0 if geometry.margin else 2 * context
    tile = min(geometry.valid_size(step + overlap + 2 * geometry.margin), padded)
    answered = tile - 2 * geometry.margin
    origins = [*range(0, max(padded - tile, 0), step), padded - tile]
    made: list[AxisBlock] = []
    first = 0
    for start, stop in _cut(size, tiling.block):
        touching = tuple(o for o in origins if o < stop and o + answered > start)
        edges = [start, *range((start // step + 1) * step, stop, step), stop]
        cores = tuple(AxisCore(a, z, -1) for a, z in pairwise(edges))
        made.append(AxisBlock(start, stop, cores, touching, first))
        first += len(cores)
    return Axis(size, geometry.margin, padded, tile, tuple(made))
