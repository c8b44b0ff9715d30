"""A run over real scenes, all kinds mixed in one bucket, with a card for each kind.

Each file is done by the card of its kind and set aside by all others with the reason; what is written lies where the
scene lies and is nodata where the scene is. `GEO_SCENES` may name another folder with the same files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from e2e.made import aside, classes_package, markers, plain_labels, run, write_spec
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate
from servers import S3Server, s3_server_process

FOLDER = Path(os.environ.get("GEO_SCENES", Path(__file__).parents[2] / "../shared/data/geo_scenes"))

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real scenes are not here: {FOLDER}"),
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of scene, and the card that takes it."""

    bands: int
    dtype: str
    unit: str = "raw"

    def package(self) -> str:
        nan = "nodata" if self.dtype == "float32" else "refuse"
        return classes_package(self.bands, (self.dtype,), nan, unit=self.unit)


RGB, RGBN, GREY = Kind(3, "uint8"), Kind(4, "uint8"), Kind(1, "uint8")
GREY16, RGB16, RGBN16, EIGHT16 = Kind(1, "uint16"), Kind(3, "uint16"), Kind(4, "uint16"), Kind(8, "uint16")
HEIGHT, SCALED = Kind(1, "float32"), Kind(2, "int16", "scaled")

KINDS: dict[str, Kind | str] = {
    "bgra_uint16_alpha.tif": RGB16,
    "dem_vestfold_float32_lerc.tif": HEIGHT,
    "drone_rgba_alpha_webp.tif": RGB,
    "dsm_dc_float32_cog.tif": HEIGHT,
    "goes_fulldisk_jpeg_mask.tif": RGB,
    "landcover_mexico_palette.tif": GREY,
    "landsat8_elkton_B2.tif": GREY16,
    "landsat8_elkton_B3.tif": GREY16,
    "landsat8_elkton_B4.tif": GREY16,
    "landsat8_elkton_B5.tif": GREY16,
    "landsat8_elkton_B8.tif": GREY16,
    "landsat8_elkton_BQA.tif": GREY16,
    "modis_int16_scale_offset_cog.tif": SCALED,
    "naip_nc_3607717_striped_raw.tif": RGBN,
    "naip_nc_3607824_no_georef_lzw.tif": RGBN,
    "naip_nd_20100629_bigtiff_jpeg.tif": RGBN,
    "naip_nd_20120731_bandsep_zstd.tif": RGBN,
    "naip_nd_20150926_striped_jpeg_bandsep.tif": RGBN,
    "naip_nd_20180716_cog_deflate.tif": RGBN,
    "naip_va_1m_jpeg_pixel.tif": RGBN,
    "palette_7168x8704_cog.tif": GREY,
    "planet_4band_all_nodata.tif": RGBN16,
    "rgb_jpeg_ycbcr_internal_mask_cog.tif": RGB,
    "s2_8band_uint16_two_dates.tif": EIGHT16,
    "s2_B01_crop_lossless.jp2": "JPEG 2000 is not read",
    "s2_dateline_uint16_cog.tif": GREY16,
    "sentinel1_gamma0_float32_deflate_p3.tif": HEIGHT,
    "sentinel1_grd_uint16_gcps.tif": GREY16,
    "sentinel1_slc_cint16_gcps.tif": "pixels are complex_int16",
    "umbra_sar_rotated_uint8.tif": GREY,
}
"""Each file and its kind, or why no card takes it."""


def reason(name: str, card: Kind) -> str:
    """What is said of a file that this card does not take."""
    kind = KINDS[name]
    if isinstance(kind, str):
        return kind
    if kind.dtype != card.dtype:
        return f"its pixels are {kind.dtype}, classes takes {card.dtype}"
    there = "1 band" if kind.bands == 1 else f"{kind.bands} bands"
    return f"it has {there}, classes wants {card.bands}"


@dataclass(frozen=True, slots=True)
class Archive:
    """The scenes in a bucket."""

    server: S3Server
    bucket: str

    def get(self, key: str) -> bytes:
        return self.server.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()


