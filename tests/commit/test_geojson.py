from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pytest
from commit.scenes import MANY, MASK, patches, scene_tiles
from rasterio.features import rasterize

from encdec_batch.commit.geojson import PixelSize, write_geojson
from encdec_batch.plan.product import Product
from encdec_batch.spec.output import GeojsonFile
from encdec_batch.write.sink import Written

ONE = PixelSize(height=1.0, width=1.0)


def outlines(pixels: np.ndarray, product: Product, size: PixelSize = ONE, **options: Any) -> dict[str, Any]:
    sink = io.BytesIO()
    tiles = scene_tiles(pixels, product, side=512, levels=0)
    written = write_geojson(sink, tiles, GeojsonFile(kind="geojson", **options), size)
    data = sink.getvalue()
    assert written == Written(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return json.loads(data)


@pytest.mark.parametrize("product", [MASK, MANY], ids=["bytes", "16-bits"])
def test_rasterised_it_is_the_mask(product: Product) -> None:
    pixels = patches(product, 530, 61)
    found = outlines(pixels, product, classes=product.class_names)
    back = np.full(pixels.shape[1:], product.nodata, product.dtype)
    ids = dict(zip(product.class_names, product.class_ids, strict=True))
    burnt = [
        (feature["geometry"], ids[feature["properties"]["classification"]["name"]]) for feature in found["features"]
    ]
    rasterize(burnt, out=back)
    np.testing.assert_array_equal(back, pixels[0])


def test_it_has_the_form_that_qupath_reads() -> None:
    pixels = np.zeros((1, 6, 5), "u1")
    pixels[0, 1:4, 1:4] = 2
    pixels[0, 2, 2] = 0
    pixels[0, 5, 0] = 7
    found = outlines(pixels, MASK)
    assert found.keys() == {"type", "features"}
    assert found["type"] == "FeatureCollection"
    first, second = found["features"]
    assert first == {
        "type": "Feature",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]], [[2, 2], [2, 3], [3, 3], [3, 2], [2, 2]]],
        },
        "properties": {"objectType": "annotation", "classification": {"name": "forêt", "color": [0, 128, 0]}},
    }
    assert second["properties"]["classification"]["name"] == "road"


def test_coordinates_are_of_the_finest_level() -> None:
    pixels = np.zeros((1, 3, 3), "u1")
    pixels[0, 1, 2] = 1
    [feature] = outlines(pixels, MASK, PixelSize(height=4.0002, width=2.5))["features"]
    assert feature["geometry"]["coordinates"] == [[[5.0, 4.0], [7.5, 4.0], [7.5, 8.0], [5.0, 8.0], [5.0, 4.0]]]


def test_small_regions_and_points_are_left_out_on_request() -> None:
    pixels = np.zeros((1, 40, 40), "u1")
    pixels[0, 0, 0] = 1
    pixels[0][np.tril_indices(40, -5)] = 1
    [feature] = outlines(pixels, MASK, min_area_px=2, tolerance_px=1, objects="detection")["features"]
    assert len(feature["geometry"]["coordinates"][0]) <= 6
    assert feature["properties"]["objectType"] == "detection"


def test_a_mask_without_classes_is_an_empty_collection() -> None:
    assert outlines(np.full((1, 3, 3), 255, "u1"), MASK) == {"type": "FeatureCollection", "features": []}
