"""What a part must hold: which products, which pixels of which scene, which levels."""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.errors import WindowError
from encdec_batch.plan.product import Product
from encdec_batch.window import Window
from encdec_batch.write.codec import Codec
from encdec_batch.write.overview import TILE, overview_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLayout:
    """The place of one block in its scene's files; pixels are those of the output."""

    products: tuple[Product, ...]
    out_window: Window
    scene_shape: tuple[int, int]
    """(height, width) of the output."""
    levels: int
    """L: how many overviews a block makes by itself, where the scene has as many."""
    codec: Codec
    cells: bool
    """Whether the class mask of each core goes along as a PNG, for cells.parquet."""

    def __post_init__(self) -> None:
        step = TILE << self.own_levels
        window, (height, width) = self.out_window, self.scene_shape
        if window.row_off % step or window.col_off % step:
            raise WindowError(f"{window} does not begin at a multiple of {step} px: its tiles would have two owners")
        for stop, side in ((window.row_stop, height), (window.col_stop, width)):
            if stop > side or (stop < side and stop % step):
                raise WindowError(
                    f"{window} ends neither at a multiple of {step} px nor at the scene's edge {height} x {width}"
                )

    @property
    def own_levels(self) -> int:
        """Overviews whose tiles the block owns: L, or fewer where the scene has fewer."""
        return min(self.levels, len(overview_shapes(*self.scene_shape)) - 1)

    @property
    def passes_reduction(self) -> bool:
        """Whether the scene has levels above L, made at commit from level L + 1 of each block."""
        return len(overview_shapes(*self.scene_shape)) - 1 > self.levels
