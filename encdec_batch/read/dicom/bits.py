"""Stored values from the cells they lie in: which bits of a cell count (DICOM PS3.5, section 8.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BitField:
    """Of each cell, the bits that hold a value; the others may hold anything."""

    allocated: int
    """Of a cell: 8, 16 or 32."""
    stored: int
    high: int
    """The highest that counts, from 0."""
    signed: bool

    @property
    def cell(self) -> np.dtype[Any]:
        """Unsigned, in the machine's byte order."""
        return np.dtype(f"u{self.allocated // 8}")

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of stored values, in the machine's byte order."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def range(self) -> tuple[int, int]:
        """The least and the greatest stored value."""
        return (-(1 << self.stored - 1), (1 << self.stored - 1) - 1) if self.signed else (0, (1 << self.stored) - 1)

    def values(self, cells: NDArray[np.generic]) -> NDArray[np.generic]:
        """Stored values of cells, unused bits dropped and the sign extended; read-only where they are the cells."""
        found: NDArray[Any] = cells.astype(self.cell, copy=False)
        if self.stored == self.allocated:
            return found.view(self.dtype)
        if not self.signed and self.high == self.stored - 1:
            masked: NDArray[np.generic] = found & self.cell.type((1 << self.stored) - 1)
            return masked
        leading: NDArray[Any] = (found << self.cell.type(self.allocated - 1 - self.high)).view(self.dtype)
        leading >>= self.dtype.type(self.allocated - self.stored)
        return leading

    def value(self, cell: int) -> int:
        """The stored value of one cell."""
        return int(self.values(np.array([cell & (1 << self.allocated) - 1], self.cell))[0])

    def of_precision(self, precision: int) -> BitField:
        """Of what a codestream of so many bits decodes to: it has no unused bits, whatever the header says."""
        return BitField(allocated=self.allocated, stored=precision, high=precision - 1, signed=self.signed)
