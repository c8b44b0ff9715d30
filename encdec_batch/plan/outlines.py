"""Which scenes can have outlines in pixels."""

from __future__ import annotations

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.products import OUTLINES
from encdec_batch.plan.scene import ScenePlan


def refuse_outlines(scene: ScenePlan) -> None:
    """Said before any pixel is computed: GeoJSON of a place on Earth is longitude and latitude (RFC 7946), and in
    pixels it would be shown off the coast of Africa.

    Raises:
        UnsupportedScene: outlines are asked for of a scene with a CRS, or of a coarser level of a slide in DICOM.
    """
    header = scene.header
    if OUTLINES in scene.outputs and (header.crs_wkt or header.gcps_crs_wkt):
        raise UnsupportedScene(
            f"it lies on a map, and {OUTLINES} holds pixels of slides and other images that do not",
            hint="leave geojson out of output.files for it; cells says in cells.parquet which class is where, "
            "and a GIS makes polygons of mask.tif",
        )
    if OUTLINES in scene.outputs and not header.downsample_known:
        raise UnsupportedScene(
            "it is a coarser level of a slide in DICOM, which does not say how large the finest is, and "
            f"{OUTLINES} holds pixels of that",
            hint="leave um_per_px out, or geojson out of output.files",
        )
