"""Archives of very many scenes: from beginning to end, finished ones, small scenes, requests on S3, and resuming."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from bench import jobs, scenes
from bench.counted import counted
from bench.figure import Bench, Figure
from bench.packages import NO_OP, package

MIB = 2**20
SIDE = 512
DISTINCT = 4
"""Files behind all scenes: a file system has a largest number of names for one."""
BLOCKS_OF_A_SCENE = 25
"""A side, of the scenes of the job that is killed and taken up."""
POLL_S = 0.05
SUMMARY: dict[str, Any] = {
    "height": SIDE, "width": SIDE, "input_pixels": SIDE * SIDE, "bands": [1, 2, 3], "blocks": 1, "core": SIDE,
    "halo": 8,
    "tile": [SIDE, SIDE], "exact": True, "precision": "bfloat16", "device_kind": "cpu", "model": "bench-1-1 1",
    "bounds_wgs84": [15.0, 36.1, 15.1, 36.2], "valid_pixels": SIDE * SIDE,
    "class_pixels": {"no": 100_000, "yes": 162_144}, "class_area_m2": {"no": 25_000.0, "yes": 40_536.0},
}  # fmt: skip
"""Of a marker, as a run writes it."""


def measure(bench: Bench) -> Figure:
    figure = Figure(title=f"many: a network that does nothing, scenes of {SIDE} px, local")
    network = package(bench.folder, NO_OP)
    _whole(bench, figure, network)
    _finished(bench, figure, network)
    for name in (NO_OP, "least"):
        _small_scenes(bench, figure, name)
    _requests(bench, figure, network)
    _resuming(bench, figure, network)
    figure.notes.append("CPU is of all processes; peak memory (resident) is of the one that plans")
    return figure


def _whole(bench: Bench, figure: Figure, network: Path) -> None:
    """A prefix that is new, to the very end, catalogue and report included; then the same command once more."""
    count = bench.pick(100_000, 40)
    job = make_archive_job(bench.folder / "many" / "whole", count, network, catalogue=True)
    for what, made in (("run, all new", count), ("run again, nothing new", 0)):
        said = timed(job, "run")
        summary = json.loads(said.pop("out"))
        if (summary["scenes_committed"], summary["scenes_done"]) != (made, count):
            raise RuntimeError(f"{what}: {summary['scenes_committed']} made, {summary['scenes_done']} done")
        figure.row(what=what, objects=count, **said)


def _finished(bench: Bench, figure: Figure, network: Path) -> None:
    """Nothing has changed: the markers are written by this bench, as a run would have left them."""
    folder = bench.folder / "many" / "finished"
    count = bench.pick(100_000, 40)
    job = make_archive_job(folder, count, network)
    write_markers(job)
    for what in ("run, unchanged, markers read one by one", "run, unchanged, markers in scenes.parquet"):
        said = timed(job, "run")
        summary = json.loads(said.pop("out"))
        if (summary["scenes_done"], summary["blocks"]) != (count, 0):
            raise RuntimeError(f"{what}: {summary['scenes_done']} done, {summary['blocks']} blocks")
        figure.row(what=what, objects=count, **said)


def _small_scenes(bench: Bench, figure: Figure, network: str) -> None:
    job = make_archive_job(bench.folder / "many" / "small", bench.pick(10_000, 12), package(bench.folder, network))
    ran = jobs.run(job)
    count, stages = ran.summary["scenes_committed"], ran.stage_seconds()
    figure.row(
        what="run, all new", network=network, scenes=count, per_s=count / ran.seconds, s=ran.wall_s,
        cpu_ms=1e3 * sum(ran.cpu_seconds().values()) / count, peak_MiB=ran.summary["peak_bytes"]["driver"] / MIB,
        **{f"{stage}_ms": 1e3 * stages.get(stage, 0.0) / count for stage in ("read", "predict", "write", "commit")},
    )  # fmt: skip


def _requests(bench: Bench, figure: Figure, network: Path) -> None:
    """On the S3 server of the tests: what a scene costs, what a run costs, and what a listing of many costs."""
    with _s3() as server:
        few, many = (_s3_run(bench, network, server, count) for count in bench.pick((10, 60), (1, 3)))
        for verb in ("HEAD", "GET", "PUT", "POST", "DELETE"):
            of_a_scene = (many[verb] - few[verb]) / (many["scenes"] - few["scenes"])
            figure.row(request=verb, a_scene=of_a_scene, a_run=few[verb] - of_a_scene * few["scenes"])
        bucket = server.server.make_bucket()
        server.fill(bucket, (f"scenes/{n:06d}.tif" for n in range(bench.pick(20_000, 2500))))
        server.requests.clear()
        clock = time.perf_counter()
        found = _listed(f"s3://{bucket}/scenes", server.server.options)
        figure.row(what="listing on S3", objects=found, requests=len(server.requests), s=time.perf_counter() - clock)


def _resuming(bench: Bench, figure: Figure, network: Path) -> None:
    """From the command to the first new part, of a job that was killed when a share of its blocks was done.

    The first kill is a real one. What later ones would have left is made from that: markers of the scenes that are
    through, parts of their blocks and of half of the next scene's.
    """
    folder = bench.folder / "many" / "resumed"
    across, count = bench.pick((BLOCKS_OF_A_SCENE, 16), (3, 4))
    original = scenes.giant(folder / f"giant-{across}.tif", across * SIDE)
    shutil.rmtree(folder / "scenes", ignore_errors=True)
    (folder / "scenes").mkdir()
    for n in range(count):
        os.link(original, folder / "scenes" / f"scene-{n:02d}.tif")
    job = jobs.make_job(folder, folder / "scenes", network, kind="local", tiling={"core": SIDE, "block": SIDE})
    for share in (0.0, 0.1, 0.5, 0.9):
        if share:
            _as_if_killed(job, share)
        before, began = _num_parts(job), time.perf_counter()
        with subprocess.Popen(job.command("run"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and _num_parts(job) <= before:
                time.sleep(POLL_S)
            first = time.perf_counter() - began
            process.kill()
        figure.row(blocks=count * across * across, done=before, first_part_s=first)


def _as_if_killed(job: jobs.Job, share: float) -> None:
    """Markers and parts of a run that was killed when this share of its scenes was through, and half of one more."""
    from encdec_batch.job.plan import build_plan
    from encdec_batch.spec.load import load_spec

    planned = build_plan(load_spec(job.file))
    through = int(share * (len(planned.scenes) + len(planned.done)))
    todo = planned.scenes[: max(0, through - len(planned.done)) + 1]
    write_markers(job, through)
    part = next((job.output / ".encdec" / "parts").glob("*/*"))
    for scene in todo:
        names = [block.name for block in scene.grid().blocks()]
        (job.output / ".encdec" / "parts" / scene.part_key).mkdir(exist_ok=True)
        for name in names if scene is not todo[-1] else names[: len(names) // 2]:
            path = job.output / ".encdec" / "parts" / scene.part_key / name
            if not path.exists():
                path.hardlink_to(part)


def make_archive_job(folder: Path, count: int, network: Path, **output: Any) -> jobs.Job:
    source = folder / "scenes"
    if not source.exists() or sum(1 for _ in os.scandir(source)) != count:
        scenes.archive(source, count, SIDE, distinct=DISTINCT)
    return jobs.make_job(folder, source, network, kind="local", tiling={"core": SIDE}, output=output)


def timed(job: jobs.Job, verb: str) -> dict[str, Any]:
    """What a command printed, its seconds, and the CPU time and memory of its process."""
    said, talk = job.file.with_suffix(".out"), job.file.with_suffix(".err")
    clock = time.perf_counter()
    with said.open("w") as out, talk.open("w") as err:
        used = counted(job.command(verb), stdout=out, stderr=err)
    seconds = time.perf_counter() - clock
    if used.pop("code"):
        raise RuntimeError(f"{verb} {job.file}: {talk.read_text()[-2000:]}")
    return {"out": said.read_text(), "s": seconds, **used}


def write_markers(job: jobs.Job, count: int | None = None) -> None:
    """Of the first scenes, as a run would have left them; straight into the folder, without its fsyncs."""
    from encdec_batch.commit.generation import output_folder
    from encdec_batch.commit.marker import InputObject, Marker, OutputFile
    from encdec_batch.job.plan import place
    from encdec_batch.spec.load import load_spec

    placed = place(load_spec(job.file))
    folder = job.output / "markers"
    folder.mkdir(parents=True, exist_ok=True)
    for found in placed.listing.candidates[:count]:
        key = placed.order.scene_key(found.images, found.bands)
        digest = hashlib.sha256(found.scene_id.encode()).hexdigest()
        path = output_folder(found.scene_id, generation=1, scene_key=key, content=digest[:8]).path
        outputs = {name: OutputFile(path=path + name, size=90_000, sha256=digest) for name in placed.order.wanted}
        marker = Marker(
            scene_id=found.scene_id, generation=1, scene_key=key, outputs=outputs,
            input=InputObject.of(found.images), summary=dict(SUMMARY),
        )  # fmt: skip
        (folder / f"{found.scene_id}.json").write_bytes(marker.to_json())


@contextmanager
def _s3() -> Iterator[Any]:
    """The S3 server of the tests, in a thread of this process; it keeps a list of its requests."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from servers import faulty_s3_server

    with faulty_s3_server() as server:
        yield server


