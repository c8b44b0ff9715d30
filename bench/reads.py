"""Bytes read over bytes in the scene, and requests to the store per scene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from bench import jobs, scenes
from bench.figure import Bench, Figure
from bench.packages import package

LAYOUTS: dict[str, dict[str, Any]] = {
    "tiles of 256 px": {"tiled": True, "blockxsize": 256, "blockysize": 256},
    "tiles of 512 px": {"tiled": True, "blockxsize": 512, "blockysize": 512},
    "strips of 1 row": {"tiled": False, "blockysize": 1},
}
READS = ("info", "get", "get_with_info", "get_ranges")
WRITES = ("put", "create", "replace", "open_writer", "delete", "delete_if_match", "list")


def measure(bench: Bench) -> Figure:
    figure = Figure(title="reads: bytes read / bytes in the scene, requests per scene (local, file://)")
    network = package(bench.folder, "quick")
    for side in bench.pick((512, 4096, 8192), (512, 1024)):
        pixels = scenes.natural(side)
        for name, layout in LAYOUTS.items():
            source = bench.folder / "reads" / f"{side}-{layout['blockysize']}"
            _clear(source)
            original = scenes.write(source / "0.tif", pixels, **layout)
            for n in (1, 2):
                (source / f"{n}.tif").hardlink_to(original)
            one, three = (_counted(bench, source, network, count) for count in (1, 3))
            size = (source / "0.tif").stat().st_size
            # Between one scene and three lies what a scene costs; what a run costs drops out.
            per_scene = {key: (three[key] - one[key]) / 2 for key in three}
            figure.row(
                side=side, layout=name, bytes_ratio=per_scene["bytes"] / size, planned=three["planned"] / 3 / size,
                read_requests=sum(per_scene.get(verb, 0) for verb in READS), ranges=per_scene.get("ranges", 0.0),
                write_requests=sum(per_scene.get(verb, 0) for verb in WRITES), requests_of_a_run=_of_run(one, three),
            )  # fmt: skip
            _clear(source)
    figure.notes.append("a get_ranges call counts once; `ranges` says how many ranged requests they come to on S3")
    figure.notes.append("reads of parts by the commit are among the requests, not among the bytes")
    return figure


def _of_run(one: Counter[str], three: Counter[str]) -> float:
    verbs = [*READS, *WRITES]
    total_one, total_three = (sum(counted[verb] for verb in verbs) for counted in (one, three))
    return total_one - (total_three - total_one) / 2


def _counted(bench: Bench, source: Path, network: Path, count: int) -> Counter[str]:
    """One run in this process, its requests counted."""
    import encdec_batch as eb

    folder = bench.folder / "reads" / "job"
    listed = {"kind": "list", "uris": [str(source / f"{n}.tif") for n in range(count)]}
    job = jobs.make_job(folder, source, network, kind="local", tiling={"core": bench.core})
    text = job.file.read_text().replace(f"kind: prefix\n  uri: {source}", f"kind: list\n  uris: {listed['uris']}")
    job.file.write_text(text)
    spec = eb.load_spec(job.file)
    planned = sum(eb.build_plan(spec).bytes_to_read.values())
    with _counting() as calls:
        summary = eb.run(spec)
    return calls + Counter({"bytes": summary.bytes_read, "planned": planned})


@contextmanager
def _counting() -> Iterator[Counter[str]]:
    """Counts what is asked of every local store of this process."""
    from encdec_batch.store.local import LocalStore

    calls: Counter[str] = Counter()
    kept = {verb: getattr(LocalStore, verb) for verb in (*READS, *WRITES)}

    def counted(verb: str) -> Any:
        @wraps(kept[verb])
        def call(self: LocalStore, *args: Any, **options: Any) -> Any:
            calls[verb] += 1
            if verb == "get_ranges":
                calls["ranges"] += len(args[1])
            return kept[verb](self, *args, **options)

        return call

    for verb in kept:
        setattr(LocalStore, verb, counted(verb))
    try:
        yield calls
    finally:
        for verb, method in kept.items():
            setattr(LocalStore, verb, method)


def _clear(folder: Path) -> None:
    for file in folder.glob("*.tif"):
        file.unlink()
