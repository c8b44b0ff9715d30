from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from commit.scenes import MASK, encode_blocks, image_product, in_memory, patches
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from encdec_batch.commit.cells import write_cells
from encdec_batch.commit.footprint import footprints
from encdec_batch.commit.geo import Geo
from encdec_batch.read.header import GroundControlPoint
from encdec_batch.window import Window
from encdec_batch.write.sink import Written

SHAPE = (1100, 1300)
PIXELS = patches(MASK, *SHAPE)
PARTS = encode_blocks(PIXELS, MASK, side=512, levels=0, core=256)
UTM = Geo(crs_wkt=CRS.from_epsg(32633).to_wkt(), transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0))


def cells(geo: Geo, path: Path, parts: list[bytes] = PARTS) -> pq.ParquetFile:
    sink = io.BytesIO()
    written = write_cells(sink, MASK, in_memory(parts), geo, scene_id="scene-1")
    data = sink.getvalue()
    assert written == Written(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.write_bytes(data)
    return pq.ParquetFile(path)


def test_every_core_has_a_row_with_its_own_mask(tmp_path: Path) -> None:
    file = cells(UTM, tmp_path / "cells.parquet")
    rows = file.read().to_pylist()
    joined = np.full(SHAPE, 99, "u1")
    for row in rows:
        window = Window(**row["window"])
        joined[window.rows, window.cols] = np.array(Image.open(io.BytesIO(row["mask"])))
        mask = PIXELS[0, window.rows, window.cols]
        for number in MASK.class_ids:
            assert row[f"pixels_{number}"] == (mask == number).sum()
        assert row["valid_fraction"] == pytest.approx((mask != 255).mean())
        assert row["mean_probability"] == (0.75 if (mask != 255).any() else None)
        assert row["scene_id"] == "scene-1"
    np.testing.assert_array_equal(joined, PIXELS[0])


def test_rows_and_columns_number_the_lattice(tmp_path: Path) -> None:
    rows = cells(UTM, tmp_path / "cells.parquet").read().to_pylist()
    offsets = {(row["row"], row["col"]): (row["window"]["row_off"], row["window"]["col_off"]) for row in rows}
    assert sorted(offsets) == [(row, col) for row in range(5) for col in range(6)]
    assert sorted(offsets, key=lambda place: offsets[place]) == sorted(offsets)


def test_row_groups_are_blocks_and_the_mask_is_not_packed_twice(tmp_path: Path) -> None:
    file = cells(UTM, tmp_path / "cells.parquet")
    assert file.num_row_groups == len(PARTS)
    assert [file.metadata.row_group(n).num_rows for n in range(9)] == [4] * 6 + [2] * 3
    group = file.metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert {name for name, column in columns.items() if column.compression == "UNCOMPRESSED"} == {"mask"}
    assert {name for name, column in columns.items() if not column.is_stats_set} == {"mask", "geometry"}
    assert all("DICTIONARY" not in " ".join(column.encodings) for column in columns.values())


def test_geopandas_reads_it_as_geoparquet_and_filters_by_box(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    cells(UTM, path)
    frame = geopandas.read_parquet(path)
    assert frame.crs == "OGC:CRS84"
    assert frame.geometry.is_valid.all()
    boxes = [tuple(box.values()) for box in pq.read_table(path)["bbox"].to_pylist()]
    for place, row in frame.iterrows():
        box = row["native_bbox"]
        expected = transform_bounds(CRS.from_epsg(32633), CRS.from_epsg(4326), *box.values(), densify_pts=15)
        assert row.geometry.bounds == pytest.approx(expected, abs=1e-7)
        assert boxes[place] == pytest.approx(row.geometry.bounds)
    wanted = frame.geometry.iloc[0].buffer(-1e-4).bounds
    found = geopandas.read_parquet(path, bbox=wanted)
    assert len(found) == 1
    assert found.geometry.iloc[0].equals(frame.geometry.iloc[0])


def test_native_bounds_are_those_of_the_transform(tmp_path: Path) -> None:
    rotated = Geo(crs_wkt=UTM.crs_wkt, transform=(9.0, 2.0, 500_000.0, 2.0, -9.0, 5_000_000.0))
    for row in cells(rotated, tmp_path / "cells.parquet").read().to_pylist():
        window = Window(**row["window"])
        corners = [
            rasterio.Affine(*rotated.transform) @ (col, row_)
            for col in (window.col_off, window.col_stop)
            for row_ in (window.row_off, window.row_stop)
        ]
        expected = (*np.min(corners, axis=0), *np.max(corners, axis=0))
        assert tuple(row["native_bbox"].values()) == pytest.approx(expected)


POINT = GroundControlPoint(row=0, col=0, x=1, y=2, z=0)
PLACELESS = {
    "nothing": Geo(),
    "points alone": Geo(crs_wkt=UTM.crs_wkt, gcps=(POINT,)),
    "a transform without crs": Geo(transform=UTM.transform),
    "a crs without transform": Geo(crs_wkt=UTM.crs_wkt),
    "a crs of a building": Geo(crs_wkt='LOCAL_CS["site",UNIT["metre",1]]', transform=UTM.transform),
}


@pytest.mark.parametrize("geo", PLACELESS.values(), ids=PLACELESS)
def test_without_a_place_the_table_is_plain_parquet_of_the_same_columns(tmp_path: Path, geo: Geo) -> None:
    file = cells(geo, tmp_path / "cells.parquet")
    assert b"geo" not in file.schema_arrow.metadata
    assert file.schema_arrow.names == cells(UTM, tmp_path / "placed.parquet").schema_arrow.names
    table = file.read()
    assert table["geometry"].null_count == table["bbox"].null_count == table.num_rows
    assert (table["native_bbox"].null_count == 0) is (geo.transform is not None)


def test_class_names_are_in_the_metadata(tmp_path: Path) -> None:
    metadata = cells(UTM, tmp_path / "cells.parquet").schema_arrow.metadata
    about = json.loads(metadata[b"encdec"])
    assert about["class_names"] == {"0": "ground", "1": "water & <ice>", "2": "forêt", "7": "road"}
    assert CRS.from_wkt(about["native_crs"]) == CRS.from_epsg(32633)


def test_an_image_has_cells_without_classes(tmp_path: Path) -> None:
    product = image_product("uint8", 3, 0)
    parts = encode_blocks(patches(product, 600, 600), product, side=512, levels=0, core=512)
    sink = io.BytesIO()
    write_cells(sink, product, in_memory(parts), UTM, scene_id="s")
    table = pq.read_table(sink)
    assert table.num_rows == 4
    assert not [name for name in table.column_names if name.startswith("pixels_")]
    assert table["mask"].null_count == table["mean_probability"].null_count == 4


def test_equal_parts_give_equal_bytes_in_any_order() -> None:
    written = []
    for parts in (PARTS, PARTS, PARTS[::-1]):
        sink = io.BytesIO()
        write_cells(sink, MASK, in_memory(parts), UTM, scene_id="s")
        written.append(sink.getvalue())
    assert written[0] == written[1] == written[2]


LON_LAT = CRS.from_epsg(4326).to_wkt()


@given(
    west=st.one_of(st.floats(160, 180, width=32), st.floats(-180, 540, width=32)),
    north=st.floats(-80, 85, width=32),
    width=st.integers(1, 200),
    height=st.integers(1, 50),
)
@settings(max_examples=60)
def test_outlines_keep_their_area_wherever_they_cross_the_antimeridian(
    west: float, north: float, width: int, height: int
) -> None:
    geo = Geo(crs_wkt=LON_LAT, transform=(0.1, 0.0, west, 0.0, -0.1, north))
    (place,) = footprints([Window(0, 0, width, height)], geo)
    assert place is not None
    shape = shapely.from_wkb(place.wkb)
    assert shape.is_valid
    assert shape.area == pytest.approx(width * height / 100, rel=1e-6)
    assert shapely.box(-180, -90, 180, 90).buffer(1e-9).covers(shape)
    assert shapely.box(*place.bounds).buffer(1e-9).covers(shape)


def test_a_core_on_the_pole_is_a_cap() -> None:
    polar = Geo(crs_wkt=CRS.from_epsg(3031).to_wkt(), transform=(1000.0, 0.0, -500_000.0, 0.0, -1000.0, 400_000.0))
    (place,) = footprints([Window(0, 0, 900, 900)], polar)
    assert place is not None
    assert place.bounds[0::2] == (-180, 180)
    assert place.bounds[1] == -90
    assert place.bounds[3] < -80


def test_a_core_beyond_the_projection_has_no_outline_and_the_others_do() -> None:
    disk = CRS.from_string("+proj=geos +h=35785831 +lon_0=0 +sweep=y")
    geo = Geo(crs_wkt=disk.to_wkt(), transform=(1000.0, 0.0, -6_000_000.0, 0.0, -1000.0, 6_000_000.0))
    corner, middle = footprints([Window(0, 0, 100, 100), Window(5900, 5900, 100, 100)], geo)
    assert corner is None
    assert middle is not None
