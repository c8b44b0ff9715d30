"""What the catalogue says: STAC 1.1 objects as plain dicts, from a marker or a card alone.

Links and files are named relative to the object that names them, so that a copied output is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from encdec_batch.commit.catalogue_paths import MODELS, shard_of, shard_path
from encdec_batch.commit.marker import Marker
from encdec_batch.models.card import Card, ClassesOutput
from encdec_batch.plan.products import CELLS, OUTLINES, QUICKLOOK
from encdec_batch.report.place import place_of

STAC_VERSION = "1.1.0"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
JSON, GEOJSON = "application/json", "application/geo+json"
WORLD = (-180.0, -90.0, 180.0, 90.0)

_TYPES = {
    "tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    "png": "image/png",
    "parquet": "application/vnd.apache.parquet",
    "geojson": GEOJSON,
    "zarr": "application/vnd.zarr; version=3",
}
_TITLES = {
    "mask.tif": "classes", "mask.png": "classes, in colour", "image.tif": "image", "image.png": "image",
    "probability.tif": "probability of each class", "entropy.tif": "entropy of the class probabilities",
    QUICKLOOK: "quicklook", CELLS: "a row per core", OUTLINES: "outlines of classes, in pixels",
    "mask.ome.tif": "classes, as OME-TIFF", "image.ome.tif": "image, as OME-TIFF",
    "mask.ome.zarr": "classes, as OME-Zarr", "image.ome.zarr": "image, as OME-Zarr",
}  # fmt: skip
OUTPUT_NAMES = tuple(_TITLES)
"""Every file that a scene may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """A network, as far as the items of its scenes need it."""

    item_id: str
    classes: tuple[dict[str, Any], ...]
    """As `classification:classes` has them; none for images."""


def encode(value: Mapping[str, Any]) -> bytes:
    """The same bytes for the same object."""
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def scene_item(
    marker: Marker, committed: float, *, collection: str, model: ModelEntry | None, gone: datetime | None
) -> dict[str, Any]:
    """The item of a scene.

    Args:
        marker: of the scene, with outputs.
        committed: when it was written, seconds since the epoch.
        collection: id of the collection.
        model: the network that made it, where the catalogue has it.
        gone: since when its input is known to be gone; None: it is there.
    """
    place, extensions = place_of(marker.summary), []
    placed: dict[str, Any] = {}
    if code := marker.summary.get("crs"):
        extensions.append(PROJECTION)
        known = str(code).startswith("EPSG:")
        placed = {"proj:code": code} if known else {"proj:code": None, "proj:wkt2": code}
    if model is not None and model.classes and "mask.tif" in marker.outputs:
        extensions.append(CLASSIFICATION)
    links = [
        {"rel": "root", "href": "../../collection.json", "type": JSON},
        {"rel": "parent", "href": f"../{shard_of(marker.scene_id)}.json", "type": JSON},
        {"rel": "collection", "href": "../../collection.json", "type": JSON},
    ]
    if model is not None:
        links.append({"rel": "derived_from", "href": f"../{MODELS}/{model.item_id}.json", "type": GEOJSON})
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": extensions,
        "id": marker.scene_id,
        "geometry": place.geojson if place else None,
        **({"bbox": list(place.bbox)} if place else {}),
        "properties": {
            # When it was acquired nobody said; a date there must be.
            "datetime": instant(committed),
            "encdec:generation": marker.generation,
            "encdec:scene_key": marker.scene_key,
            "encdec:model": marker.summary.get("model"),
            "encdec:certificate": (marker.certificate or {}).get("result"),
            "encdec:input_uri": marker.input.uri,
            "encdec:input_etag": marker.input.etag,
            **({"encdec:input": "gone", "encdec:input_gone": instant(gone.timestamp())} if gone else {}),
            **placed,
        },
        "links": links,
        "assets": dict(assets_of(marker, "../../", model)),
        "collection": collection,
    }


