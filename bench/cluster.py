"""Nodes of a cluster against each other and against one process, each node on a core of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

import yaml

from bench import forward, jobs, scenes
from bench.figure import Bench, Figure
from bench.forward import Load, Way
from bench.packages import package

ROOT = Path(__file__).parents[1]
CORE = 512
BLOCKS = 60
START_UP = 16
"""Scenes that are through before the clock starts: they start the processes that read and write, some CPU seconds each,
on the cores that are measured."""
LEAST_S = 140.0
"""Of the jobs whose overhead is measured."""
POLL_S = 0.1


def measure(bench: Bench) -> Figure:
    side = bench.pick(1024, 512)
    figure = Figure(title=f"cluster: nodes of this machine, scenes of one block of {side} px on file://, COG")
    network = package(bench.folder, bench.pick("full", "quick"))
    folder = bench.folder / "cluster"
    source = scenes.archive(folder / "scenes", bench.pick(BLOCKS, 2), side)
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise RuntimeError("two nodes need two cores")
    for what, stage, model in (("network", {}, network), ("sleep", _sleeping(folder, side), package(folder, "least"))):
        each = {}
        for number in (1, 2):
            with _nodes([[core] for core in cores[:number]], stage) as cluster:
                ran = _run(folder, source, model, cluster)
            each[number] = ran.seconds_each(bench.pick(START_UP, 1))
            predict_s = ran.stage_seconds()["predict"] / ran.summary["blocks"]
            figure.row(
                stage=what, nodes=number, blocks=ran.summary["blocks"], s_each=each[number], stream_s=ran.seconds,
                predict_s=predict_s, before_s=ran.first_start - ran.began,
            )  # fmt: skip
        figure.row(stage=what, two_against_one=each[1] / each[2])
    _overhead(bench, figure, network, cores)
    figure.notes.append(
        "stream_s: from the first block's read to the last marker; predict_s: of a block, its sleep too"
    )
    figure.notes.append(f"s_each, two_against_one, overhead: from the marker of scene {START_UP} to the last one")
    figure.notes.append(
        f"worker nodes pinned to cores {cores}, one to both or each to one of its own; head, driver and files to none"
    )
    shutil.rmtree(folder, ignore_errors=True)
    return figure


def _overhead(bench: Bench, figure: Figure, network: Path, cores: list[int]) -> None:
    """The cluster's way against one process with as many threads on the same cores; then how soon a job begins."""
    folder, side, start_up = bench.folder / "cluster", bench.pick(2048, 512), bench.pick(START_UP, 1)
    source = scenes.archive(folder / "larger", 1, side)
    load = Load(package=network, scene=next(source.iterdir()), core=CORE, block=side)
    rate = forward.measure(load, Way(processes=2, threads=1), bench.pick(10.0, 0.1)).mpx_per_s
    source = scenes.archive(folder / "larger", bench.pick(ceil(LEAST_S * rate / (side**2 / 1e6)), 2), side)
    local = jobs.run(jobs.make_job(folder, source, network, kind="local", tiling={"core": CORE}))
    sys.path.append(str(ROOT / "tests"))
    from servers import s3_server_process

    # The server first: its keys are in the environment of every node.
    with s3_server_process() as server:
        for nodes in ([cores], [[core] for core in cores]):
            with _nodes(nodes, {}) as cluster:
                ran = _run(folder, source, network, cluster)
                figure.row(
                    nodes=len(nodes), scenes=ran.summary["scenes_committed"],
                    local_s=local.seconds, cluster_s=ran.seconds,
                    overhead=ran.seconds_each(start_up) / local.seconds_each(start_up) - 1,
                )  # fmt: skip
                if nodes == [cores]:
                    figure.row(submitted_to_first_part_s=_first_part(bench, source, network, server, cluster))


def _run(folder: Path, source: Path, network: Path, cluster: Any) -> jobs.Ran:
    return jobs.run(_job(folder, source, network, cluster.gcs_address), environment=cluster.environment)


def _job(folder: Path, source: Path, network: Path, address: str) -> jobs.Job:
    compute = {"stream": {"kind": "ray", "address": address}}
    return jobs.make_job(folder, source, network, kind="ray", tiling={"core": CORE}, compute=compute)


def _first_part(bench: Bench, source: Path, network: Path, server: Any, cluster: Any) -> float:
    """Seconds from `encdec-batch submit` to the first part of a block in the output, on an S3 server."""
    from encdec_batch.store.open import open_store

    bucket = f"s3://{server.make_bucket()}"
    archive, output = (open_store(f"{bucket}/{name}", server.options) for name in ("archive", "output"))
    for path in sorted(source.iterdir()):
        archive.put(path.name, path.read_bytes())
    job = _job(bench.folder / "cluster", source, network, "auto")
    spec = yaml.safe_load(job.file.read_text())
    spec["source"] |= {"uri": archive.uri, "storage": server.options}
    spec["output"] |= {"uri": output.uri, "storage": server.options}
    job.file.write_text(yaml.safe_dump(spec))
    command = [*jobs.COMMAND, "submit", str(job.file), "--address", cluster.address]
    clock = time.perf_counter()
    subprocess.run(command, env=cluster.environment, check=True, stdout=subprocess.DEVNULL)
    # A scene of one block has no part: it is committed at once.
    while not (any(output.list("markers/")) or any("/0-" in part.path for part in output.list(".encdec/parts/"))):
        if time.perf_counter() - clock > LEAST_S:
            raise RuntimeError("a job that was submitted made no part")
        time.sleep(POLL_S)
    return time.perf_counter() - clock


@contextmanager
def _nodes(nodes: list[list[int]], variables: dict[str, str]) -> Iterator[Any]:
    """A head without CPUs, and for each list of cores a worker that has them."""
    from tools.ray_cluster import ray_cluster

    with ray_cluster(variables=variables) as cluster:
        for number, cores in enumerate(nodes):
            cluster.add(f"worker-{number}", cpus=len(cores), cores=cores)
        yield cluster


def _sleeping(folder: Path, side: int) -> dict[str, str]:
    """Environment of processes that sleep a second before they predict a block: what tests plant."""
    faults = folder / "sleep.json"
    faults.write_text(json.dumps([{"stage": "predict", "shape": [side, side], "how": "a second"}]))
    return {"PYTHONPATH": str(ROOT / "tests" / "planted"), "ENCDEC_TEST_FAULTS": str(faults)}
