"""The same scene through different stores, every request of the S3 server counted."""

from __future__ import annotations

import re

import numpy as np
import pytest
import zarrs
from contracts import reader as contract
from rasters import VARIANTS, gtiff
from servers import faulty_s3_server

from encdec_batch.errors import SceneChanged
from encdec_batch.plan.discover import find_scenes
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.open import open_reader
from encdec_batch.spec.source import PrefixSource
from encdec_batch.store.open import locate, open_store
from encdec_batch.window import Window

pytestmark = pytest.mark.integration

BY_TILES = Limits(small_file_bytes=0)


@pytest.fixture(scope="module")
def server():
    with faulty_s3_server() as faulty:
        yield faulty


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """1.6 MB in 128 px tiles, 12 to a row."""
    path = tmp_path_factory.mktemp("scenes") / "noise.tif"
    pixels = np.random.default_rng(3).integers(0, 255, (2, 600, 1500), dtype=np.uint8)
    gtiff(pixels, tile=128, compress="DEFLATE", interleave="pixel")(path)
    return path


def upload(server, *paths):
    bucket = server.server.make_bucket()
    store = open_store(f"s3://{bucket}/scenes", server.server.options)
    for path in paths:
        store.put(path.name, path.read_bytes())
    return store


def ranges_served(server):
    """Lengths of the ranges of all GETs so far; a listing has none."""
    asked = [request["HTTP_RANGE"] for request in server.requests if "HTTP_RANGE" in request]
    return [int(last) - int(first) + 1 for first, last in (re.findall(r"\d+", text) for text in asked)]


@pytest.mark.parametrize("limits", [BY_TILES, DEFAULT_LIMITS], ids=["by_tiles", "whole"])
def test_bytes_said_are_bytes_counted_are_bytes_served(server, noise, limits):
    store = upload(server, noise)
    server.requests.clear()
    reader = open_reader(store, noise.name, limits=limits)
    opened = reader.bytes_read
    windows = contract.run_of_windows(600, 1500, side=256, halo=32)
    said = reader.bytes_for(windows, (1, 2))
    for window in windows:
        reader.read(window, (1, 2), rule="any")
    assert reader.bytes_read == opened + said == sum(ranges_served(server))
    assert server.count("HEAD") == 1
    assert server.count("GET") <= 1 + (1 if limits is DEFAULT_LIMITS else 3 * len(windows))
    assert all("HTTP_IF_MATCH" in request for request in server.requests if request["REQUEST_METHOD"] == "GET")
    reader.close()


def test_s3_and_files_give_what_rasterio_gives(server, tmp_path):
    names = ("codec_zstd", "predictor2_planar", "jpeg_ycbcr", "internal_mask", "copied_overviews", "bigtiff_big_endian")
    paths = [tmp_path / f"{name}.tif" for name in names]
    for path in paths:
        next(variant for variant in VARIANTS if variant.name == path.stem).write(path)
    remote, local = upload(server, *paths), open_store(tmp_path.as_uri())
    for path in paths:
        for store in (remote, local):
            for limits in (BY_TILES, DEFAULT_LIMITS):
                contract.check_windows(lambda: open_reader(store, path.name, limits=limits), path)  # noqa: B023
            contract.check_costs(lambda: open_reader(store, path.name, limits=BY_TILES), path)  # noqa: B023


def test_a_scene_replaced_on_s3_is_noticed_even_by_servers_without_if_match(server, noise):
    for deaf_to in (set(), {"HTTP_IF_MATCH"}):
        store = upload(server, noise)
        reader = open_reader(store, noise.name, limits=BY_TILES)
        reader.read(Window(0, 0, 100, 100), (1,), rule="any")
        store.put(noise.name, noise.read_bytes()[::-1])
        server.deaf_to = deaf_to
        try:
            with pytest.raises(SceneChanged):
                reader.read(Window(1000, 400, 400, 200), (1,), rule="any")
        finally:
            server.deaf_to = set()
        reader.close()


def test_chunks_of_a_folder_on_s3_are_pinned_counted_and_fetched_once(server, tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (2, 60, 90), dtype=np.uint8)
    for variant in ("v2_zlib", "v3_shards"):
        bucket = server.server.make_bucket()
        store = open_store(f"s3://{bucket}/scenes", server.server.options)
        zarrs.upload(store, zarrs.write_image(tmp_path / f"{variant}.zarr", [data], variant=variant), "x.zarr")
        [candidate] = find_scenes(
            PrefixSource(kind="prefix", uri=f"s3://{bucket}/scenes", storage=server.server.options)
        ).candidates
        spec_store, path = locate(f"{candidate.uri}/", server.server.options)
        server.requests.clear()
        reader = open_reader(spec_store, path, etag=candidate.etag)
        assert reader.size_bytes == candidate.size_bytes
        windows = contract.run_of_windows(60, 90, side=32, halo=8)
        said = reader.bytes_for(windows, (1, 2))
        opened = reader.bytes_read
        patches = [reader.read(window, (1, 2), rule="any") for window in windows]
        assert reader.bytes_read == opened + said == sum(ranges_served(server))
        assert all("HTTP_IF_MATCH" in request for request in server.requests if "HTTP_RANGE" in request)
        assert sum("HTTP_RANGE" not in request for request in server.requests) == 1
        for window, patch in zip(windows, patches, strict=True):
            np.testing.assert_array_equal(patch.pixels, data[:, window.rows, window.cols])
        name = "0/1/2/0" if variant == "v2_zlib" else "0/c/0/1/0"
        store.put(f"x.zarr/{name}", store.get(f"x.zarr/{name}")[::-1])
        for deaf_to in ({"HTTP_IF_MATCH"}, set()):
            server.deaf_to = deaf_to
            with pytest.raises(SceneChanged):
                reader.read(Window(0, 40, 10, 20), (2,), rule="any")
            server.deaf_to = set()
        reader.close()
