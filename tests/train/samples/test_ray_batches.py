"""Batches that other processes make are those that this one makes, in the same order."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from train.made import made, spec_of, write_pairs

from encdec_batch.train.samples.ray_batches import RayBatches, batch_bytes

ROOT = Path(__file__).parents[3]
# In a process of its own: Ray reads its environment when it is imported, and one session is enough for all checks.
SCRIPT = """
import os, pickle, signal, sys, time
from pathlib import Path
from dataclasses import replace
import numpy as np
from encdec_batch.errors import SceneError
from encdec_batch.stream.ray_session import ray_session
from encdec_batch.train.batch import Turn
from encdec_batch.train.samples.local_batches import LocalBatches
from encdec_batch.train.samples import ray_batches
from encdec_batch.train.samples.ray_batches import RayBatches

ray_batches._STEPS = 24  # three epochs of eight: expressions follow each other
folder = Path(sys.argv[1])
spec, prepared = pickle.loads((folder / "prepared").read_bytes())
local = LocalBatches(prepared, spec)


def same(ours, theirs):
    assert ours.names == theirs.names, (ours.names, theirs.names)
    for field in ("image", "target", "valid", "noise_level"):
        a, b = getattr(ours, field), getattr(theirs, field)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def check(batches, turn, most=None):
    theirs = local.epoch(turn)
    number = 0
    for number, ours in enumerate(batches.epoch(turn), 1):
        same(ours, next(theirs))
        if number == most:
            return number
    assert next(theirs, None) is None
    return number



def makers():
    found = []
    for process in Path("/proc").iterdir():
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"_Making" in line and b"ray::" in line:
            found.append(int(process.name))
    return sorted(found)


def main():
    with ray_session("local", object_store_bytes=300 << 20, processes=6, verbose=False):
        batches = RayBatches(prepared, spec)
        turn = Turn(seed=5, epoch=0, global_batch=6)
        assert check(batches, turn) == 8
        first = makers()
        assert len(first) == 2, first
        assert check(batches, replace(turn, epoch=1)) == 8
        assert makers() == first, "the next epoch has the same processes, with what they have decoded"
        print("epochs")
        assert check(batches, replace(turn, epoch=2), most=3) == 3
        assert check(batches, replace(turn, epoch=2, start=18)) == 5
        print("goes on")
        assert check(pickle.loads(pickle.dumps(batches)), replace(turn, epoch=4, rank=1, world_size=2, start=6)) == 7
        print("ranks")
        kept = iter(batches.epoch(replace(turn, epoch=6)))
        next(kept)
        time.sleep(1)  # as much is made as may be
        began = time.process_time()
        time.sleep(2)
        print("idle", time.process_time() - began)
        alive = iter(batches.epoch(replace(turn, epoch=9)))
        expected = list(local.epoch(replace(turn, epoch=9)))
        same(next(alive), expected[0])
        for pid in makers():
            os.kill(pid, signal.SIGKILL)
        for batch in expected[1:]:
            same(next(alive), batch)
        print("killed")
        batches.close()
        # What is not in anybody's cache any more is read again, and is another file.
        for path in (folder / "images").iterdir():
            path.write_bytes(path.read_bytes() + b" ")
        try:
            check(batches, replace(turn, epoch=10))
        except SceneError as error:
            print("replaced", error.message)


main()
"""


@pytest.mark.integration
def test_a_pool_of_processes_makes_what_one_makes(tmp_path):
    write_pairs(tmp_path, 6)
    spec = spec_of(
        tmp_path,
        split={"kind": "none"},
        sampling={"crop": 32, "samples": 50},
        augment={"flips": ["horizontal"], "zoom": (0.8, 1.25), "brightness": 0.2, "noise": 0.1},
        loading={"workers": 2, "cpus_per_worker": 0.25, "ahead": 2},
    )
    (tmp_path / "prepared").write_bytes(pickle.dumps((spec, made(spec))))
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False, timeout=240,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[:3] == ["epochs", "goes on", "ranks"]
    # While the learner is busy with a batch its process is its own: Ray's executor took all of a core.
    name, cpu_s = lines[3].split()
    assert name == "idle"
    assert float(cpu_s) < 0.7
    assert lines[4] == "killed"
    assert lines[5].startswith("replaced file://")


def test_it_pickles_without_its_actors(tmp_path):
    write_pairs(tmp_path, 2)
    spec = spec_of(tmp_path, split={"kind": "none"})
    prepared = made(spec)
    again = pickle.loads(pickle.dumps(RayBatches(prepared, spec)))
    assert again.num_samples == 24
    # float32 image of three bands, int64 labels, one byte of validity
    assert batch_bytes(prepared, spec, 2) == 2 * 32 * 32 * (12 + 8 + 1)
