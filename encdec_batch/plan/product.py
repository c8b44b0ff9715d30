"""What a model package makes of a scene: rasters, each with its dtype, nodata and palette."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One raster that is computed for every scene."""

    name: str
    """`mask` or `image`, and beside a mask `probability` and `entropy`; the file is `<name>.tif`."""
    kind: Literal["classes", "image"]
    """Decides how overviews are made: majority of ids, or mean."""
    dtype: str
    """numpy name: uint8, uint16 or float32."""
    band_names: tuple[str, ...]
    """One name per band of the raster."""
    nodata: float | None
    """The value that stands for "no data"; NaN for float32; None where no value can (alpha is never written)."""
    scale: float = 1.0
    """Of integers that stand for other values: stored * scale + offset."""
    offset: float = 0.0
    class_ids: tuple[int, ...] = ()
    class_names: tuple[str, ...] = ()
    class_colors: tuple[tuple[int, int, int], ...] = ()

    @property
    def num_bands(self) -> int:
        return len(self.band_names)


MARGIN = Product(name="margin", kind="image", dtype="float32", band_names=("margin",), nodata=nan)
"""Of a check window alone: by how much the first class was ahead of the second."""


def quantum_levels(dtype: str) -> int:
    """Steps between the least and the greatest stored value that is not nodata."""
    return {"uint8": 254, "uint16": 65534}[dtype]
