"""Integer rectangles in pixels. Imports nothing but errors."""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.errors import WindowError


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of pixels, in rasterio's order; never empty."""

    col_off: int
    row_off: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise WindowError(f"a window of {self.width} x {self.height} px has no pixels")

    @classmethod
    def from_bounds(cls, rows: tuple[int, int], cols: tuple[int, int]) -> Window:
        """The window of half-open row and column ranges."""
        return cls(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])

    @property
    def row_stop(self) -> int:
        return self.row_off + self.height

    @property
    def col_stop(self) -> int:
        return self.col_off + self.width

    @property
    def rows(self) -> slice:
        return slice(self.row_off, self.row_stop)

    @property
    def cols(self) -> slice:
        return slice(self.col_off, self.col_stop)

    @property
    def num_pixels(self) -> int:
        return self.width * self.height

    def shift(self, rows: int, cols: int) -> Window:
        """The same rectangle, moved."""
        return Window(self.col_off + cols, self.row_off + rows, self.width, self.height)

    def scale(self, factor: int) -> Window:
        """The rectangle that these pixels cover when each becomes `factor` x `factor` pixels."""
        return Window(self.col_off * factor, self.row_off * factor, self.width * factor, self.height * factor)

    def contains(self, other: Window) -> bool:
        return (
            self.row_off <= other.row_off
            and self.col_off <= other.col_off
            and other.row_stop <= self.row_stop
            and other.col_stop <= self.col_stop
        )

    def intersection(self, other: Window) -> Window:
        """The common rectangle.

        Raises:
            WindowError: there is none.
        """
        rows = max(self.row_off, other.row_off), min(self.row_stop, other.row_stop)
        cols = max(self.col_off, other.col_off), min(self.col_stop, other.col_stop)
        if rows[0] >= rows[1] or cols[0] >= cols[1]:
            raise WindowError(f"{self} and {other} have no pixel in common")
        return Window.from_bounds(rows, cols)
