"""One window of a scene, computed on a tile of its own: what a plain pass over the whole scene says there.

It shares nothing with the tiling of a job but the network and the card: the tile is as small as the reach allows, and
lies where the window does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from encdec_batch.grid import NetworkGeometry, Tiling, make_grid, round_up
from encdec_batch.models.card import Card
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import check_products
from encdec_batch.predict.engine import Engine
from encdec_batch.predict.head import Wanted, make_head
from encdec_batch.predict.normalize import Affine, normalize
from encdec_batch.predict.transfer import make_transfer
from encdec_batch.read.block import pad
from encdec_batch.read.patch import Patch
from encdec_batch.window import Window

_WHOLE = 1 << 30
"""A side that no patch has: one tile is all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyNetwork:
    """A network and what is to be made of its output."""

    engine: Engine
    card: Card
    product: Product
    """The mask or the image."""


def context_of(window: Window, shape: tuple[int, int], geometry: NetworkGeometry) -> Window:
    """The scene pixels that decide a window of a network of finite reach, padding at the scene's end included.

    Args:
        window: in pixels of the scene.
        shape: height and width of the scene.
        geometry: of the network.
    """
    rows = _context((window.row_off, window.row_stop), shape[0], geometry)
    cols = _context((window.col_off, window.col_stop), shape[1], geometry)
    return Window.from_bounds(rows, cols)


@torch.inference_mode()
def predict_window(ready: ReadyNetwork, patch: Patch, affine: Affine, window: Window) -> dict[str, NDArray[np.generic]]:
    """What a check window leaves (`plan.products.check_products`), of a window of a patch.

    Args:
        ready: the network.
        patch: the pixels of `context_of` the window.
        affine: the card's normalisation of this scene's stored values.
        window: relative to the patch.

    Returns:
        Product name to (bands, height, width), in output pixels.
    """
    engine, card, products = ready.engine, ready.card, check_products(ready.product)
    geometry, (height, width) = card.network_geometry, patch.valid_mask.shape
    grid = make_grid(height, width, geometry, Tiling(core=_WHOLE, block=_WHOLE))
    transfer = make_transfer(engine.device)
    pixels_CHW, valid_HW = transfer.upload(pad(patch, grid, grid.block(0, 0), card.padding))
    x_CHW = normalize(pixels_CHW, valid_HW, affine, card.nodata.fill)
    with engine.busy:
        [logits_CHW] = engine.cores(x_CHW[None], [window.scale(geometry.scale)])
    valid = patch.valid_mask[window.rows, window.cols].repeat(geometry.scale, 0).repeat(geometry.scale, 1)
    inside = torch.from_numpy(valid).to(engine.device)
    arrays = transfer.download(make_head(card, Wanted(products=products, as_check=True))(logits_CHW, inside).rasters)
    return {product.name: arrays[product.name].astype(product.dtype, copy=False) for product in products}


def _context(span: tuple[int, int], size: int, geometry: NetworkGeometry) -> tuple[int, int]:
    """Along one axis: beginning where a padded scene may begin, so that its end is padded as the scene's is."""
    multiple = geometry.pad_multiple or geometry.stride
    reach = max(geometry.halo, geometry.margin)
    start = max(0, (span[0] - reach) // multiple * multiple)
    stop = min(size, round_up(span[1] + reach, multiple))
    # Long enough that mirroring at the end finds the pixels that it finds in the scene.
    least = 2 * (reach + multiple)
    if stop == size:
        start = min(start, max(0, (size - least) // multiple * multiple))
    if start == 0:
        stop = max(stop, min(size, round_up(least, multiple)))
    return start, stop
