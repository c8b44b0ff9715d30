"""What is set before Ray starts, where its actors go, and what a session leaves behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encdec_batch.predict import heap
from encdec_batch.spec.compute import RayStream
from encdec_batch.stream import ray_data, ray_session
from encdec_batch.stream.ray_data import Pool


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty environment, in place of this process's."""
    empty: dict[str, str] = {}
    monkeypatch.setattr(ray_session, "os", SimpleNamespace(environ=empty))
    return empty


def test_a_ray_of_this_runs_own_is_set_up_before_its_import(environment):
    ray_session._set_environment(local=True, processes=11)
    token = environment.pop("RAY_AUTH_TOKEN")
    assert environment == {
        "RAY_AUTH_MODE": "token",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_worker_niceness": "0",
        "RAY_num_workers_soft_limit": "11",
        "OMP_NUM_THREADS": "1",
        **heap.ENVIRONMENT,
    }
    assert len(bytes.fromhex(token)) == 32


def test_each_session_has_a_token_of_its_own(environment):
    ray_session._set_environment(local=True, processes=1)
    first = environment.pop("RAY_AUTH_TOKEN")
    ray_session._set_environment(local=True, processes=1)
    assert environment["RAY_AUTH_TOKEN"] != first


def test_a_cluster_has_its_own_token_and_number_of_workers(environment):
    ray_session._set_environment(local=False, processes=11)
    assert environment["RAY_AUTH_MODE"] == "token"
    assert not {"RAY_AUTH_TOKEN", "RAY_num_workers_soft_limit"} & set(environment)


def test_what_the_user_has_set_holds(environment):
    theirs = {
        "RAY_AUTH_MODE": "disabled",
        "RAY_worker_niceness": "5",
        "RAY_num_workers_soft_limit": "3",
        "OMP_NUM_THREADS": "2",
    }
    environment.update(theirs)
    ray_session._set_environment(local=True, processes=11)
    assert {name: environment[name] for name in theirs} == theirs
    assert "RAY_AUTH_TOKEN" not in environment


@pytest.mark.parametrize(
    ("spec", "gpus", "place"),
    [
        ({}, 0.0, {"num_cpus": 0.75}),
        ({"cpus_per_worker": 2}, 0.0, {"num_cpus": 2.0}),
        ({}, 0.5, {"num_cpus": 0.75, "num_gpus": 0.5}),
        (
            {"address": "auto", "labels": {"ray.io/accelerator-type": "H100"}},
            1.0,
            {"num_cpus": 0.75, "num_gpus": 1.0, "label_selector": {"ray.io/accelerator-type": "H100"}},
        ),
    ],
    ids=["cpu", "whole_cpus", "shared_gpu", "labels"],
)
def test_where_an_actor_may_go(spec, gpus, place):
    assert Pool(spec=RayStream(**spec), gpus=gpus, workers=1).place == place


def test_where_what_reads_and_writes_may_go():
    assert Pool(spec=RayStream(), gpus=0.0, workers=1).io_place == {"num_cpus": 0}
    spec = RayStream(address="auto", io_labels={"nodes": "readers"}, labels={"nodes": "gpu"})
    assert Pool(spec=spec, gpus=0.0, workers=1).io_place == {"num_cpus": 0, "label_selector": {"nodes": "readers"}}


@pytest.mark.parametrize(
    ("spec", "there", "gpus", "workers"),
    [
        ({}, {"CPU": 6.0}, 0.0, 6),
        ({"max_workers": 2}, {"CPU": 6.0}, 0.0, 2),
        ({}, {"CPU": 0.5}, 0.0, 1),
        ({}, {"CPU": 32.0, "GPU": 4.0}, 1.0, 4),
        ({"gpus_per_worker": 0.25}, {"CPU": 32.0, "GPU": 2.0}, 0.25, 8),
        ({"gpus_per_worker": 0}, {"CPU": 32.0, "GPU": 2.0}, 0.0, 32),
        ({"gpus_per_worker": 1, "max_workers": 3}, {"CPU": 32.0}, 1.0, 3),
    ],
    ids=["cpus", "asked", "less_than_one", "gpus", "shared_gpus", "no_gpu_wanted", "gpus_to_come"],
)
def test_as_many_actors_as_there_is_room_for(monkeypatch, spec, there, gpus, workers):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(cluster_resources=lambda: there))
    pool = ray_data._pool_of(RayStream(**spec))
    assert (pool.gpus, pool.workers) == (gpus, workers)


