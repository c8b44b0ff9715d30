"""A block's pixels with all their context, the padding beyond the scene's border included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from encdec_batch.grid import Block, Grid, Padding
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRule:
    """What the card says of pixels before the network sees them."""

    padding: Padding
    nodata: Literal["any", "all"]
    """A pixel is invalid where any band is, or where all are."""
    nan_is_nodata: bool


def read_block(reader: Reader, grid: Grid, block: Block, *, bands: Sequence[int], rule: ReadRule) -> Patch:
    """The patch that covers `grid.padded_window(block)`.

    Padding is an index map on the scene: each pixel beyond the border repeats one inside it, with its validity.

    Raises:
        SceneError: the pixels cannot be read, or are not what the card takes.
    """
    source = grid.source_window(block, rule.padding)
    patch = reader.read(source, bands, rule=rule.nodata, nan_is_nodata=rule.nan_is_nodata)
    return pad(patch, grid, block, rule.padding)


def pad(patch: Patch, grid: Grid, block: Block, padding: Padding) -> Patch:
    """The patch of a block's source window, continued to its padded window."""
    window, source = grid.padded_window(block), grid.source_window(block, padding)
    inside = window.shift(-grid.rows.lead, -grid.cols.lead)
    if inside == source:
        return patch
    rows = grid.rows.sources(window.row_off, window.row_stop, padding) - source.row_off
    cols = grid.cols.sources(window.col_off, window.col_stop, padding) - source.col_off
    return Patch(pixels=patch.pixels[:, rows[:, None], cols], valid_mask=patch.valid_mask[rows[:, None], cols])
