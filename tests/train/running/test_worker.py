"""What a worker of Ray Train runs, in two processes that gloo connects, without a Ray."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from train.squares import Squares
from train.trainings import material, train_spec

from encdec_batch.errors import LossNotFinite, PermanentStoreError, SpecError
from encdec_batch.store.open import open_store
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.curve import read_curve

pytestmark = pytest.mark.integration

TESTS = Path(__file__).parents[2]
PROGRAM = """
import pickle, resource, sys
import torch.distributed as dist
from encdec_batch.train.running.ray_train import Given, _work
folder, rank, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
config = pickle.load(open(f"{folder}/config-{rank}", "rb"))
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
sys.stdout.buffer.write(pickle.dumps(_work({"work": Given(**config)})))
sys.stdout.flush()
dist.destroy_process_group()
"""


def both(folder, configs, limit=0):
    """What each of the two workers gives back."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    started = []
    for rank, config in enumerate(configs):
        (folder / f"config-{rank}").write_bytes(pickle.dumps(config))
        line = [sys.executable, "-c", PROGRAM, str(folder), str(rank), str(limit)]
        started.append(subprocess.Popen(line, env=environment, stdout=subprocess.PIPE))
    return [pickle.loads(process.communicate(timeout=200)[0]) for process in started]


def test_two_processes_learn_what_one_learns(tmp_path):
    changes = {"learn.steps": 6, "learn.ema": 0.9}
    spec, alone = (train_spec(tmp_path / name, changes) for name in ("two", "one"))
    assert both(tmp_path / "meet", [{"spec": spec, "material": material()}] * 2) == [None, None]
    train(alone, material)
    points = [[p for p in read_curve(open_store(one.output.uri)) if "loss" in p] for one in (spec, alone)]
    assert [p["loss"] for p in points[0]] == pytest.approx([p["loss"] for p in points[1]], rel=1e-4)
    assert len(points[0]) == 6


def test_both_give_back_what_one_of_them_saw(tmp_path):
    spec = train_spec(tmp_path)
    poisoned = material(batches=Squares(poisoned=6))
    found = both(tmp_path / "meet", [{"spec": spec, "material": poisoned}] * 2)
    assert [type(error) for error in found] == [LossNotFinite] * 2
    assert {error.context["names"] for error in found} == {("scene6@0,0",)}


def test_a_worker_that_cannot_begin_keeps_none_waiting(tmp_path):
    good = train_spec(tmp_path)
    bad = train_spec(tmp_path, {"network.arguments": {"out_channels": 3}})
    found = both(tmp_path / "meet", [{"spec": one, "material": material()} for one in (good, bad)])
    assert [type(error) for error in found] == [SpecError] * 2


def test_a_full_disk_is_what_both_give_back(tmp_path):
    found = both(tmp_path / "meet", [{"spec": train_spec(tmp_path), "material": material()}] * 2, limit=3000)
    assert [type(error) for error in found] == [PermanentStoreError] * 2