def test_processes_are_kept_for_every_stage(monkeypatch):
    monkeypatch.setattr(ray_data, "usable_cpus", lambda: 6)
    own = ray_data.RAYS_OWN
    assert ray_data._processes(RayStream()) == 6 + 2 + 2 + 6 + own
    assert ray_data._processes(RayStream(max_workers=1, readers=3, writers=4)) == 1 + 3 + 4 + 2 + own


@pytest.mark.parametrize(("asked", "gib"), [(None, 2), (0.5, 0.5)])
def test_the_shared_memory_of_a_ray_of_this_runs_own(monkeypatch, asked, gib):
    given: dict[str, Any] = {}

    @contextmanager
    def session(address: str, **options: Any):
        given.update(options, address=address)
        yield

    monkeypatch.setattr(ray_data, "ray_session", session)
    node = {"Alive": True, "Resources": {"CPU": 2.0}}
    ray = SimpleNamespace(put=lambda value: value, cluster_resources=lambda: {"CPU": 2.0}, nodes=lambda: [node])
    monkeypatch.setitem(sys.modules, "ray", ray)
    with ray_data.RayHost(None, RayStream(object_store_gib=asked)):
        assert (given["address"], given["object_store_bytes"]) == ("local", gib * 2**30)


def test_folders_of_processes_that_are_gone_are_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    here = ray_session._pid_namespace()
    gone = 2**22 + 1  # above the largest number that Linux gives a process
    names = {f"eb-ray-{here}-{gone}-x": False, f"eb-ray-{here}-{os.getpid()}-x": True, f"eb-ray-zzzz-{gone}-x": True}
    for name in names:
        (tmp_path / name).mkdir()
    made = ray_session._make_temp()
    assert made.is_dir()
    assert {name: (tmp_path / name).exists() for name in names} == names


SESSION = """
import glob, json, os, sys, tempfile
from encdec_batch.stream.ray_session import ray_session

with ray_session("local", object_store_bytes=100 * 2**20, processes=2, verbose=False):
    import ray

    folders = glob.glob(tempfile.gettempdir() + "/eb-ray-*")
    niceness = ray.get(ray.remote(num_cpus=0)(lambda: os.nice(0)).remote())
    print("ours", file=sys.stderr)
    os.write(2, b"what C++ prints\\n")
print("after", file=sys.stderr)
left = os.listdir(tempfile.gettempdir())
print(json.dumps({"folders": folders, "niceness": niceness, "here": os.nice(0), "left": left}))
"""


@pytest.mark.integration
@pytest.mark.parametrize("before", ["", "import ray\n"], ids=["alone", "somebody_imported_ray"])
def test_a_session_is_quiet_and_leaves_nothing_behind(before):
    # Not below tmp_path: Ray puts sockets there, whose paths may have 107 bytes.
    folder = tempfile.mkdtemp(prefix="eb-", dir="/tmp")
    try:
        environment: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        ended = subprocess.run(
            [sys.executable, "-c", before + SESSION],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=environment | {"TMPDIR": folder},
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stderr == "ours\nafter\n"
        found = json.loads(ended.stdout)
        [session] = found["folders"]
        assert Path(session).parent == Path(folder)
        assert found["niceness"] == found["here"]
        assert not [name for name in found["left"] if name.startswith("eb-ray-")]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
