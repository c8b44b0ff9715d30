"""OME-Zarr folders that are damaged, lie, change, or are of a kind that is not read."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
import pytest
from fakes import FakeStore
from zarrs import edit, upload, write_image

from encdec_batch.errors import HeaderTooLarge, SceneError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

DATA = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)


def read(folder: Path, *, limits: Limits | None = None, plane: Plane = WHOLE, um_per_px: float | None = None) -> Any:
    """All that may be asked of an image."""
    store, options = LocalStore(str(folder.parent)), ReadOptions(um_per_px=um_per_px)
    limits = limits or Limits()
    contents_of(store, folder.name, limits=limits, options=options)
    reader = open_reader(store, folder.name, limits=limits, plane=plane, options=options)
    try:
        header = reader.header
        window, bands = Window(0, 0, header.width, header.height), range(1, header.num_bands + 1)
        reader.bytes_for([window], bands)
        return reader.read(window, bands, rule="any").pixels
    finally:
        reader.close()


def attributes(**values: Any) -> Callable[[Path], None]:
    """Changes the multiscales of version 2."""

    def change(path: Path) -> None:
        [image] = json.loads((path / ".zattrs").read_text())["multiscales"]
        edit(path, ".zattrs", multiscales=[image | values])

    return change


def array(**values: Any) -> Callable[[Path], None]:
    return lambda path: edit(path, "0/.zarray" if (path / "0/.zarray").exists() else "0/zarr.json", **values)


def chunk(data: bytes | Callable[[bytes], bytes], name: str = "0/0/0/0") -> Callable[[Path], None]:
    def change(path: Path) -> None:
        old = (path / name).read_bytes()
        (path / name).write_bytes(data if isinstance(data, bytes) else data(old))

    return change


def index(*entry: int) -> Callable[[bytes], bytes]:
    """A shard of 8 chunks whose first lies elsewhere, with its check sum."""

    def change(shard: bytes) -> bytes:
        start = len(shard) - 8 * 16 - 4
        plain = struct.pack("<2Q", *entry) + shard[start + 16 : -4]
        return shard[:start] + plain + struct.pack("<I", google_crc32c.value(plain))

    return change


def axes(*kinds: str) -> list[dict[str, str]]:
    return [{"name": "Doernbecher", "type": kind} for kind in kinds]


def codec(**configuration: Any) -> list[dict[str, Any]]:
    return [{"name": "sharding_indexed", "configuration": SHARDED | configuration}]


SHARDED = {
    "chunk_shape": [1, 16, 20],
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
    "index_location": "end",
}
ZLIB = "v2_zlib"
BAD: dict[str, tuple[str, Callable[[Path], None], type[SceneError], str]] = {
    "no attributes": (ZLIB, lambda path: (path / ".zattrs").unlink(), SceneUnreadable, "without the multiscales"),
    "attributes that are no JSON": (ZLIB, chunk(b"{", ".zattrs"), SceneUnreadable, "no JSON"),
    "attributes without an end": (ZLIB, chunk(b"[" * 99_999, ".zattrs"), SceneUnreadable, "no JSON"),
    "attributes of numbers": (ZLIB, chunk(b"[1]", ".zattrs"), SceneUnreadable, "without the multiscales"),
    "no images": (ZLIB, lambda path: edit(path, ".zattrs", multiscales=[]), SceneUnreadable, "without the multi"),
    "another version": (ZLIB, attributes(version="0.3"), UnsupportedScene, "another version"),
    "axes of text": (ZLIB, attributes(axes=["y", "x"]), SceneUnreadable, "not y and x"),
    "no axes of space": (ZLIB, attributes(axes=axes("time", "channel", "space")), UnsupportedScene, "two or three"),
    "an axis of another kind": (
        ZLIB,
        attributes(axes=axes("Doernbecher", "space", "space")),
        UnsupportedScene,
        "two or three",
    ),
    "axes in another order": (ZLIB, attributes(axes=axes("space", "space", "channel")), SceneUnreadable, "not y and x"),
    "an axis twice": (ZLIB, attributes(axes=axes("time", "time", "space", "space")), SceneUnreadable, "comes twice"),
    "an axis more": (
        ZLIB,
        attributes(axes=axes("time", "channel", "space", "space"), coordinateTransformations=[]),
        SceneUnreadable,
        "no list of numbers",
    ),
    "no levels": (ZLIB, attributes(datasets=[]), SceneUnreadable, "no levels"),
    "levels without end": (ZLIB, attributes(datasets=[{"path": "0"}] * 300), SceneUnreadable, "too many"),
    "a level without a path": (ZLIB, attributes(datasets=[{}]), SceneUnreadable, "has no path"),
    "a level elsewhere": (ZLIB, attributes(datasets=[{"path": "../y.zarr/0"}]), SceneUnreadable, "has no array"),
    "a level at the root": (ZLIB, attributes(datasets=[{"path": "/"}]), SceneUnreadable, "has no array"),
    "a level that is a group": (
        "v3_zstd",
        lambda path: edit(path, "0/zarr.json", node_type="group"),
        SceneUnreadable,
        "has no array",
    ),
    "a scale of text": (
        ZLIB,
        attributes(coordinateTransformations=[{"type": "scale", "scale": ["Doernbecher"] * 3}]),
        SceneUnreadable,
        "no list of numbers",
    ),
    "a shape of no rank": (ZLIB, array(shape=[], chunks=[]), SceneUnreadable, "no list of sizes"),
    "another rank": (ZLIB, array(shape=[40, 50], chunks=[16, 20]), SceneUnreadable, "2 axes instead of 3"),
    "two ranks": (ZLIB, array(chunks=[16, 20]), SceneUnreadable, "cut into chunks of 2"),
    "a negative shape": (ZLIB, array(shape=[2, -40, 50]), SceneUnreadable, "no list of sizes"),
    "a shape of floats": (ZLIB, array(shape=[2, 40.0, 50]), SceneUnreadable, "no list of sizes"),
    "an empty chunk": (ZLIB, array(chunks=[1, 0, 20]), SceneUnreadable, "no list of sizes"),
    "a shape beyond limits": (ZLIB, array(shape=[2, 1 << 20, 1 << 20]), UnsupportedScene, "1,048,576 x 1,048,576 px"),
    "a shape beyond all": (ZLIB, array(shape=[2, 1 << 62, 1 << 62]), UnsupportedScene, "px of 2 channels"),
    "too many channels": (ZLIB, array(shape=[1 << 40, 40, 50]), UnsupportedScene, "channels"),
    "too many chunks": (
        ZLIB,
        array(shape=[2, 40_000, 50_000], chunks=[1, 1, 1]),
        UnsupportedScene,
        "chunks in a plane",
    ),
    "a chunk beyond limits": (
        ZLIB,
        array(chunks=[1, 1 << 15, 1 << 15]),
        UnsupportedScene,
        "chunks of 2,147,483,648 bytes",
    ),
    "objects of Python": (ZLIB, array(dtype="|O"), UnsupportedScene, "no integers or floats"),
    "text": (ZLIB, array(dtype="<U8"), UnsupportedScene, "no integers or floats"),
    "complex": (ZLIB, array(dtype="<c8"), UnsupportedScene, "no integers or floats"),
    "dates": (ZLIB, array(dtype="<M8[s]"), UnsupportedScene, "no integers or floats"),
    "records": (ZLIB, array(dtype=[["a", "<u2"]]), UnsupportedScene, "no integers or floats"),
    "no type": (ZLIB, array(dtype="Doernbecher"), UnsupportedScene, "no integers or floats"),
    "filters": (ZLIB, array(filters=[{"id": "pickle"}]), UnsupportedScene, "went through filters"),
    "an unknown codec": (ZLIB, array(compressor={"id": "pickle"}), UnsupportedScene, "packed by none of"),
    "a codec of no name": (ZLIB, array(compressor="zlib"), UnsupportedScene, "packed by none of"),
    "another order": (ZLIB, array(order="K"), SceneUnreadable, "no order or separator"),
    "a fill value of text": (ZLIB, array(fill_value="Doernbecher"), SceneUnreadable, "fill value"),
    "a fill value beyond its type": (ZLIB, array(fill_value=-1), SceneUnreadable, "fill value"),
    "a fill value that is no integer": (ZLIB, array(fill_value=0.5), SceneUnreadable, "fill value"),
    "an infinite fill value": (ZLIB, array(fill_value="Infinity"), SceneUnreadable, "fill value"),
    "a chunk of nothing": (ZLIB, chunk(b""), SceneUnreadable, "the chunk at (0, 0, 0) cannot be unpacked"),
    "a chunk that is cut": (ZLIB, chunk(lambda data: data[:-9]), SceneUnreadable, "cannot be unpacked"),
    "a chunk of too much": (ZLIB, chunk(zlib.compress(bytes(641))), SceneUnreadable, "cannot be unpacked"),
    "a chunk of too little": (ZLIB, chunk(zlib.compress(bytes(639))), SceneUnreadable, "cannot be unpacked"),
    "a plain chunk that is cut": ("v2_plain", chunk(bytes(639)), SceneUnreadable, "cannot be unpacked"),
    "blosc of rubbish": ("v2_blosc_lz4", chunk(b"Doernbecher" * 99), SceneUnreadable, "cannot be unpacked"),
    "blosc of too much": (
        "v2_blosc_lz4",
        chunk(lambda data: data[:4] + b"\xff" * 4 + data[8:]),
        SceneUnreadable,
        "cannot",
    ),
    "blosc that is cut": ("v2_blosc_zstd", chunk(lambda data: data[:-3]), SceneUnreadable, "cannot be unpacked"),
    "zstd of too much": (
        "v2_zstd",
        chunk(imagecodecs.zstd_encode(bytes(1 << 20))),
        SceneUnreadable,
        "cannot be unpacked",
    ),
    "zstd of rubbish": ("v2_zstd", chunk(b"Doernbecher" * 99), SceneUnreadable, "cannot be unpacked"),
    "lz4 of too much": ("v2_lz4", chunk(b"\xff" * 4 + bytes(99)), SceneUnreadable, "cannot be unpacked"),
    "lz4 of rubbish": ("v2_lz4", chunk(bytes([128, 2, 0, 0]) + b"\xff" * 99), SceneUnreadable, "cannot be unpacked"),
    "bzip2 of too much": ("v2_bz2", chunk(bz2.compress(bytes(1 << 24))), SceneUnreadable, "cannot"),
    "another check sum": (
        "v3_checked",
        chunk(lambda data: data[:-1] + b"\0", "0/c/0/0/0"),
        SceneUnreadable,
        "cannot be",
    ),
    "extensions": ("v3_zstd", array(Doernbecher={"must_understand": True}), UnsupportedScene, "asks for extensions"),
    "transformers": ("v3_zstd", array(storage_transformers=["Doernbecher"]), UnsupportedScene, "storage transformers"),
    "another grid": ("v3_zstd", array(chunk_grid={"name": "rectilinear"}), UnsupportedScene, "of several sizes"),
    "a type of extensions": (
        "v3_zstd",
        array(data_type={"name": "Doernbecher"}),
        UnsupportedScene,
        "no integers or floats",
    ),
    "bits of Zarr 3": ("v3_zstd", array(data_type="r24"), UnsupportedScene, "no integers or floats"),
    "no codecs": ("v3_zstd", array(codecs=[]), UnsupportedScene, "not stored as plain bytes"),
    "codecs of numbers": ("v3_zstd", array(codecs=[1]), SceneUnreadable, "not what Zarr 3 has"),
    "text of Zarr 3": ("v3_zstd", array(codecs=["vlen-utf8"]), UnsupportedScene, "not stored as plain bytes"),
    "an unknown codec of Zarr 3": (
        "v3_zstd",
        array(codecs=["bytes", "Doernbecher"]),
        UnsupportedScene,
        "packed by none of",
    ),
    "another byte order": (
        "v3_zstd",
        array(codecs=[{"name": "bytes", "configuration": {"endian": "Doernbecher"}}]),
        SceneUnreadable,
        "byte order",
    ),
    "axes turned nowhere": (
        "v3_zstd",
        array(codecs=[{"name": "transpose", "configuration": {"order": [0, 0, 1]}}, "bytes"]),
        SceneUnreadable,
        "in an order that is none",
    ),
    "axes turned by text": (
        "v3_zstd",
        array(codecs=[{"name": "transpose", "configuration": {"order": ["Doernbecher", 0, 1]}}, "bytes"]),
        SceneUnreadable,
        "in an order that is none",
    ),
    "other names": (
        "v3_zstd",
        array(chunk_key_encoding={"name": "Doernbecher"}),
        UnsupportedScene,
        "follow another rule",
    ),
    "shards in shards": (
        "v3_shards",
        array(codecs=codec(codecs=codec())),
        UnsupportedScene,
        "not stored as plain bytes",
    ),
    "packed shards": ("v3_shards", array(codecs=[*codec(), "zstd"]), UnsupportedScene, "packed as a whole"),
    "packed indices": (
        "v3_shards",
        array(codecs=codec(index_codecs=["bytes", "zstd"])),
        UnsupportedScene,
        "indices of its shards are packed",
    ),
    "indices nowhere": ("v3_shards", array(codecs=codec(index_location="Doernbecher")), SceneUnreadable, "lie nowhere"),
    "parts of chunks": ("v3_shards", array(codecs=codec(chunk_shape=[1, 15, 20])), SceneUnreadable, "no whole number"),
    "a shard of nothing": ("v3_shards", chunk(b"", "0/c/0/0/0"), SceneUnreadable, "fewer than its index"),
    "an index that is damaged": (
        "v3_shards",
        chunk(lambda data: data[:-9] + bytes(9), "0/c/0/0/0"),
        SceneUnreadable,
        "another check sum",
    ),
    "a chunk beyond its shard": (
        "v3_shards",
        chunk(index(1 << 40, 9), "0/c/0/0/0"),
        SceneUnreadable,
        "beyond the end of its shard",
    ),
    "a chunk beyond all": (
        "v3_shards",
        chunk(index(2**64 - 2, 9), "0/c/0/0/0"),
        SceneUnreadable,
        "beyond the end of its shard",
    ),
    "a chunk within the index": ("v3_shards", chunk(index(0, 3), "0/c/0/0/0"), SceneUnreadable, "cannot be unpacked"),
}


@pytest.mark.parametrize("name", BAD)
def test_is_set_aside_with_a_reason_and_a_hint(tmp_path, name):
    variant, change, kind, words = BAD[name]
    path = write_image(tmp_path / "x.zarr", [DATA], variant=variant)
    change(path)
    with pytest.raises(kind) as caught:
        read(path)
    assert words in caught.value.message
    assert caught.value.message.startswith(f"file://{path}: ")
    assert caught.value.hint
    assert "Doernbecher" not in f"{caught.value}{caught.value.context}"


@pytest.mark.parametrize("variant", ["v2_zlib", "v2_gzip", "v2_bz2", "v2_zstd", "v3_gzip"])
def test_a_bomb_comes_to_no_more_than_a_chunk(tmp_path, variant):
    packs = {"v2_zlib": zlib.compress, "v2_bz2": bz2.compress, "v2_zstd": imagecodecs.zstd_encode}
    bomb = packs.get(variant, gzip.compress)(bytes(1 << 25))
    path = write_image(tmp_path / "x.zarr", [DATA], variant=variant)
    chunk(bomb, "0/c/0/0/0" if variant.startswith("v3") else "0/0/0/0")(path)
    tracemalloc.start()
    with pytest.raises(SceneUnreadable, match="cannot be unpacked"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < len(bomb) + (4 << 20)
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("limits", "kind", "words"),
    [
        (Limits(max_objects=10), UnsupportedScene, "more than 10 objects"),
        (Limits(max_planes=2), UnsupportedScene, "3 planes, more than 2"),
        (Limits(max_header_bytes=100), HeaderTooLarge, "its metadata have more than 100 bytes"),
        (Limits(max_header_bytes=2000), HeaderTooLarge, "the indexes of its shards have more than 2,000 bytes"),
        (Limits(max_decoded_bytes=639), UnsupportedScene, "chunks of 640 bytes"),
        (Limits(max_chunks=8), UnsupportedScene, "9 chunks in a plane"),
    ],
)
def test_limits(tmp_path, limits, kind, words):
    sharded = limits.max_header_bytes == 2000
    path = write_image(
        tmp_path / "x.zarr",
        [np.concatenate([DATA, DATA[:1]])],
        "zyx",
        variant="v3_shards" if sharded else ZLIB,
        chunks=(1, 4, 5) if sharded else None,
    )
    with pytest.raises(kind) as caught:
        read(path, limits=limits, plane=Plane.of(z=1))
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("plane", "words"),
    [
        (WHOLE, "none of its planes is named, and it has 2 along z"),
        (Plane.of(z=2), "it has no plane z=2"),
        (Plane.of(t=1, z=0), "it has no plane t=1,z=0"),
        (Plane.of(slice=1), "slice=1 names no single plane"),
    ],
)
def test_a_plane_that_is_not_there(tmp_path, plane, words):
    with pytest.raises(UnsupportedScene) as caught:
        read(write_image(tmp_path / "x.zarr", [DATA], "zyx"), plane=plane)
    assert words in caught.value.message


def test_nothing_there_or_a_file(tmp_path):
    (tmp_path / "file.zarr").write_bytes(b"PK\3\4")
    for name in ("nothing.zarr", "file.zarr"):
        with pytest.raises(SceneUnreadable, match="no such folder"):
            read(tmp_path / name)


@pytest.mark.parametrize("variant", ["v2_blosc_lz4", "v2_lz4", "v3_zstd", "v3_shards"])
def test_whatever_is_damaged_there_are_pixels_or_an_error_of_the_scene(tmp_path, variant):
    """Bits turned, bytes cut out, numbers of JSON replaced: in metadata, indices and chunks."""
    whole = FakeStore()
    upload(whole, write_image(tmp_path / "x.zarr", [DATA], variant=variant), "x.zarr")
    said = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        store = FakeStore(objects=dict(whole.objects))
        name = sorted(store.objects)[rng.integers(len(store.objects))]
        data = bytearray(store.objects[name][0])
        at = int(rng.integers(len(data)))
        if data[at] in b"0123456789" and b"{" in data[:1]:
            data[at : at + 1] = [b"-1", b"0", b"99999999999", b"1e9", b"null", b'"x"'][rng.integers(6)]
        elif rng.random() < 0.3:
            del data[at : at + int(rng.integers(1, 40))]
        else:
            data[at] ^= 1 << int(rng.integers(8))
        store.put(name, bytes(data))
        try:
            reader = open_reader(store, "x.zarr")
            header = reader.header
            window, bands = Window(0, 0, header.width, header.height), range(1, header.num_bands + 1)
            assert header.width * header.height * header.num_bands < 1 << 24
            reader.bytes_for([window], bands)
            said.add(reader.read(window, bands, rule="any").pixels.shape)
        except SceneError as error:
            said.add(type(error) if error.hint else "no hint")
    assert "no hint" not in said
    assert SceneUnreadable in said
