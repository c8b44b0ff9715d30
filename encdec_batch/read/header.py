"""What a scene says of itself before a pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEADER_FORMAT = 5
"""Raised when a field of `SceneHeader` changes, or what it means, or how a reader finds it: headers that plans hold
under another number are read again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundControlPoint:
    """A pixel whose place on the ground is known; `row` and `col` are fractional pixels."""

    row: float
    col: float
    x: float
    y: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneHeader:
    """Size, type, place and layout of one scene. Values are those rasterio gives for the file."""

    driver: Literal["GTiff", "PNG", "JPEG", "WEBP", "DICOM", "NIfTI", "OME-Zarr", "slide"]
    height: int
    width: int
    num_bands: int
    """Bands of pixels, an alpha band not among them."""
    dtype: str
    """numpy name, the same for all bands."""
    nodata: tuple[float | None, ...]
    """Per band."""
    mask: Literal["none", "nodata", "alpha", "internal"]
    """Where validity comes from."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    """value = stored * scale + offset, per band."""
    band_names: tuple[str | None, ...]
    """The file's descriptions, None where it has none."""
    crs_wkt: str | None
    transform: tuple[float, float, float, float, float, float] | None
    """Pixel to world, in the order of affine.Affine (a, b, c, d, e, f); None without georeference."""
    gcps: tuple[GroundControlPoint, ...]
    gcps_crs_wkt: str | None
    layout: Literal["tiled", "striped", "whole"]
    """`whole`: the format has no windows (PNG, JPEG, WebP)."""
    tile_height: int
    tile_width: int
    compression: str
    planar: bool
    """Bands lie apart in the file."""
    encoded_bytes: int
    """Bytes of encoded pixels in the file (sum of tile byte counts; the object's size for whole images)."""
    pixel_size_um: tuple[float, float] | None = None
    """Height and width of a pixel in micrometres, where the format says so: medical images and microscopy."""
    level0_downsample: tuple[float, float] = (1.0, 1.0)
    """Height and width of a pixel in pixels of the finest level of its pyramid: a place times this is one there."""
    downsample_known: bool = True
    """False: it is a coarser level of a pyramid, and its object does not say of which (DICOM)."""
    decoder: str = ""
    """Which library of which version makes pixels of the bytes, where another would make others (JPEG of slides)."""
    volume: str = ""
    """Which of its object's volumes it is a slice of, where that is fetched whole, once for all slices that a process
    reads; empty: its bytes are its own."""
