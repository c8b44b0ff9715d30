"""A scene of 100,000 px a side that lies nowhere: planned, read, written whole, its memory and requests counted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
import yaml

from bench import jobs
from bench.figure import Bench, Figure
from bench.packages import package
from bench.range_server import BUCKET

MIB = 2**20
KEY, SECRET = "BENCH_S3_KEY", "BENCH_S3_SECRET"
FILES = [{"kind": "cog"}, {"kind": "quicklook"}, {"kind": "cells"}]


def measure(bench: Bench) -> Figure:
    side = bench.pick(int(os.environ.get("BENCH_GIANT_SIDE", "100000")), 1500)
    figure = Figure(title=f"giant: {side} px a side, made up by a range server; a network that does next to nothing")
    network = package(bench.folder, "least")
    for kind in bench.streams:
        folder = bench.folder / "giant"
        with _served(side) as (options, size, counted):
            job = _job(folder, network, kind, options)
            planned = jobs.plan(job)
            ran = jobs.run(job, memory=True)
        events = [dict(event["seconds"]) for event in ran.events]
        figure.row(
            stream=kind, object_GB=size / 1e9, blocks=planned["blocks"], seconds=ran.wall_s, mpx_per_s=ran.mpx_per_s,
            commit_s=sum(seconds.get("commit", 0.0) for seconds in events), GETs=counted["GET"],
            sent_GB=counted["bytes"] / 1e9, read_planned=ran.summary["bytes_read"] / planned["bytes_to_read"],
        )  # fmt: skip
        for process, pss in sorted(ran.usage.peak_by_kind().items()):
            figure.row(stream=kind, process=process, peak_MiB=pss / MIB, projected_MiB=planned["projected_bytes"] / MIB)
        for file in sorted((job.output / "scenes").rglob("*.*")):
            figure.row(stream=kind, file=file.name, MB=file.stat().st_size / 1e6, overviews=_overviews(file))
        shutil.rmtree(job.output)
    figure.notes.append(
        "commit_s: from parts to files and marker; GETs: of the input; read_planned: bytes read / planned"
    )
    return figure


def _overviews(file: Path) -> int | None:
    if file.suffix != ".tif":
        return None
    with rasterio.open(file) as scene:
        return len(scene.overviews(1))


def _job(folder: Path, network: Path, kind: str, options: dict[str, str]) -> jobs.Job:
    job = jobs.make_job(folder, folder, network, kind=kind, output={"files": FILES}, tiling={"core": 1024})
    data = yaml.safe_load(job.file.read_text())
    data["source"] |= {"uri": f"s3://{BUCKET}/in", "storage": options}
    job.file.write_text(yaml.safe_dump(data))
    return job


@contextmanager
def _served(side: int) -> Iterator[tuple[dict[str, str], int, dict[str, Any]]]:
    """Storage options, the object's size, and, afterwards, what was asked of the server."""
    os.environ[KEY], os.environ[SECRET] = "key", "secret"
    counted: dict[str, Any] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.range_server", str(side)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = json.loads(process.stdout.readline())
        endpoint = f"http://127.0.0.1:{said['port']}"
        options = {"endpoint_url": endpoint, "region": "us-east-1", "key": f"env:{KEY}", "secret": f"env:{SECRET}"}
        try:
            yield options, said["size"], counted
        finally:
            process.stdin.close()
            counted |= json.loads(process.stdout.readline())
