"""Which windows of a scene are computed once more, and on which tiles: what its certificate is made from.

A check window is 64 px of output in a tile of its own: another origin and another shape than the lattice has there. It
lies where a lattice goes wrong if it does: on corners and borders of blocks, on borders of cores, on the scene's edges.
Where exactly, the scene key decides: every run of the same work checks the same windows, and nobody can choose them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from encdec_batch.grid import Axis, AxisBlock, AxisCore, Block, Grid, Padding, Tiling, round_up
from encdec_batch.plan.draw import Draw
from encdec_batch.window import Window

Certify = Literal["all", "sample", "off"]
Place = Literal["block corner", "core border", "scene corner", "scene edge", "block border"]

CORE = 64
"""Side of a check window, input pixels; more where the stride wants it."""
LEAST, MOST = 4, 32
"""Windows of a scene that is checked; a fifth and each further one is for sixteen blocks more."""
BLOCKS_A_WINDOW = 16
SHARE = 0.02
"""Of a job's forward passes, in the mean: what certificates may cost."""
PLACES: tuple[Place, ...] = ("block corner", "core border", "scene corner", "scene edge", "block border")
"""In the order in which they get their windows."""
_PREFIX = "check-"
_DRAWS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The check windows of one scene."""

    windows: tuple[Window, ...] = ()
    """In scene pixels; their borders are multiples of the stride, or the scene's. None: the scene is not checked."""
    tile: tuple[int, int] = (0, 0)
    """Height and width of the tile of each."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the objects that they leave beside the parts."""
        return tuple(f"{_PREFIX}{number}" for number in range(len(self.windows)))

    @property
    def tile_pixels(self) -> int:
        """Of one forward pass."""
        return prod(self.tile)


NO_CHECKS = Checks()


def is_check_name(name: str) -> bool:
    """Whether an object beside parts is a check: names of blocks are two numbers."""
    return name.startswith(_PREFIX)


