"""What the groups and arrays of an OME-Zarr say: axes, levels, size of pixels, names and colours of classes.

Source: OME-NGFF 0.5 (https://ngff.openmicroscopy.org/0.5), Zarr v3 core 3.0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import Product
from encdec_batch.write.overview import TILE

VERSION = "0.5"
LABELS, LABEL = "labels", "classes"
"""Where the spec wants labels, and the name of ours."""
ZSTD_LEVEL = 3
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """Of the finest level, from the slowest axis to the fastest."""

    product: Product
    axes: str
    """As `cyx`: c where there are several bands or an image, z of volumes."""
    spacing: Mapping[str, float]
    """Of neighbouring pixels by axis, in `unit`; 1 where an axis is missing."""
    unit: str | None
    """`micrometer`, `millimeter`; None: nobody knows how large they are."""


def folder_of_levels(product: Product) -> str:
    """Where the arrays lie, with a slash at its end where they are not at the root."""
    return f"{LABELS}/{LABEL}/" if product.kind == "classes" else ""


def groups(pixels: Pixels, num_levels: int) -> dict[str, bytes]:
    """The `zarr.json` of every group, by path.

    Classes are a label image with names and colours, below `labels` where tools look for one. The image that they
    are labels of is not at hand: the root shows the same arrays in its place, so that a folder is always an image.
    """
    product = pixels.product
    own = _group(multiscales=[_multiscale(pixels, num_levels, "")])
    if product.kind != "classes":
        return {"zarr.json": own}
    root = [_multiscale(pixels, num_levels, folder_of_levels(product))]
    label = _group(multiscales=[_multiscale(pixels, num_levels, "")], **{"image-label": _image_label(product)})
    return {
        "zarr.json": _group(multiscales=root),
        f"{LABELS}/zarr.json": _group(labels=[LABEL]),
        f"{LABELS}/{LABEL}/zarr.json": label,
    }


def array(pixels: Pixels, shape: Sequence[int]) -> bytes:
    """The `zarr.json` of one level: chunks of one band or slice and 512 x 512 px, all in one shard."""
    product, chunk = pixels.product, chunk_shape(pixels.axes)
    shard = [side * math.ceil(size / side) for side, size in zip(chunk, shape, strict=True)]
    plain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    sharding = {
        "chunk_shape": chunk,
        "codecs": [*plain, {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}],
        "index_codecs": [*plain, {"name": "crc32c"}],
        "index_location": "end",
    }
    about = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": product.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill(product),
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": list(pixels.axes),
        "attributes": _units(product),
    }
    return _json(about)


def chunk_shape(axes: str) -> list[int]:
    """Of an array with these axes."""
    return [TILE if axis in "yx" else 1 for axis in axes]


def shard_key(axes: str) -> str:
    """Path of an array's one shard, below its folder."""
    return "c/" + "/".join("0" for _ in axes)


def encoded(chunk: NDArray[np.generic]) -> bytes:
    """A chunk as `array` says."""
    little = np.ascontiguousarray(chunk, chunk.dtype.newbyteorder("<"))
    return bytes(imagecodecs.zstd_encode(little.tobytes(), level=ZSTD_LEVEL))


def _multiscale(pixels: Pixels, num_levels: int, folder: str) -> dict[str, Any]:
    axes = []
    for name in pixels.axes:
        axis = {"name": name, "type": _TYPES[name]}
        if pixels.unit and _TYPES[name] == "space":
            axis["unit"] = pixels.unit
        axes.append(axis)
    datasets = [
        {"path": f"{folder}{level}", "coordinateTransformations": _placed(pixels, level)} for level in range(num_levels)
    ]
    return {"name": pixels.product.name, "axes": axes, "datasets": datasets}


def _placed(pixels: Pixels, level: int) -> list[dict[str, Any]]:
    """Where a pixel lies: its middle is that of the 2**level x 2**level pixels that it is made of."""
    factor = 2**level
    scale = [pixels.spacing.get(axis, 1.0) * (factor if axis in "yx" else 1) for axis in pixels.axes]
    found: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if level:
        moved = [pixels.spacing.get(axis, 1.0) * (factor - 1) / 2 if axis in "yx" else 0.0 for axis in pixels.axes]
        found.append({"type": "translation", "translation": moved})
    return found


def _image_label(product: Product) -> dict[str, Any]:
    classes = list(zip(product.class_ids, product.class_names, product.class_colors, strict=True))
    colors = [{"label-value": number, "rgba": [*color, 255]} for number, _, color in classes]
    names: list[dict[str, Any]] = [{"label-value": number, "name": name} for number, name, _ in classes]
    if product.nodata is not None:
        colors.append({"label-value": int(product.nodata), "rgba": [0, 0, 0, 0]})
        names.append({"label-value": int(product.nodata), "name": "nodata"})
    return {
        "colors": colors,
        "properties": names,
        "source": {"image": "../../"},
    }


def _units(product: Product) -> dict[str, float]:
    """Of integers that stand for other values, by the names that xarray knows."""
    if (product.scale, product.offset) == (1.0, 0.0):
        return {}
    return {"scale_factor": product.scale, "add_offset": product.offset}


def _fill(product: Product) -> float | str:
    if np.dtype(product.dtype).kind == "f":
        return "NaN" if product.nodata is None or math.isnan(product.nodata) else float(product.nodata)
    return 0 if product.nodata is None else int(product.nodata)


def _group(**ome: Any) -> bytes:
    return _json({"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"version": VERSION, **ome}}})


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False).encode()
