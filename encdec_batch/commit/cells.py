"""The table of a scene's cores, a row each, as Parquet; GeoParquet 1.1 where the scene has a place.

Classes are counted in flat columns `pixels_<id>`: readers push a filter such as `pixels_3 > 0` down to the
statistics of a row group only for flat columns, and not every one of them opens a struct or a list.
Geometry is in WGS 84 (longitude, latitude), the bounds in the scene's own CRS beside it.

Source: GeoParquet 1.1.0 (covering, encoding); RFC 7946 section 3.1.9 (the antimeridian).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rasterio.crs import CRS

from encdec_batch.commit.footprint import Footprint, footprints, has_place, native_bounds
from encdec_batch.commit.geo import Geo
from encdec_batch.commit.parts import Parts, read_spans
from encdec_batch.plan.product import Product
from encdec_batch.write.part import PartIndex, read_table
from encdec_batch.write.sink import CountingSink, Sink, Written

_BLOCKS_AT_ONCE = 8
"""Row groups fetched side by side: what memory holds."""
_BOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])
_WINDOW = pa.struct([(name, pa.int64()) for name in ("col_off", "row_off", "width", "height")])


def write_cells(sink: Sink, product: Product, parts: Parts, geo: Geo, *, scene_id: str) -> Written:
    """Writes the table, a row group per block; memory holds a few blocks' rows.

    Args:
        sink: takes the file.
        product: the mask whose classes are counted; an image has no class columns and no mask cells.
        parts: the scene's blocks.
        geo: of the output's pixels.
        scene_id: the same in each row, so that the tables of an archive can be read as one.

    Raises:
        PartMissing: names every part that is gone or damaged.
        UnsupportedScene: GDAL does not know the CRS.
    """
    mask = product if product.kind == "classes" else None
    schema = _schema(mask, geo)
    counting = CountingSink(sink)
    lattice = _Lattice(parts.indexes)
    with pq.ParquetWriter(pa.PythonFile(_File(counting), mode="w"), schema, **_options(schema)) as writer:
        for index, rows in _blocks(parts):
            columns = _columns(rows, mask) | _places(index, geo) | lattice.numbers(index)
            columns["scene_id"] = pa.array([scene_id] * rows.num_rows, pa.string())
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))
    return counting.written


def _schema(mask: Product | None, geo: Geo) -> pa.Schema:
    ids = mask.class_ids if mask else ()
    fields = [
        ("scene_id", pa.string()),
        ("row", pa.int32()),
        ("col", pa.int32()),
        ("window", _WINDOW),
        ("bbox", _BOX),
        ("geometry", pa.binary()),
        ("native_bbox", _BOX),
        *((f"pixels_{number}", pa.int64()) for number in ids),
        ("mean_probability", pa.float64()),
        ("valid_fraction", pa.float64()),
        ("mask", pa.binary()),
    ]
    names = dict(zip(map(str, ids), mask.class_names if mask else (), strict=True))
    about = {"class_names": names, "native_crs": geo.crs_wkt if geo.transform else None}
    metadata = {"encdec": json.dumps(about, sort_keys=True, ensure_ascii=False)}
    if has_place(geo):
        metadata["geo"] = json.dumps(_geo_metadata(), sort_keys=True)
    return pa.schema(fields, metadata=metadata)


def _geo_metadata() -> dict[str, Any]:
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon", "Polygon"],
        "crs": CRS.from_user_input("OGC:CRS84").to_dict(projjson=True),
        "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
    }
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _options(schema: pa.Schema) -> dict[str, Any]:
    """PNG does not shrink further; bytes of cells and geometries make no useful statistics."""
    leaves = [leaf for field in schema for leaf in _leaves(field)]
    small = [leaf for leaf in leaves if leaf not in ("mask", "geometry")]
    return {
        "compression": {leaf: "NONE" if leaf == "mask" else "ZSTD" for leaf in leaves},
        "use_dictionary": False,
        "write_statistics": small,
    }


def _leaves(field: pa.Field) -> list[str]:
    if pa.types.is_struct(field.type):
        return [f"{field.name}.{inner.name}" for inner in field.type]
    return [field.name]


def _blocks(parts: Parts) -> Iterator[tuple[PartIndex, pa.Table]]:
    """The rows of each block, row of blocks by row of blocks."""
    order = sorted(enumerate(parts.indexes), key=lambda item: (item[1].window.row_off, item[1].window.col_off))
    filled = [(number, index, index.rows) for number, index in order if index.rows is not None and index.cores]
    for first in range(0, len(filled), _BLOCKS_AT_ONCE):
        some = filled[first : first + _BLOCKS_AT_ONCE]
        pieces = read_spans(parts, [(number, span) for number, _, span in some])
        for piece, (_, index, _) in zip(pieces, some, strict=True):
            yield index, read_table(piece)


def _columns(rows: pa.Table, mask: Product | None) -> dict[str, pa.Array]:
    """What the part says of its cores, as it stands there."""
    columns = {name: rows[name].combine_chunks() for name in ("mean_probability", "valid_fraction", "mask")}
    counts = rows["class_counts"].to_pylist()
    for place, number in enumerate(mask.class_ids if mask else ()):
        columns[f"pixels_{number}"] = pa.array([row[place] for row in counts], pa.int64())
    windows = rows["window"].to_pylist()
    columns["window"] = pa.array([dict(zip(_names(_WINDOW), window, strict=True)) for window in windows], _WINDOW)
    return columns


def _places(index: PartIndex, geo: Geo) -> dict[str, pa.Array]:
    found: Sequence[Footprint | None] = footprints(index.cores, geo)
    native = [native_bounds(core, geo) for core in index.cores]
    return {
        "bbox": pa.array([_box(place.bounds if place else None) for place in found], _BOX),
        "geometry": pa.array([place.wkb if place else None for place in found], pa.binary()),
        "native_bbox": pa.array([_box(bounds) for bounds in native], _BOX),
    }


def _box(bounds: tuple[float, float, float, float] | None) -> dict[str, float] | None:
    return None if bounds is None else dict(zip(_names(_BOX), bounds, strict=True))


def _names(struct: pa.StructType) -> list[str]:
    return [field.name for field in struct]


class _Lattice:
    """Row and column of a core among all cores of the scene: its lattice is a product of two axes."""

    def __init__(self, indexes: Sequence[PartIndex]) -> None:
        cores = [core for index in indexes for core in index.cores]
        self._rows = {offset: place for place, offset in enumerate(sorted({core.row_off for core in cores}))}
        self._cols = {offset: place for place, offset in enumerate(sorted({core.col_off for core in cores}))}

    def numbers(self, index: PartIndex) -> dict[str, pa.Array]:
        return {
            "row": pa.array([self._rows[core.row_off] for core in index.cores], pa.int32()),
            "col": pa.array([self._cols[core.col_off] for core in index.cores], pa.int32()),
        }


class _File:
    """A sink as pyarrow wants a file: it counts by itself and never seeks."""

    closed = False

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: Any) -> int:
        self._sink.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
