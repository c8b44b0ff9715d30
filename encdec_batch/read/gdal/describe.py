"""What rasterio says of an open dataset, as records of ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from rasterio.enums import ColorInterp, MaskFlags

from encdec_batch.errors import UnsupportedScene
from encdec_batch.read.header import GroundControlPoint, SceneHeader

DTYPES = ("uint8", "int16", "uint16", "float32", "float64")
"""Of pixels that are read; anything else is set aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandPlan:
    """Which bands of a file hold pixels, and where their validity comes from. Band numbers are the file's."""

    pixel_bands: tuple[int, ...]
    alpha_band: int | None
    """None, too, where an internal mask goes before it."""
    nodata: tuple[float | None, ...]
    """Per pixel band, None where GDAL makes no mask of it (out of the dtype's range, or another mask goes before)."""
    dataset_mask: bool
    """GDAL has one mask for all bands: an internal one, or the NODATA_VALUES of all bands together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLayout:
    """How encoded pixels lie in the file."""

    layout: Literal["tiled", "striped", "whole"]
    tile_height: int
    tile_width: int
    planar: bool
    encoded_bytes: int


def plan_bands(dataset: Any) -> BandPlan:
    """Which mask holds: internal, then alpha, then nodata, as for rasterio's `dataset_mask`."""
    alphas = [band for band, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha]
    if len(alphas) == dataset.count:  # a lone alpha band is all there is to see
        alphas = []
    pixel_bands = tuple(band for band in range(1, dataset.count + 1) if band not in alphas)
    flags = dataset.mask_flag_enums
    first = flags[pixel_bands[0] - 1]
    internal = MaskFlags.per_dataset in first and not {MaskFlags.alpha, MaskFlags.nodata} & set(first)
    alpha = alphas[0] if alphas and not internal else None
    together = MaskFlags.per_dataset in first and MaskFlags.nodata in first and alpha is None
    by_band = not internal and not together and alpha is None
    nodata = tuple(
        dataset.nodatavals[band - 1] if by_band and MaskFlags.nodata in flags[band - 1] else None
        for band in pixel_bands
    )
    return BandPlan(pixel_bands=pixel_bands, alpha_band=alpha, nodata=nodata, dataset_mask=internal or together)


def scene_header(dataset: Any, plan: BandPlan, layout: FileLayout, *, uri: str) -> SceneHeader:
    """The header of an open dataset.

    Raises:
        UnsupportedScene: its pixels are of a type that is not read.
    """
    dtypes = [dataset.dtypes[band - 1] for band in plan.pixel_bands]
    if len(set(dtypes)) > 1 or dtypes[0] not in DTYPES:
        raise UnsupportedScene(
            f"{uri}: pixels are {', '.join(sorted(set(dtypes)))}",
            hint=f"convert it to one of {', '.join(DTYPES)}",
            uri=uri,
        )
    points, points_crs = dataset.gcps
    transform = None if dataset.transform.is_identity else tuple(dataset.transform)[:6]
    return SceneHeader(
        driver=dataset.driver,
        height=dataset.height,
        width=dataset.width,
        num_bands=len(plan.pixel_bands),
        dtype=dtypes[0],
        nodata=tuple(dataset.nodatavals[band - 1] for band in plan.pixel_bands),
        mask=_mask_kind(plan, dataset),
        scales=tuple(dataset.scales[band - 1] for band in plan.pixel_bands),
        offsets=tuple(dataset.offsets[band - 1] for band in plan.pixel_bands),
        band_names=tuple(dataset.descriptions[band - 1] or None for band in plan.pixel_bands),
        # Interned: an archive has few, of a kilobyte each, and a plan many scenes.
        crs_wkt=sys.intern(dataset.crs.to_wkt()) if dataset.crs else None,
        transform=transform,
        gcps=tuple(GroundControlPoint(row=p.row, col=p.col, x=p.x, y=p.y, z=p.z or 0.0) for p in points),
        gcps_crs_wkt=points_crs.to_wkt() if points_crs else None,
        layout=layout.layout,
        tile_height=layout.tile_height,
        tile_width=layout.tile_width,
        compression=dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", "NONE"),
        planar=layout.planar,
        encoded_bytes=layout.encoded_bytes,
    )


def _mask_kind(plan: BandPlan, dataset: Any) -> Literal["none", "nodata", "alpha", "internal"]:
    if plan.alpha_band is not None:
        return "alpha"
    if plan.dataset_mask:
        return "nodata" if MaskFlags.nodata in dataset.mask_flag_enums[plan.pixel_bands[0] - 1] else "internal"
    return "nodata" if any(value is not None for value in plan.nodata) else "none"
