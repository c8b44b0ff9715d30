"""An object that another takes the place of, or that shrinks, while one block of it is read."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import numpy as np
import pytest
from rasters import gtiff
from servers import Fault, faulty_s3_server

from encdec_batch.errors import SceneChanged
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.store.local import LocalStore
from encdec_batch.store.open import open_store
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
SIDE = 512
ACROSS = Window(200, 0, 112, SIDE)
"""Tiles of every row and not of every column, so that they are fetched by several gets."""


def scene(tmp_path, seed: int) -> bytes:
    path = tmp_path / f"{seed}.tif"
    gtiff(np.random.default_rng(seed).integers(0, 255, (3, SIDE, SIDE), dtype=np.uint8), tile=128)(path)
    return path.read_bytes()


CHANGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "another of the same size": lambda old, new: new,
    "another that is longer": lambda old, new: new + bytes(1000),
    "shrunk": lambda old, new: old[: len(old) // 3],
    "empty": lambda old, new: b"",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("reads", [1, 2, 3])
def test_a_file_that_is_written_over_between_two_reads(tmp_path, monkeypatch, change, reads):
    old, new = scene(tmp_path, 1), scene(tmp_path, 2)
    (tmp_path / "scene.tif").write_bytes(old)
    reader = open_reader(LocalStore(str(tmp_path)), "scene.tif", limits=BY_TILES)
    read, calls = os.pread, []

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        data = read(descriptor, size, offset)
        calls.append(offset)
        if len(calls) == reads:
            (tmp_path / "scene.tif").write_bytes(change(old, new))
        return data

    monkeypatch.setattr(os, "pread", pread)
    with pytest.raises(SceneChanged):
        reader.read(ACROSS, (1, 2, 3), rule="any")
    assert len(calls) >= reads
    reader.close()


@pytest.fixture(scope="module")
def server():
    with faulty_s3_server() as running:
        yield running


@pytest.mark.integration
@pytest.mark.parametrize("deaf", [False, True], ids=["heeds If-Match", "ignores it"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_an_object_that_is_replaced_between_two_gets(tmp_path, server, change, deaf):
    old, new = scene(tmp_path, 1), scene(tmp_path, 2)
    bucket = server.server.make_bucket()
    policy = RetryPolicy(total_s=5, first_wait_s=0.01, max_wait_s=0.05, attempt_s=20)
    store, other = (open_store(f"s3://{bucket}", server.server.options, policy=policy) for _ in range(2))
    other.put("scene.tif", old)
    reader = open_reader(store, "scene.tif", limits=BY_TILES)
    server.deaf_to.clear()
    if deaf:
        server.deaf_to.add("HTTP_IF_MATCH")
    before = server.count("GET")
    replaced: list[int] = []

    def replace(headers: list[tuple[str, str]], body: bytes) -> tuple[list[tuple[str, str]], bytes]:
        if not replaced:
            replaced.append(server.count("GET"))
            server.put_behind(bucket, "scene.tif", change(old, new))
        return headers, body

    server.faults.append(Fault("GET", rewrite=replace))
    # One get after the other: the first is answered from the old object, the next meets the new one.
    windows = iter([Window(200, row, 112, 128) for row in range(0, SIDE, 128)] * 3)
    with pytest.raises(SceneChanged):
        deque((reader.read(window, (1, 2, 3), rule="any") for window in windows), maxlen=0)
    assert replaced == [before + 1]
    reader.close()
    server.deaf_to.clear()
