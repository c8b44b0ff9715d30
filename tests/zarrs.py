"""OME-Zarr images in small, written by zarr-python: axes, levels and packing as a test wants them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, TransposeCodec, ZstdCodec

from encdec_batch.store.store import Store

TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
VERSION_2: dict[str, dict[str, Any]] = {
    "v2_plain": {"compressors": None},
    "v2_zlib": {"compressors": numcodecs.Zlib(9)},
    "v2_gzip": {"compressors": numcodecs.GZip(1)},
    "v2_bz2": {"compressors": numcodecs.BZ2(1)},
    "v2_lz4": {"compressors": numcodecs.LZ4()},
    "v2_zstd": {"compressors": numcodecs.Zstd(3)},
    "v2_blosc_lz4": {"compressors": numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE)},
    "v2_blosc_zstd": {"compressors": numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)},
    "v2_blosc_blosclz": {"compressors": numcodecs.Blosc("blosclz", 0)},
    "v2_fortran": {"compressors": numcodecs.Zlib(1), "order": "F"},
    "v2_dots": {"compressors": None, "chunk_key_encoding": {"name": "v2", "separator": "."}},
}
VERSION_3: dict[str, dict[str, Any]] = {
    "v3_plain": {"compressors": None},
    "v3_zstd": {"compressors": [ZstdCodec(level=3, checksum=True)]},
    "v3_gzip": {"compressors": [GzipCodec(level=1)]},
    "v3_blosc": {"compressors": [BloscCodec(cname="zlib", shuffle="bitshuffle")]},
    "v3_checked": {"compressors": [ZstdCodec(), Crc32cCodec()]},
    "v3_big_endian": {"compressors": None, "serializer": BytesCodec(endian="big")},
    "v3_turned": {"compressors": [ZstdCodec()], "filters": "turned"},
    "v3_v2_names": {"compressors": None, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "v3_dots": {"compressors": None, "chunk_key_encoding": {"name": "default", "separator": "."}},
    "v3_shards": {"compressors": [ZstdCodec()], "shards": 2},
    "v3_shards_index_first": {"compressors": [BloscCodec()], "shards": 2, "index_location": "start"},
}
VARIANTS = VERSION_2 | VERSION_3


def write_image(
    path: Path,
    levels: Sequence[Any],
    axes: str = "cyx",
    *,
    variant: str = "v2_zlib",
    chunks: Sequence[int] | None = None,
    scale: float | None = 0.5,
    unit: str | None = "micrometer",
    **options: Any,
) -> Path:
    """One image with these arrays as its levels; pixels of the finest are `scale` a side, others in proportion."""
    version = 2 if variant in VERSION_2 else 3
    group = zarr.open_group(path, mode="w", zarr_format=version)
    datasets = []
    for number, data in enumerate(levels):
        write_array(path, str(number), data, variant=variant, chunks=chunks, **options)
        factor = levels[0].shape[-1] / data.shape[-1]
        sides = [1.0 if axis in "tc" else (scale or 1.0) * factor for axis in axes]
        transformations = [{"type": "scale", "scale": sides}] if scale else []
        datasets.append({"path": str(number), "coordinateTransformations": transformations})
    described = [
        {"name": axis, "type": TYPES[axis]} | ({"unit": unit} if unit and axis in "zyx" else {}) for axis in axes
    ]
    image = {"axes": described, "datasets": datasets, "name": "Janetta Doernbecher"}
    if version == 2:
        group.attrs["multiscales"] = [image | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


def write_array(
    path: Path, name: str, data: Any, *, variant: str, chunks: Sequence[int] | None, **options: Any
) -> None:
    settings = dict(VARIANTS[variant])
    chunks = tuple(chunks or (1,) * (data.ndim - 2) + (16, 20))
    if settings.get("filters") == "turned":
        settings["filters"] = [TransposeCodec(order=tuple(np.roll(range(data.ndim), 1).tolist()))]
    if shards := settings.pop("shards", None):
        inner = [BytesCodec(), *settings.pop("compressors")]
        location = settings.pop("index_location", "end")
        settings["serializer"] = ShardingCodec(chunk_shape=chunks, codecs=inner, index_location=location)
        settings["compressors"] = None
        chunks = tuple(side * shards for side in chunks)
    if variant in VERSION_2:
        settings.setdefault("chunk_key_encoding", {"name": "v2", "separator": "/"})
    settings |= options
    if data.dtype.byteorder == ">" and variant in VERSION_3:
        raise ValueError("of Zarr 3 the byte order is a codec's")
    array = zarr.create_array(
        store=path,
        name=name,
        shape=data.shape,
        chunks=chunks,
        dtype=data.dtype,
        zarr_format=2 if variant in VERSION_2 else 3,
        **({"fill_value": 0} | settings),
    )
    array[...] = data


def edit(path: Path, name: str, **values: Any) -> None:
    """Changes fields of a file of JSON; None takes one away."""
    meta = json.loads((path / name).read_text())
    for field, value in values.items():
        meta[field] = value
    (path / name).write_text(json.dumps(meta))


def upload(store: Store, path: Path, name: str) -> None:
    """Every file of a folder as an object."""
    for file in sorted(path.rglob("*")):
        if file.is_file():
            store.put(f"{name}/{file.relative_to(path)}", file.read_bytes())
