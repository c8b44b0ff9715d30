"""OME-Zarr of a volume, slice by slice: as that of a scene, with an axis z along which no level is coarser."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.geometry import VolumeGeometry
from encdec_batch.volume.slices import SliceRasters
from encdec_batch.write.ome_zarr import Pixels, array, encoded, folder_of_levels, groups, shard_key
from encdec_batch.write.overview import TILE, overview_shapes, reduce
from encdec_batch.write.shard import ShardWriter
from encdec_batch.write.sink import Sink, Written, plain

Put = Callable[[str, Callable[[Sink], Written]], None]
"""Writes one object: path below the folder, and what fills it."""


def write_volume_zarr(put: Put, rasters: SliceRasters) -> None:
    """Writes every object of the folder; memory holds a slice, and for each level slices are read once more.

    Args:
        put: takes the objects.
        rasters: of the slices.

    Raises:
        UnsupportedScene: its axes are not at right angles.
    """
    _check_axes(rasters)
    product, shapes = rasters.order.product, overview_shapes(*rasters.shape)
    pixels = _pixels(rasters)
    folder = folder_of_levels(product)
    for level, shape in enumerate(shapes):
        whole = (*([product.num_bands] if "c" in pixels.axes else []), rasters.num_slices, *shape)
        put(f"{folder}{level}/{shard_key(pixels.axes)}", lambda sink, n=level: _write_level(sink, rasters, n))  # type: ignore[misc]
        put(f"{folder}{level}/zarr.json", plain(array(pixels, whole)))
    # The root comes last: until it is there, no reader takes the folder for an image.
    for path, text in reversed(groups(pixels, len(shapes)).items()):
        put(path, plain(text))


def _check_axes(rasters: SliceRasters) -> None:
    geometry = rasters.order.geometry
    if geometry is not None and not geometry.is_rectangular(geometry.voxels(rasters.num_slices, rasters.shape)):
        raise UnsupportedScene(
            f"{rasters.order.volume_id} is slanted, as by a tilted gantry, and OME-Zarr cannot say so",
            hint="write it as NIfTI: nifti instead of ome_zarr_volume in output.files",
        )


def _pixels(rasters: SliceRasters) -> Pixels:
    product, geometry = rasters.order.product, rasters.order.geometry
    return Pixels(
        product=product,
        axes="zyx" if product.kind == "classes" else "czyx",
        spacing={} if geometry is None else _spacing(geometry),
        unit=None if geometry is None else "millimeter",
    )


def _spacing(geometry: VolumeGeometry) -> dict[str, float]:
    """Of neighbours along each axis; a position at which nothing moves has none, and is taken for 1."""
    found = {}
    for name, axis in (("z", geometry.across), ("y", geometry.rows), ("x", geometry.cols)):
        step = geometry.spacing[axis]
        # Affines are sums of cosines: what is left of them behind the ninth digit is rounding.
        found[name] = float(f"{step:.9g}") if step > 0 and math.isfinite(step) else 1.0
    return found


def _write_level(sink: Sink, rasters: SliceRasters, level: int) -> Written:
    product = rasters.order.product
    height, width = overview_shapes(*rasters.shape)[level]
    tiles = math.ceil(height / TILE), math.ceil(width / TILE)
    is_mask = product.kind == "classes"
    shard = ShardWriter(sink, (*(() if is_mask else (product.num_bands,)), rasters.num_slices, *tiles))
    for band in range(product.num_bands):
        for z, plane in enumerate(rasters.band(band + 1)):
            pixels = plane[None]
            for _ in range(level):
                pixels = reduce(pixels, product)
            for row in range(tiles[0]):
                for col in range(tiles[1]):
                    place = (z, row, col) if is_mask else (band, z, row, col)
                    shard.put(place, encoded(_chunk(pixels[0], row, col)))
    return shard.finish()


def _chunk(plane: NDArray[np.generic], row: int, col: int) -> NDArray[np.generic]:
    """A whole one; what lies beyond the slice is in no reader's picture, and repeated pixels cost the fewest bytes."""
    found = plane[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
    return np.pad(found, ((0, TILE - found.shape[0]), (0, TILE - found.shape[1])), "edge")
