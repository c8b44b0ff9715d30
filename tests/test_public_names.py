"""What `import encdec_batch` gives, and what it does not drag in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import encdec_batch

PACKAGE = Path(encdec_batch.__file__).parent
WITHOUT_TORCH = ("spec", "plan", "read", "write", "commit", "report", "store")
WITHOUT_TORCH_MODULES = (
    "encdec_batch.job.run",
    "encdec_batch.job.status",
    "encdec_batch.pipeline",
    "encdec_batch.models.card",
    "encdec_batch.models.package",
    "encdec_batch.stream.local",
    "encdec_batch.cli",
)


def imported_by(*modules: str) -> set[str]:
    """Top-level names of what a fresh interpreter holds after importing these, and nothing else."""
    held = "sorted({name.partition('.')[0] for name in sys.modules})"
    code = f"import {', '.join(modules)}, json, sys; print(json.dumps({held}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


def modules_of(folder: str) -> list[str]:
    files = sorted((PACKAGE / folder).glob("*.py"))
    assert files
    return [f"encdec_batch.{folder}" + ("" if file.stem == "__init__" else f".{file.stem}") for file in files]


def test_the_public_names_are_these():
    assert sorted(encdec_batch.__all__) == [
        "EncdecError",
        "JobSpec",
        "Plan",
        "RunSummary",
        "__version__",
        "build_plan",
        "load_package",
        "load_spec",
        "predict_array",
        "run",
    ]


@pytest.mark.parametrize("name", encdec_batch.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(encdec_batch, name)
    assert value.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'train_everything'"):
        _ = encdec_batch.train_everything


def test_importing_the_package_imports_neither_torch_nor_ray_nor_rasters():
    assert not imported_by("encdec_batch") & {"torch", "ray", "rasterio", "numpy", "pydantic", "botocore"}


def test_help_and_version_need_none_of_them_either():
    assert not imported_by("encdec_batch.cli") & {"torch", "ray"}


@pytest.mark.integration
def test_the_drivers_stages_work_without_torch_and_ray():
    modules = [name for folder in WITHOUT_TORCH for name in modules_of(folder)]
    found = imported_by(*modules, *WITHOUT_TORCH_MODULES)
    assert "rasterio" in found
    assert not found & {"torch", "ray"}