@pytest.fixture(scope="module")
def archive() -> Iterator[Archive]:
    with s3_server_process() as server:
        bucket = server.make_bucket()
        for name in KINDS:
            server.client().upload_file(str(FOLDER / name), bucket, f"in/{name}")
        yield Archive(server, bucket)


def test_every_scene_that_is_there_is_in_the_table():
    assert {path.name for path in FOLDER.iterdir() if path.suffix != ".csv"} == set(KINDS)


@pytest.mark.parametrize(
    "card",
    [RGB, RGBN, GREY, GREY16, RGB16, RGBN16, EIGHT16, HEIGHT, SCALED],
    ids=lambda card: f"{card.bands}_{card.dtype}",
)
def test_a_job_with_a_card_of_each_kind(tmp_path, archive, card):
    source = {
        "kind": "prefix",
        "uri": f"s3://{archive.bucket}/in",
        "suffixes": [".tif", ".jp2"],
        "storage": archive.server.options,
    }
    folder = f"out-{card.bands}-{card.dtype}"
    output = {
        "uri": f"s3://{archive.bucket}/{folder}",
        "storage": archive.server.options,
        "files": [{"kind": "cog"}, {"kind": "quicklook"}],
    }
    spec = write_spec(tmp_path, source, card.package(), output=output, tiling={"core": 512, "block": None})
    ended = run(spec)
    mine = {Path(name).stem: name for name, kind in KINDS.items() if kind == card}
    assert mine
    assert ended.code == 3
    found = markers(output["uri"], archive.server.options)
    assert set(found) == set(mine)
    rows = aside(ended)
    assert {row["uri"].rsplit("/")[-1] for row in rows.values()} == set(KINDS) - set(mine.values())
    for row in rows.values():
        assert reason(row["uri"].rsplit("/")[-1], card) in row["reason"]
        assert (row["stage"], row["block"], row["transient"]) == ("plan", None, False)
        assert row["hint"]
    for scene_id, name in mine.items():
        path = tmp_path / f"{scene_id}.tif"
        path.write_bytes(archive.get(f"{folder}/{found[scene_id].outputs['mask.tif'].path}"))
        check(path, FOLDER / name, card)


def check(result_path: Path, scene_path: Path, card: Kind) -> None:
    """The mask of a scene, by other people's readers."""
    valid, errors, warnings = cog_validate(str(result_path), strict=True, quiet=True)
    assert (valid, errors, warnings) == (True, [], [])
    with rasterio.open(scene_path) as scene, rasterio.open(result_path) as result:
        assert result.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (result.shape, result.count, result.dtypes) == (scene.shape, 1, ("uint8",))
        assert result.crs == scene.crs
        assert result.transform == scene.transform
        points, crs = scene.gcps
        assert result.gcps[1] == crs
        assert [(p.row, p.col, p.x, p.y, p.z) for p in result.gcps[0]] == [
            (p.row, p.col, p.x, p.y, p.z) for p in points
        ]
        mask = result.read(1)
        bands = [band for band, kind in enumerate(scene.colorinterp, 1) if kind != ColorInterp.alpha]
        pixels = scene.read(bands)
        holes = holes_of(scene, bands, pixels)
    assert result.nodata == 255
    np.testing.assert_array_equal(mask == 255, holes)
    assert set(np.unique(mask)) <= {0, 1, 255}
    if not holes.any() and card.unit == "raw":
        # Layers of another shape may round differently: one label in a million.
        assert (mask != plain_labels(card.package(), pixels)).sum() <= 1 + mask.size / 1e6


def place_of(point: rasterio.control.GroundControlPoint) -> tuple[float, ...]:
    return point.row, point.col, point.x, point.y, point.z


def holes_of(scene: Any, bands: list[int], pixels: np.ndarray) -> np.ndarray:
    """Where any band of the scene is invalid, as rasterio says."""
    holes = (scene.read_masks(bands) == 0).any(axis=0)
    return holes | np.isnan(pixels).any(axis=0) if pixels.dtype.kind == "f" else holes