def _s3_run(bench: Bench, network: Path, server: Any, count: int) -> Counter[str]:
    """Requests of one run over so many scenes, source and output on the server."""
    import encdec_batch as eb

    bucket, options = server.server.make_bucket(), server.server.options
    folder = bench.folder / "many" / "s3"
    source = scenes.archive(folder / f"scenes-{count}", count, SIDE, distinct=DISTINCT)
    client = server.server.client()
    for file in sorted(source.iterdir()):
        client.put_object(Bucket=bucket, Key=f"in/{file.name}", Body=file.read_bytes())
    job = jobs.make_job(folder, source, network, kind="local", tiling={"core": SIDE})
    data = yaml.safe_load(job.file.read_text())
    data["source"] |= {"uri": f"s3://{bucket}/in", "storage": options}
    data["output"] |= {"uri": f"s3://{bucket}/out", "storage": options}
    job.file.write_text(yaml.safe_dump(data))
    server.requests.clear()
    summary = eb.run(eb.load_spec(job.file))
    counted = Counter(request["REQUEST_METHOD"] for request in server.requests)
    return counted + Counter(scenes=summary.scenes_committed)


def _listed(uri: str, options: dict[str, str]) -> int:
    from encdec_batch.plan.discover import find_scenes
    from encdec_batch.spec.source import PrefixSource

    return len(find_scenes(PrefixSource(kind="prefix", uri=uri, storage=options))[0])


def _num_parts(job: jobs.Job) -> int:
    """Blocks that are through: parts stay until the end of a run."""
    keys = job.output / ".encdec" / "parts"
    return sum(
        1 for key in (os.scandir(keys) if keys.exists() else ()) for part in os.scandir(key.path)
        if part.name[0].isdigit()
    )  # fmt: skip
