"""Results of a job on this disk, as any reader of its output finds them: by markers, never by a listing of files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.plan.product import quantum_levels
from jobs.demo.command import OUTPUT, ROOT, check, encdec_batch
from jobs.demo.pieces import read


def run_job(spec: str, output: str, package: str | None = None) -> None:
    """Runs a spec of the demo to its end, with another package and output than it names if one is given.

    Raises:
        DemoFailedError: it is not complete.
    """
    words = ["run", f"jobs/{spec}"]
    if package is not None:
        check((ROOT / "jobs/packages" / package).is_dir(), f"the package jobs/packages/{package} should be there")
        words += ["--set", f"model.package=jobs/packages/{package}", "--set", f"output.uri=demo-output/{output}"]
    check(encdec_batch(*words) == 0, f"{spec}: exit code 0 says: complete")


def result(output: str, scene_id: str, name: str) -> NDArray[Any]:
    """A file of a scene that is done, (bands, H, W) as stored.

    Raises:
        DemoFailedError: the scene is not done.
    """
    return read(path_of(output, scene_id, name))


def path_of(output: str, scene_id: str, name: str) -> Path:
    """A file of a scene that is done.

    Raises:
        DemoFailedError: the scene is not done, or has no such file.
    """
    found = {marker["scene_id"]: marker for marker in map(_read, (OUTPUT / output / "markers").glob("*.json"))}
    check(scene_id in found, f"{output}: the scene {scene_id} should be committed")
    outputs = found[scene_id]["outputs"]
    check(name in outputs, f"{output}: the scene {scene_id} should have a file {name}")
    return OUTPUT / output / outputs[name]["path"]


def as_pixels(stored: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A made image in units of its input, 0 to 255: files of 8 bits have 0 for nodata, the card's range from 1 on."""
    return (stored.astype(np.float64) - 1) * (255 / quantum_levels("uint8"))


def report_of(output: str) -> str:
    """Relative to the demo's page."""
    return f"{output}/report/index.html"


def _read(path: Path) -> dict[str, Any]:
    marker: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return marker
