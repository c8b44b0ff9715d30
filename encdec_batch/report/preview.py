"""Small arrays become pictures inside the page: data URIs that any browser shows.

Photographs become lossy WebP, which keeps transparency (nodata lets the page's chequers through) at a tenth of PNG's
size; class masks become PNG, since no colour of a palette may be invented.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product

MAX_SIDE = 720
"""Pixels of a preview's longer side: twice the width of its card, for dense screens."""
_PERCENTILES = (2.0, 98.0)
_NARROW_BYTES = 64
_WEBP_QUALITY = 82


def preview_pixels(
    pixels: NDArray[np.generic],
    valid_mask: NDArray[np.bool_],
    *,
    bands: Sequence[int] | None = None,
    max_side: int = MAX_SIDE,
) -> str:
    """A photograph of a scene or of an image product.

    Bytes are shown as they are unless they use less than a quarter of their range; those and any other type are
    stretched, all bands alike so that colours keep their balance, between the 2nd and 98th percentile of what is shown.

    Args:
        pixels: (bands, height, width), any real dtype; NaN and infinities are shown as invalid.
        valid_mask: bool (height, width), True is valid.
        bands: three (red, green, blue) or one (grey) band numbers, 1-based; None takes the first three, or the first.
        max_side: the result's longer side is at most this.
    """
    chosen = list(bands) if bands else ([1, 2, 3] if pixels.shape[0] >= 3 else [1])
    reduced, valid = _shrink(pixels[[band - 1 for band in chosen]], valid_mask, max_side)
    grey_or_rgb = _as_bytes(reduced, valid, is_bytes=pixels.dtype == np.uint8)
    rgba = np.empty((*valid.shape, 4), np.uint8)
    rgba[..., :3] = np.moveaxis(grey_or_rgb, 0, -1)
    rgba[..., 3] = np.where(valid, 255, 0)
    # Without transparency three samples do: fewer bytes.
    samples = rgba[..., :3].copy() if valid.all() else rgba
    encoded = imagecodecs.webp_encode(samples, level=_WEBP_QUALITY)
    return _data_uri("webp", encoded)


def preview_classes(ids: NDArray[np.generic], product: Product, *, max_side: int = MAX_SIDE) -> str:
    """A class mask in its palette; nodata and ids that the product does not name are transparent.

    Args:
        ids: integer (height, width). Larger masks are thinned, not mixed: give an overview to see its majority.
        product: of kind `classes`, with a colour for each id.
        max_side: the result's longer side is at most this.
    """
    step = -(-max(ids.shape) // max_side)
    thinned = ids[step // 2 :: step, step // 2 :: step] if min(ids.shape) > step // 2 else ids[::step, ::step]
    rgba = np.zeros((*thinned.shape, 4), np.uint8)
    for class_id, color in zip(product.class_ids, product.class_colors, strict=True):
        rgba[thinned == class_id] = (*color, 255)
    return _data_uri("png", imagecodecs.png_encode(rgba, level=6))


def preview_picture(image_HWC: NDArray[np.uint8], *, exact: bool = False) -> str:
    """A picture as it is.

    Args:
        image_HWC: red, green, blue.
        exact: no colour may be invented: PNG in place of WebP.
    """
    samples = np.ascontiguousarray(image_HWC)
    if exact:
        return _data_uri("png", imagecodecs.png_encode(samples, level=6))
    return _data_uri("webp", imagecodecs.webp_encode(samples, level=_WEBP_QUALITY))


def _shrink(
    pixels: NDArray[np.generic], valid_mask: NDArray[np.bool_], max_side: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Means over squares, valid pixels only; a square without one is invalid."""
    values = pixels.astype(np.float64)
    valid = valid_mask & np.isfinite(values).all(axis=0)
    step = -(-max(valid.shape) // max_side)
    rows, cols = (np.arange(0, side, step) for side in valid.shape)
    counts = np.add.reduceat(np.add.reduceat(valid.astype(np.float64), rows, axis=0), cols, axis=1)
    sums = np.add.reduceat(np.add.reduceat(np.where(valid, values, 0), rows, axis=1), cols, axis=2)
    return sums / np.maximum(counts, 1), counts > 0


def _as_bytes(values: NDArray[np.float64], valid: NDArray[np.bool_], *, is_bytes: bool) -> NDArray[np.uint8]:
    low, high = 0.0, 255.0
    if valid.any():
        bounds = np.percentile(values[:, valid], _PERCENTILES)
        if not is_bytes or bounds[1] - bounds[0] < _NARROW_BYTES:
            low, high = float(bounds[0]), float(bounds[1])
    # A constant picture is mid-grey, whatever its value.
    scaled = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def _data_uri(subtype: str, encoded: bytes | bytearray) -> str:
    return f"data:image/{subtype};base64,{base64.b64encode(encoded).decode('ascii')}"
