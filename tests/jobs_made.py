"""Jobs for tests: a folder of scenes, a small network with random weights, and a spec file that fits both."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from models.made import declared, network, sample
from rasters import coordinate_image, gtiff

from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.commit.pyramid import COARSE
from encdec_batch.commit.scene import PARTS_PREFIX
from encdec_batch.job.progress import Progress
from encdec_batch.job.run import run
from encdec_batch.job.status import verify
from encdec_batch.job.summary import RunSummary
from encdec_batch.models.publish import publish_package
from encdec_batch.plan.checks import is_check_name
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.load import load_spec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

BLOCK = 512
SCENES = {"large": (1300, 1500), "tall": (1100, 300), "small": (300, 400), "thin": (40, 512)}
"""Heights and widths: nine blocks, two blocks (the short third joins the second), and two scenes of one block."""
BLOCKS = {"large": 9, "tall": 2, "small": 1, "thin": 1}
PARAMETERS: dict[str, Any] = {
    "schema_version": 1,
    "tiling": {"core": 256, "block": BLOCK},
    "compute": {"stream": {"kind": "local", "workers": 1}, "device": "cpu", "precision": "float32", "batch": 1},
    "report": {"previews": 0},
}


def scene_pixels(height: int, width: int, *, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(2, height, width): noise over values that tell the place, so that a pixel of another place or version shows."""
    noise = np.random.default_rng(seed).integers(0, 60, (2, height, width), dtype=np.uint8)
    return coordinate_image(2, height, width) // 2 + noise


def write_scene(path: Path, height: int, width: int, *, seed: int = 0) -> None:
    """A tiled GeoTIFF; it replaces what was there in one step, and its etag is another than before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    temporary = path.with_suffix(".being-written")
    gtiff(scene_pixels(height, width, seed=seed), tile=256, compress="DEFLATE")(temporary)
    now = max(temporary.stat().st_mtime_ns, before + 1_000_000)
    os.utime(temporary, ns=(now, now))
    temporary.rename(path)


def make_archive(folder: Path, scenes: Mapping[str, tuple[int, int]] = SCENES) -> Path:
    folder.mkdir(parents=True)
    for number, (name, (height, width)) in enumerate(scenes.items()):
        write_scene(folder / f"{name}.tif", height, width, seed=number)
    return folder


def make_package(folder: Path, *, seed: int = 0, **arguments: Any) -> Path:
    """A U-Net with random weights whose two classes are about as frequent, as a package."""
    made = network(seed, **arguments)
    pixels_CHW = scene_pixels(256, 256).astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in ((100, 90), (50, 40)))
    with torch.inference_mode():
        no, yes = made(torch.from_numpy((pixels_CHW - mean) / std)[None])[0]
        made.head.bias[1] += (no - yes).median()
    publish_package(str(folder), made, declared(arguments=declared().arguments | arguments), sample())
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeJob:
    """A spec file and what it names; `overrides` are those of `--set`."""

    file: Path
    output_uri: str
    storage: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return open_store(self.output_uri, self.storage)

    @property
    def output(self) -> Path:
        return Path(self.output_uri)

    def spec(self, *overrides: str) -> JobSpec:
        return load_spec(self.file, overrides)

    def run(self, *overrides: str, show: Callable[[Progress], None] = lambda progress: None) -> RunSummary:
        return run(self.spec(*overrides), show=show)

    def markers(self) -> dict[str, tuple[Marker, str]]:
        """Scene id to marker and its etag."""
        return {marker.scene_id: (marker, info.etag) for marker, info in read_markers(self.store)}

    def parts(self) -> dict[str, set[str]]:
        """Part key to names of the blocks that have one."""
        found: dict[str, set[str]] = {}
        for info in self.store.list(PARTS_PREFIX):
            key, _, name = info.path.removeprefix(PARTS_PREFIX).partition("/")
            if name != COARSE and not is_check_name(name):
                found.setdefault(key, set()).add(name)
        return found

    def verified(self) -> str:
        """The digest of the output, each file's bytes compared with its marker."""
        verdict = verify(self.output_uri, self.storage)
        assert verdict.bad == ()
        return verdict.digest


def make_job(
    folder: Path, archive: str | Path, package: str | Path, *, output: str | Path | None = None, **changes: Any
) -> MadeJob:
    """A job in `folder`, its output below it where no other is named; `changes` replace keys of the spec."""
    folder.mkdir(parents=True, exist_ok=True)
    uri = str(output or folder / "output")
    storage = changes.pop("storage", {})
    data = {
        **PARAMETERS,
        "source": {"kind": "prefix", "uri": str(archive), "storage": storage},
        "model": {"package": str(package)},
        "output": {
            "uri": uri,
            "storage": storage,
            "files": [{"kind": "cog"}, {"kind": "quicklook"}],
            "certify": "all",
            "catalogue": False,
        },
        **changes,
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(data))
    return MadeJob(file=file, output_uri=uri, storage=storage)


def command(*arguments: str | Path) -> list[str]:
    """The command line of the package, run by this Python."""
    return [sys.executable, "-c", "from encdec_batch.cli import main; main()", *map(str, arguments)]


@contextmanager
def driver(job: MadeJob, *overrides: str) -> Iterator[subprocess.Popen[str]]:
    """`encdec-batch run` in a process group of its own, which does not outlive the block."""
    sets = [word for override in overrides for word in ("--set", override)]
    with subprocess.Popen(
        command("run", job.file, "--json", *sets),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)


def wait_until(condition: Callable[[], bool], *, within_s: float = 120.0, what: str = "it") -> None:
    """Polls; a deadline that passes is a failure."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        time.sleep(0.005)


def spoil_tile(path: Path, row: int, col: int) -> None:
    """Overwrites the bytes of the tile that holds this pixel; the header stays as it is."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        across = -(-page.imagewidth // page.tilewidth)
        number = row // page.tilelength * across + col // page.tilewidth
        start, size = page.dataoffsets[number], page.databytecounts[number]
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp("packages") / "one")


@pytest.fixture(scope="session")
def other_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_package(tmp_path_factory.mktemp("packages") / "other", seed=1)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return make_archive(tmp_path / "archive")


@pytest.fixture
def job(tmp_path: Path, archive: Path, package: Path) -> MadeJob:
    return make_job(tmp_path / "job", archive, package)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, package: Path) -> str:
    """The digest of what `job` makes in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return make_job(folder / "job", make_archive(folder / "archive"), package).run().digest
