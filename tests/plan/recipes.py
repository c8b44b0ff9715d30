"""Cards, recipes and planned scenes that no network and no store stands behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from models.made import declared

from encdec_batch.models.card import Card, GeometryCard, MemoryCard
from encdec_batch.plan.recipe import Order, Recipe, Resolved
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.read.header import SceneHeader
from encdec_batch.spec.load import parse_spec

RESOLVED = Resolved(
    device_kind="cpu-Test-avx2", torch_device="cpu", precision="float32", batch=1, engine="eager-2.13.0", core=256
)
FILES = {"weights.safetensors": "0" * 64, "golden.safetensors": "1" * 64}


def card(*, scale: int = 1, stride: int = 4, reach: int = 10, exactness: str = "exact", **changes: Any) -> Card:
    geometry = GeometryCard(scale=scale, stride=stride, reach=reach, exactness=exactness)
    memory = MemoryCard(parameters=1000, activations=20.0)
    return Card(**declared(**changes).model_dump(), format_version=1, geometry=geometry, memory=memory, files=FILES)


def order(card_: Card | None = None, **changes: Any) -> Order:
    spec: dict[str, Any] = {
        "source": {"kind": "prefix", "uri": "/archive"},
        "model": {"package": "/package"},
        "output": {"uri": "/out"},
    }
    return Order(spec=parse_spec(spec | changes), card=card_ or card(), package_digest="d" * 64)


def recipe(order_: Order | None = None, **resolved: Any) -> Recipe:
    return Recipe(order=order_ or order(), resolved=replace(RESOLVED, **resolved))


def header(height: int = 100, width: int = 120, *, bands: int = 2, dtype: str = "uint8", **changes: Any) -> SceneHeader:
    fields: dict[str, Any] = {
        "driver": "GTiff",
        "height": height,
        "width": width,
        "num_bands": bands,
        "dtype": dtype,
        "nodata": (None,) * bands,
        "mask": "none",
        "scales": (1.0,) * bands,
        "offsets": (0.0,) * bands,
        "band_names": (None,) * bands,
        "crs_wkt": None,
        "transform": None,
        "gcps": (),
        "gcps_crs_wkt": None,
        "layout": "tiled",
        "tile_height": 256,
        "tile_width": 256,
        "compression": "DEFLATE",
        "planar": False,
        "encoded_bytes": 1000,
    }
    return SceneHeader(**(fields | changes))


def scene(name: str, height: int, width: int, *, block: int = 512, **changes: Any) -> ScenePlan:
    made = recipe()
    fields: dict[str, Any] = {
        "scene_id": name,
        "uri": f"s3://archive/{name}.tif",
        "etag": "tag",
        "size_bytes": 1000,
        "header": header(height, width),
        "bands": (1, 2),
        "asked_bands": None,
        "geometry": made.geometry,
        "tiling": made.tiling(block),
        "levels": 0,
        "scene_key": "a" * 64,
        "part_key": "b" * 64,
        "outputs": ("mask.tif",),
        "generation": 1,
        "marker_etag": None,
    }
    return ScenePlan(**(fields | changes))