def assets_of(marker: Marker, root: str, model: ModelEntry | None = None) -> Iterable[tuple[str, dict[str, Any]]]:
    """The files of a scene by name; `root` leads from whoever names them to the root of the output."""
    shape = [marker.summary.get("height"), marker.summary.get("width")]
    for name, file in sorted(marker.outputs.items()):
        asset = {"href": root + file.path, **_asset(name, model)}
        if name.endswith(".tif") and not name.endswith(".ome.tif") and marker.summary.get("crs"):
            asset |= {"proj:shape": shape, "proj:transform": marker.summary["transform"]}
        yield name, asset


def _asset(name: str, model: ModelEntry | None) -> dict[str, Any]:
    kind = "image/tiff" if name.endswith(".ome.tif") else _TYPES.get(name.rpartition(".")[2])
    asset: dict[str, Any] = {"title": _TITLES.get(name, name), "roles": ["overview" if name == QUICKLOOK else "data"]}
    if kind:
        asset["type"] = kind
    if name == "mask.tif" and model is not None and model.classes:
        asset["classification:classes"] = list(model.classes)
    return asset


def classes_of(card: Card) -> tuple[dict[str, Any], ...]:
    """Its classes as `classification:classes` has them."""
    if not isinstance(card.output, ClassesOutput):
        return ()
    return tuple(
        {
            "value": item.id,
            # Names of classes may be of any letters; these are of ASCII.
            "name": re.sub(r"[^0-9A-Za-z_-]", "_", item.name),
            "title": item.name,
            "color_hint": "".join(f"{value:02X}" for value in item.color),
        }
        for item in card.output.classes
    )


def sub_catalogue(name: str, description: str, items: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, Any]:
    """A sub-catalogue.

    Args:
        name: of its folder.
        description: for people.
        items: id of each, and what its link says beside.
    """
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": name,
        "description": description,
        "links": [
            {"rel": "root", "href": "../collection.json", "type": JSON},
            {"rel": "parent", "href": "../collection.json", "type": JSON},
            *({"rel": "item", "href": f"./{name}/{item_id}.json", "type": GEOJSON, **more} for item_id, more in items),
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the collection says of the whole output."""

    collection_id: str
    description: str
    outputs: tuple[str, ...]
    """Files that each scene is to have."""
    model: ModelEntry


def collection(about: About) -> dict[str, Any]:
    """The collection without its children and its extent."""
    item_assets = {name: _asset(name, about.model) for name in about.outputs}
    has_classes = any("classification:classes" in asset for asset in item_assets.values())
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [CLASSIFICATION] if has_classes else [],
        "id": about.collection_id,
        "description": about.description,
        "license": "other",
        "extent": extent([], []),
        "item_assets": item_assets,
        "assets": {
            "scenes.parquet": {"href": "./scenes.parquet", "type": _TYPES["parquet"], "roles": ["collection-mirror"]}
        },
        "links": [],
    }


def extent(boxes: Sequence[Sequence[float]], times: Sequence[float]) -> dict[str, Any]:
    """Of a collection: around all boxes, from the first time to the last; the world, and always, where there are
    none.
    """
    bbox: Sequence[float] = WORLD
    if boxes:
        west, south, east, north = zip(*boxes, strict=True)
        across = any(w > e for w, e in zip(west, east, strict=True))
        bbox = (-180.0 if across else min(west), min(south), 180.0 if across else max(east), max(north))
    interval = [instant(min(times)), instant(max(times))] if times else [None, None]
    return {"spatial": {"bbox": [list(bbox)]}, "temporal": {"interval": [interval]}}


def child(shard: str) -> dict[str, str]:
    """The collection's link to a sub-catalogue."""
    return {"rel": "child", "href": f"./{shard_path(shard)}", "type": JSON}


def instant(seconds: float) -> str:
    """A time in UTC, as RFC 3339 has it, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
