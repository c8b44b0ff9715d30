"""Where on the ground an image lies, and whether two lie at the same place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.header import SceneHeader
from encdec_batch.window import Window

Transform = tuple[float, float, float, float, float, float]
"""Pixel to world, as in `SceneHeader`."""
SAME_PX = 1.0
"""Footprints whose borders are no farther apart are the same."""
_FITS_PX = 0.5
"""A target whose corners are farther from those of its image lies elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """A rectangle of pixels, and from pixel to world."""

    crs_wkt: str
    transform: Transform
    window: Window

    def in_pixels_of(self, other: Footprint) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what this one covers, in pixels of the other's image."""
        to_other = np.linalg.inv(_matrix(other.transform)) @ _matrix(self.transform)
        w = self.window
        corners = [(col, row, 1) for col in (w.col_off, w.col_stop) for row in (w.row_off, w.row_stop)]
        cols, rows, _ = to_other @ np.array(corners, float).T
        return float(cols.min()), float(rows.min()), float(cols.max()), float(rows.max())


def footprint_of(header: SceneHeader, window: Window) -> Footprint | None:
    """Of a part of an image; None: it does not say where it lies, or only by ground control points."""
    if header.transform is None or header.crs_wkt is None or np.linalg.det(_matrix(header.transform)) == 0:
        return None
    return Footprint(crs_wkt=header.crs_wkt, transform=header.transform, window=window)


def _matrix(transform: Transform) -> NDArray[np.float64]:
    return np.array([transform[:3], transform[3:], (0, 0, 1)])


def same_crs(one: str, other: str) -> bool:
    return one == other or bool(CRS.from_wkt(one) == CRS.from_wkt(other))


def overlap(one: Footprint, other: Footprint) -> str | None:
    """How two images share ground: `the same footprint`, `ground in common`; None: not at all, or not by more than
    a pixel.
    """
    if not same_crs(one.crs_wkt, other.crs_wkt):
        return None
    left, top, right, bottom = other.in_pixels_of(one)
    w = one.window
    gaps = (left - w.col_off, top - w.row_off, right - w.col_stop, bottom - w.row_stop)
    if all(abs(gap) <= SAME_PX for gap in gaps):
        return "the same footprint"
    across, down = min(right, w.col_stop) - max(left, w.col_off), min(bottom, w.row_stop) - max(top, w.row_off)
    return "ground in common" if min(across, down) > SAME_PX else None


def check_fits(image: SceneHeader, target: SceneHeader, *, image_uri: str, target_uri: str) -> None:
    """Does nothing when target and image are of the same pixels, as far as they say.

    Raises:
        UnsupportedScene: of other size, scale or place.
    """
    if (image.height, image.width) != (target.height, target.width):
        raise UnsupportedScene(
            f"{target_uri}: has {target.width} x {target.height} px, its image {image_uri} "
            f"{image.width} x {image.height}",
            hint="cut or resample one of them",
            uri=target_uri,
        )
    whole = Window(0, 0, image.width, image.height)
    ours, theirs = footprint_of(image, whole), footprint_of(target, whole)
    if ours is None or theirs is None:
        return
    if not same_crs(ours.crs_wkt, theirs.crs_wkt):
        raise UnsupportedScene(
            f"{target_uri}: has another coordinate system than its image {image_uri}",
            hint="warp it onto the image's grid",
            uri=target_uri,
        )
    left, top, right, bottom = theirs.in_pixels_of(ours)
    if max(abs(right - left - image.width), abs(bottom - top - image.height)) > _FITS_PX:
        raise UnsupportedScene(
            f"{target_uri}: its pixels are {(right - left) / image.width:.4g} x {(bottom - top) / image.height:.4g} "
            f"those of its image {image_uri}",
            hint="warp it onto the image's grid",
            uri=target_uri,
        )
    if max(abs(left), abs(top)) > _FITS_PX:
        raise UnsupportedScene(
            f"{target_uri}: lies {left:.1f} px right and {top:.1f} px below of its image {image_uri}",
            hint="warp it onto the image's grid, or correct its georeference",
            uri=target_uri,
        )
