"""What the fuzzer sees, and a slice of it: `make fuzz` goes on for hours."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
from rasters import tiny_png, tiny_tiff

from fuzz.campaign import run
from fuzz.corpus import Seed, corpus
from fuzz.fields import tiff_fields
from fuzz.mutate import mutated
from fuzz.pair import Fault, Pair

FILES = 1500
MOST_S = 150.0

_STUB = """
import json, os, struct, sys, time
answer = {"error": "SceneUnreadable", "hint": True, "seconds": 0.0, "grown": 0}
while True:
    head = sys.stdin.buffer.read(8)
    if len(head) < 8:
        break
    what = sys.stdin.buffer.read(struct.unpack("<Q", head)[0]).decode()
    if what == "crash": os.abort()
    if what == "hang": time.sleep(600)
    if what == "noise": print("ERROR 1: something", file=sys.stderr, flush=True)
    more = {"error": {"fault": "KeyError: x"}, "memory": {"grown": 1 << 40}, "slow": {"seconds": 1e9}}.get(what, {})
    if what == "differs": more = {"error": os.environ["MALLOC_PERTURB_"]}
    print(json.dumps(answer | more), flush=True)
"""


_COMMANDS = ((sys.executable, "-c", _STUB),) * 2


@pytest.fixture
def stubs():
    pair = Pair(_COMMANDS)
    yield pair
    pair.close()


def test_a_child_that_hangs_is_ended():
    pair = Pair(_COMMANDS, hang_s=0.2)
    found = pair.read(b"hang")
    pair.close()
    assert isinstance(found, Fault)
    assert found.kind == "hang"


@pytest.mark.parametrize("what", ["crash", "error", "memory", "slow", "noise", "differs"])
def test_whatever_a_child_does_is_seen_and_the_next_file_is_read(stubs, what):
    assert not isinstance(stubs.read(b"fine"), Fault)
    found = stubs.read(what.encode())
    assert isinstance(found, Fault)
    assert found.kind == what
    assert not isinstance(stubs.read(b"fine"), Fault)


def test_a_file_that_did_wrong_is_kept_and_can_be_made_again(stubs, tmp_path):
    seeds = [Seed(name="a", data=b"crash")]
    tally = run(seeds, seed=1, until=lambda files: files == 3, folder=tmp_path, pair=stubs)
    assert tally.files == 3
    assert sum(tally.faults.values()) == len(tally.kept)
    again = run(seeds, seed=1, until=lambda files: files == 3, folder=tmp_path, pair=stubs)
    assert [path.name for path in again.kept] == [path.name for path in tally.kept]


def test_fields_of_a_tiff_are_where_its_numbers_are():
    data = tiny_tiff(bytes(64 * 64), width=61, height=62)
    by_tag = {field.tag: field.value(data) for field in tiff_fields(data) if field.tag}
    assert (by_tag[256], by_tag[257], by_tag[325]) == (61, 62, 4096)


@pytest.mark.parametrize("data", [tiny_tiff(bytes(64 * 64)), tiny_png(8, 8, (b"\0" + bytes(8)) * 8), b"\xff\xd8", b"x"])
def test_any_file_can_be_damaged_the_same_way_twice(data):
    for number in range(300):
        made = [mutated(data, [data, b"II*\0"], random.Random(number)) for _ in range(2)]
        assert made[0] == made[1]
        mutated(made[0], [data], random.Random(number))


@pytest.mark.integration
def test_damaged_files_end_as_errors_of_theirs_or_as_pixels_that_are_the_same_twice(tmp_path):
    seeds = corpus(tmp_path, shared=Path("nowhere"))
    pair = Pair()
    whole = [pair.read(seed.data) for seed in seeds]
    assert [fault for fault in whole if isinstance(fault, Fault)] == []
    assert sum("pixels" in found for found in whole) > 75
    end = time.monotonic() + MOST_S
    folder = tmp_path / "kept"
    tally = run(seeds, seed=1, until=lambda files: files >= FILES or time.monotonic() > end, folder=folder, pair=pair)
    pair.close()
    assert {path.name: path.with_suffix(".txt").read_text() for path in tally.kept} == {}
    assert tally.pixels
    assert tally.refused["SceneUnreadable"]
    assert tally.refused["UnsupportedScene"]