def choose_checks(grid: Grid, tiling: Tiling, key: str, certify: Certify, *, has_reach: bool = True) -> Checks:
    """The check windows of a scene; none where it is one tile, or too small and not drawn.

    Args:
        grid: of the scene.
        tiling: that it was made of.
        key: the scene key; it decides places, and whether a small scene is drawn.
        certify: `sample` holds certificates to 2 % of the forward passes, in the mean over keys; `all` checks every
            scene; `off` none.
        has_reach: False for a network of global reach, to which no context is enough.
    """
    if certify == "off" or grid.num_tiles == 1:
        return NO_CHECKS
    tile = _tile(grid, tiling, has_reach=has_reach)
    affordable = SHARE * grid.num_tiles * prod(grid.tile_shape) / prod(tile)
    # A lot of its own: the windows of a scene are the same for `sample` and for `all`.
    if certify == "sample" and Draw(f"certificate lot {key}").unit() * LEAST >= affordable:
        return NO_CHECKS
    wanted = min(LEAST + grid.num_blocks // BLOCKS_A_WINDOW, MOST)
    windows = _windows(grid, max(LEAST, min(wanted, int(affordable))), Draw(f"certificate {key}"))
    return Checks(windows=tuple(windows), tile=tile)


def check_grid(grid: Grid, checks: Checks, number: int) -> Grid:
    """A lattice of one tile, that of a check window; its only block is `check_block(...)`."""
    window = checks.windows[number]
    rows = _one_tile(grid.rows, (window.row_off, window.row_stop), checks.tile[0], grid.geometry.stride)
    cols = _one_tile(grid.cols, (window.col_off, window.col_stop), checks.tile[1], grid.geometry.stride)
    return Grid(rows, cols, grid.geometry, "crop")


def check_block(grid: Grid, checks: Checks, number: int) -> Block:
    """A check window as a block, named as its object."""
    made = check_grid(grid, checks, number)
    return Block(0, 0, made.rows.blocks[0], made.cols.blocks[0], label=checks.names[number])


def check_source(grid: Grid, checks: Checks, number: int, padding: Padding) -> Window:
    """The scene pixels that a check window reads."""
    return check_grid(grid, checks, number).source_window(check_block(grid, checks, number), padding)


def _one_tile(axis: Axis, span: tuple[int, int], tile: int, stride: int) -> Axis:
    # Not grid.py's own rule: a fault in that would be in both, and no certificate would show it.
    before = 0 if axis.lead else (tile - core_side(stride)) // 2
    origin = max(0, min(span[0] - before, axis.padded - tile))
    origin -= origin % stride
    block = AxisBlock(*span, cores=(AxisCore(*span, origin),), tiles=(origin,), first_core=0)
    return Axis(axis.size, axis.lead, axis.padded, tile, (block,))


def core_side(stride: int) -> int:
    """Side of a check window, so wide that a border in its middle lies inside it also when rounded to the stride."""
    return round_up(max(CORE, 2 * stride), stride)


def _tile(grid: Grid, tiling: Tiling, *, has_reach: bool) -> tuple[int, int]:
    """Height and width: the window and all its context, but another shape than the lattice's."""
    geometry, stride = grid.geometry, grid.geometry.stride
    core = core_side(stride)
    if geometry.margin:
        side = geometry.valid_size(core + 2 * geometry.margin)
    else:
        # No more context than the lattice's own tiles have: what a tile takes is in the plan's projection.
        room = (max(grid.tile_shape) - core) // 2 // stride * stride
        own = geometry.halo if tiling.halo is None else round_up(tiling.halo, stride)
        halo = max(room, own)
        side = core + 2 * (min(geometry.halo, halo) if has_reach else max(0, room))
    tile = min(side, grid.rows.padded), min(side, grid.cols.padded)
    if tile == grid.tile_shape:
        tile = min(side + stride, grid.rows.padded), min(side + stride, grid.cols.padded)
    return tile


def _windows(grid: Grid, wanted: int, draw: Draw) -> Iterator[Window]:
    """As many different ones as are wanted, or as are found."""
    seen: set[Window] = set()
    rows, cols = _Marks(grid.rows, grid.geometry.stride), _Marks(grid.cols, grid.geometry.stride)
    first = draw.below(len(PLACES))
    for number in range(first, first + wanted * _DRAWS):
        window = _window(rows, cols, PLACES[number % len(PLACES)], draw)
        if window not in seen:
            seen.add(window)
            yield window
        if len(seen) == wanted:
            return


def _window(rows: _Marks, cols: _Marks, place: Place, draw: Draw) -> Window:
    """A window on a place of this kind, or of the nearest kind that the scene has."""
    if place == "scene corner":
        return _at(rows, cols, draw.one_of(rows.edges), draw.one_of(cols.edges), draw)
    if place == "scene edge":
        return _on_one_axis(rows, cols, rows.edges, cols.edges, draw)
    if place == "block corner" and rows.blocks and cols.blocks:
        return _at(rows, cols, draw.one_of(rows.blocks), draw.one_of(cols.blocks), draw)
    if place != "core border" and (rows.blocks or cols.blocks):
        return _on_one_axis(rows, cols, rows.blocks, cols.blocks, draw)
    # The last one is for a scene so small that only its padding needs a second tile.
    borders = [(rows.cores, cols.cores), (rows.blocks, cols.blocks), (rows.edges, cols.edges)]
    return _on_one_axis(rows, cols, *next(pair for pair in borders if any(pair)), draw)


def _on_one_axis(rows: _Marks, cols: _Marks, on_rows: Sequence[int], on_cols: Sequence[int], draw: Draw) -> Window:
    """Across one of these borders, anywhere along it."""
    at = draw.below(len(on_rows) + len(on_cols))
    if at < len(on_rows):
        return _at(rows, cols, on_rows[at], None, draw)
    return _at(rows, cols, None, on_cols[at - len(on_rows)], draw)


def _at(rows: _Marks, cols: _Marks, row: int | None, col: int | None, draw: Draw) -> Window:
    return Window.from_bounds(rows.around(row, draw), cols.around(col, draw))


class _Marks:
    """Along one axis of a scene: where things meet, in pixels."""

    def __init__(self, axis: Axis, stride: int) -> None:
        self._size, self._stride, self._side = axis.size, stride, core_side(stride)
        self.edges = (0, axis.size)
        self.blocks = tuple(block.start for block in axis.blocks[1:])
        self.cores = tuple(core.start for block in axis.blocks for core in block.cores[1:])

    def around(self, mark: int | None, draw: Draw) -> tuple[int, int]:
        """Start and stop of a window with this in its middle, as far as the scene lets it; None: anywhere."""
        last = round_up(max(0, self._size - self._side), self._stride)
        if mark is None:
            start = draw.below(last // self._stride + 1) * self._stride
        else:
            start = max(0, min((mark - self._side // 2) // self._stride * self._stride, last))
        return start, min(start + self._side, self._size)
