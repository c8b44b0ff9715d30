"""What README.md and ARCHITECTURE.md say is there is there, and what they show runs."""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
import rasterio

from encdec_batch.cli import main
from encdec_batch.spec.load import load_spec
from encdec_batch.spec.load_train import load_train_spec

ROOT = Path(__file__).parents[1]
README, ARCHITECTURE = (ROOT / "README.md").read_text(), (ROOT / "ARCHITECTURE.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def tree(name: str) -> set[str]:
    found = re.search(rf"<!-- tree: {name} -->\n```text\n(.*?)```", README, re.DOTALL)
    assert found
    return {line.split()[0] for line in found[1].splitlines()}


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_python_example_makes_what_it_says(tmp_path, monkeypatch):
    (spec, *_), (example,) = blocks("yaml"), blocks("python")
    monkeypatch.chdir(tmp_path)
    Path("jobs").symlink_to(ROOT / "jobs")
    Path("job.yaml").write_text(spec)
    Path("scenes").mkdir()
    with rasterio.open("scenes/a.tif", "w", driver="GTiff", width=90, height=70, count=3, dtype="uint8") as scene:
        scene.write(np.random.default_rng(7).integers(0, 255, (3, 70, 90), np.uint8))
    names = {}
    exec(example, names)
    assert names["plan"].num_blocks == names["summary"].scenes_done == 1
    (path,) = Path("masks/scenes/a").glob("*/mask.tif")
    with rasterio.open(path) as mask:
        np.testing.assert_array_equal(mask.read(1), names["mask"])


def test_the_example_is_short():
    assert len(blocks("python")[0].splitlines()) <= 10
    assert len(blocks("yaml")[0].splitlines()) <= 10


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines()])
def test_a_command_that_is_shown_is_there(line):
    program, command, *_ = shlex.split(line, comments=True)
    if program == "make":
        assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    else:
        assert program == "encdec-batch"
        assert command in main.commands


def test_the_training_is_one(tmp_path):
    (tmp_path / "train.yaml").write_text(blocks("yaml")[-1])
    assert load_train_spec(tmp_path / "train.yaml").learn.steps == 2000


def test_every_command_is_shown():
    assert set(main.commands) <= set(re.findall(r"^encdec-batch (\w+)", README, re.MULTILINE))


def test_the_tree_of_the_repository_is_what_is_there():
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line.endswith("/")]
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    made = {name for name in folders if any(fnmatch(name, pattern) for pattern in ignored)}
    assert tree("repository") == folders - made


@pytest.mark.parametrize(("name", "folder"), [("package", "encdec_batch"), ("train", "encdec_batch/train")])
def test_the_tree_of_the_package_is_what_it_holds(name, folder):
    entries = [path for path in (ROOT / folder).iterdir() if not path.name.startswith(("_", "."))]
    assert tree(name) == {path.name for path in entries if path.is_dir() or path.suffix == ".py"}


@pytest.mark.parametrize("text", [README, ARCHITECTURE], ids=["README", "ARCHITECTURE"])
def test_every_path_and_link_leads_somewhere(text):
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    paths = set(re.findall(r"`((?:encdec_batch|tests|docs|jobs|tools|bench)/[\w./-]+)`", text))
    assert paths
    assert [path for path in sorted(links | paths) if not (ROOT / path).exists()] == []


def test_the_architecture_is_short_and_the_picture_small():
    assert len(ARCHITECTURE.splitlines()) <= 200
    assert (ROOT / "docs/images/demo.jpg").stat().st_size < 300_000


def test_the_layers_are_those_that_are_checked():
    configured = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    shown = re.search(r"^```text\n(driver\n.*?)```", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    assert configured
    assert shown
    built = [re.sub(r" ?\|? ?\(\w+\)", "", layer) for layer in re.findall(r'"([^"]+)"', configured[1])]
    assert [re.split(r"\s{2,}", line)[0] for line in shown[1].splitlines()] == [layer for layer in built if layer]


def test_the_medical_job_is_one(tmp_path):
    (tmp_path / "job.yaml").write_text(blocks("yaml")[1])
    spec = load_spec(tmp_path / "job.yaml")
    assert [file.kind for file in spec.output.volume_files] == ["nifti", "dicom_image"]
    assert (ROOT / "jobs/packages/ct-denoiser/card.json").is_file()
