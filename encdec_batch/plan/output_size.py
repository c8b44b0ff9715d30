"""How large the files of a scene may become, and what a store can hold."""

from __future__ import annotations

from math import ceil

import numpy as np

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.budget import TILE
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import ome_tiff_name, ome_zarr_name
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.store.object import max_object_bytes

OVERVIEWS = 4 / 3
"""All levels of a pyramid to its full size."""
INCOMPRESSIBLE = 1.01
"""Noise is a little longer when it is encoded, and each tile has its place in the header."""


def largest_cog(scene: ScenePlan, product: Product) -> int:
    """Bytes of a product's file at most: as many as its pixels have, whatever the codec makes of them."""
    height, width = (TILE * ceil(side * scene.geometry.scale / TILE) for side in _sides(scene))
    pixel = product.num_bands * np.dtype(product.dtype).itemsize
    return ceil(height * width * pixel * OVERVIEWS * INCOMPRESSIBLE)


def refuse_too_large(scene: ScenePlan, recipe: Recipe) -> None:
    """Said before any pixel is computed: a store that refuses an object does so when all of it was sent.

    Raises:
        UnsupportedScene: a file of the scene may become larger than an object of the output's store.
    """
    uri = recipe.spec.output.uri
    limit = max_object_bytes(uri)
    if limit is None:
        return
    for product in recipe.products:
        size = largest_cog(scene, product)
        if {f"{product.name}.tif", ome_tiff_name(product), ome_zarr_name(product)}.intersection(
            scene.outputs
        ) and size > limit:
            height, width = (side * scene.geometry.scale for side in _sides(scene))
            raise UnsupportedScene(
                f"{product.name}.tif of {width:,} x {height:,} px may have {size / 2**40:.1f} TiB, "
                f"an object of {uri} at most {limit / 2**40:.1f}",
                hint="split the scene, or write to a file system",
            )


def _sides(scene: ScenePlan) -> tuple[int, int]:
    return scene.header.height, scene.header.width
