"""What the metadata of a Zarr array say: how its values are cut into chunks, packed and named.

Source: Zarr specifications version 2 and 3, https://zarr-specs.readthedocs.io; sharding: "Sharding codec" there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.zarr.codecs import CHECK_BYTES, CODECS

_VERSION_3_TYPES = frozenset(
    {
        "bool",
        *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        "float16",
        "float32",
        "float64",
    }
)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_KNOWN = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"}
    | {"attributes", "dimension_names", "storage_transformers"}
)
"""Fields of zarr.json that the specification names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """How chunks lie together in one object."""

    chunks: tuple[int, ...]
    """Along each axis of a shard."""
    index_first: bool
    """The index comes before the chunks; else behind them."""
    index_checked: bool
    """It ends in a check sum."""

    @property
    def index_bytes(self) -> int:
        return 16 * math.prod(self.chunks) + (CHECK_BYTES if self.index_checked else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZarrArray:
    """An array as it lies in a folder."""

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    """Shape of what is unpacked at a time."""
    dtype: np.dtype[Any]
    """Of stored values, in their byte order."""
    fill: Any
    """The value where a chunk is missing; None: undefined, so that there is none."""
    order: tuple[int, ...]
    """Axes in the order in which a chunk has them, the last one fastest."""
    codecs: tuple[str, ...]
    """In the order in which they packed a chunk."""
    prefix: str
    """Of the names of objects, which go on with their indices."""
    separator: str
    shards: Shards | None
    """None: each chunk is an object."""

    @property
    def chunk_bytes(self) -> int:
        """Unpacked."""
        return math.prod(self.chunk) * self.dtype.itemsize

    def grid(self, axis: int) -> int:
        """Chunks along an axis."""
        return -(-self.shape[axis] // self.chunk[axis])

    def path(self, indices: Sequence[int]) -> str:
        """Of the object with these indices: those of a chunk, or of a shard."""
        return self.prefix + self.separator.join(map(str, indices))


def array_of_version_2(meta: Mapping[str, Any], folder: str, *, uri: str) -> ZarrArray:
    """What `.zarray` says.

    Args:
        meta: its JSON.
        folder: of the array, "" or ending in "/".
        uri: for messages.

    Raises:
        SceneUnreadable: it is no such metadata.
        UnsupportedScene: it asks for what is not read.
    """
    shape, chunk = _sizes(meta.get("shape"), uri), _sizes(meta.get("chunks"), uri)
    _check_rank(shape, chunk, uri)
    if meta.get("filters"):
        raise _not_read(uri, "its values went through filters before they were packed")
    compressor = meta.get("compressor")
    codecs: tuple[str, ...] = ()
    if compressor is not None:
        codecs = (_known_codec(compressor.get("id") if isinstance(compressor, Mapping) else None, uri),)
    order, separator = meta.get("order"), meta.get("dimension_separator", ".")
    if order not in ("C", "F") or separator not in (".", "/"):
        raise _damaged(uri, "its .zarray has no order or separator that Zarr has")
    dtype = _dtype_of_version_2(meta.get("dtype"), uri)
    axes = tuple(range(len(shape)))
    return ZarrArray(
        shape=shape,
        chunk=chunk,
        dtype=dtype,
        fill=_fill(meta.get("fill_value"), dtype, uri),
        order=axes if order == "C" else axes[::-1],
        codecs=codecs,
        prefix=folder,
        separator=separator,
        shards=None,
    )


def array_of_version_3(meta: Mapping[str, Any], folder: str, *, uri: str) -> ZarrArray:
    """What `zarr.json` of an array says. Args, Raises: as `array_of_version_2`."""
    strange = (value for key, value in meta.items() if key not in _KNOWN)
    if any(not isinstance(value, Mapping) or value.get("must_understand") is not False for value in strange):
        raise _not_read(uri, "its zarr.json asks for extensions")
    if meta.get("storage_transformers"):
        raise _not_read(uri, "its zarr.json asks for storage transformers")
    shape = _sizes(meta.get("shape"), uri)
    grid, grid_configuration = _named(meta.get("chunk_grid"), uri)
    if grid != "regular":
        raise _not_read(uri, "its chunks are of several sizes")
    outer = _sizes(grid_configuration.get("chunk_shape"), uri)
    _check_rank(shape, outer, uri)
    data_type = meta.get("data_type")
    if not isinstance(data_type, str) or data_type not in _VERSION_3_TYPES:
        raise _not_read(uri, "its values are no integers or floats of up to 64 bits")
    chunk, shards, chain = outer, None, _chain(meta.get("codecs"), uri)
    if chain and chain[0][0] == "sharding_indexed":
        if len(chain) > 1:
            raise _not_read(uri, "its shards are packed as a whole")
        chunk, shards, chain = _sharded(chain[0][1], outer, uri)
    order, endian, codecs = _pipeline(chain, len(shape), uri)
    dtype = np.dtype(data_type).newbyteorder(endian)
    encoding, named = _named(meta.get("chunk_key_encoding"), uri)
    separator = named.get("separator", "/" if encoding == "default" else ".")
    if encoding not in ("default", "v2") or separator not in (".", "/"):
        raise _not_read(uri, "the names of its chunks follow another rule")
    return ZarrArray(
        shape=shape,
        chunk=chunk,
        dtype=dtype,
        fill=_fill(meta.get("fill_value"), dtype, uri),
        order=order,
        codecs=codecs,
        prefix=folder + (f"c{separator}" if encoding == "default" else ""),
        separator=separator,
        shards=shards,
    )


def _sharded(
    configuration: Mapping[str, Any], outer: tuple[int, ...], uri: str
) -> tuple[tuple[int, ...], Shards, list[tuple[str, Mapping[str, Any]]]]:
    chunk = _sizes(configuration.get("chunk_shape"), uri)
    _check_rank(outer, chunk, uri)
    if any(side % inner for side, inner in zip(outer, chunk, strict=True)):
        raise _damaged(uri, "its shards are no whole number of chunks")
    index = _chain(configuration.get("index_codecs"), uri)
    names = [name for name, _ in index]
    if names not in (["bytes"], ["bytes", "crc32c"]) or index[0][1].get("endian", "little") != "little":
        raise _not_read(uri, "the indices of its shards are packed")
    location = configuration.get("index_location", "end")
    if location not in ("start", "end"):
        raise _damaged(uri, "the indices of its shards lie nowhere")
    shards = Shards(
        chunks=tuple(side // inner for side, inner in zip(outer, chunk, strict=True)),
        index_first=location == "start",
        index_checked="crc32c" in names,
    )
    return chunk, shards, _chain(configuration.get("codecs"), uri)


def _pipeline(
    chain: Sequence[tuple[str, Mapping[str, Any]]], rank: int, uri: str
) -> tuple[tuple[int, ...], Literal["<", ">"], tuple[str, ...]]:
    """Order of axes, byte order, and what packs the bytes."""
    order = tuple(range(rank))
    turns = list(itertools.takewhile(lambda codec: codec[0] == "transpose", chain))
    for _, configuration in turns:
        turn = configuration.get("order")
        if not isinstance(turn, list) or sorted(turn, key=repr) != sorted(range(rank), key=repr):
            raise _damaged(uri, "its axes are transposed in an order that is none")
        order = tuple(order[axis] for axis in turn)
    rest = chain[len(turns) :]
    if not rest or rest[0][0] != "bytes":
        raise _not_read(uri, "its values are not stored as plain bytes before they are packed")
    endian = rest[0][1].get("endian", "little")
    if endian not in ("little", "big"):
        raise _damaged(uri, "its byte order is none")
    codecs = tuple(_known_codec(name, uri) for name, _ in rest[1:])
    return order, "<" if endian == "little" else ">", codecs


def _chain(value: object, uri: str) -> list[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, list):
        raise _damaged(uri, "its zarr.json lists no codecs")
    return [_named(item, uri) for item in value]


def _named(value: object, uri: str) -> tuple[str, Mapping[str, Any]]:
    """Name and configuration of an extension point; of some the name may stand alone."""
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping):
        name, configuration = value.get("name"), value.get("configuration", {})
        if isinstance(name, str) and isinstance(configuration, Mapping):
            return name, configuration
    raise _damaged(uri, "its zarr.json is not what Zarr 3 has")


def _known_codec(name: object, uri: str) -> str:
    plain = name.removeprefix("numcodecs.") if isinstance(name, str) else ""
    if plain not in CODECS:
        raise _not_read(uri, f"its chunks are packed by none of {', '.join(CODECS)}")
    return plain


def _dtype_of_version_2(value: object, uri: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(value) if isinstance(value, str) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise _not_read(uri, "its values are no integers or floats of up to 64 bits")
    return dtype


def _fill(value: object, dtype: np.dtype[Any], uri: str) -> Any:
    if value is None:
        return None
    native = dtype.newbyteorder("=")
    try:
        if isinstance(value, str) and value.startswith("0x") and native.kind == "f":
            return np.array(int(value, 16), f"u{native.itemsize}").view(native)[()]
        number = _SPECIAL[value] if isinstance(value, str) else value
        if not isinstance(number, bool | int | float):
            raise TypeError(number)
        with np.errstate(over="ignore"):
            fill = native.type(number)
        # Floats are rounded to the type; integers are in it or not.
        if native.kind != "f" and int(fill) != number:
            raise ValueError(number)
    except (ValueError, OverflowError, KeyError, TypeError) as error:
        raise _damaged(uri, "its fill value is none of its type") from error
    return fill


def _sizes(value: object, uri: str) -> tuple[int, ...]:
    if isinstance(value, list) and value and all(type(size) is int and 0 < size < 1 << 63 for size in value):
        return tuple(value)
    raise _damaged(uri, "the shape of its array or of its chunks is no list of sizes")


def _check_rank(one: tuple[int, ...], other: tuple[int, ...], uri: str) -> None:
    if len(one) != len(other):
        raise _damaged(uri, f"an array of {len(one)} axes is cut into chunks of {len(other)}")


def _not_read(uri: str, what: str) -> UnsupportedScene:
    return UnsupportedScene(
        f"{uri}: {what}", hint="write it anew, e.g. by ome-zarr-py or bioformats2raw with zstd or blosc", uri=uri
    )


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the metadata are damaged; write them anew", uri=uri)
