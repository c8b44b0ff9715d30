"""A training and a night of medical images: they learn from volumes slice by slice, and name nobody."""

from __future__ import annotations

import gzip
import logging
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import yaml
from e2e.made import command
from e2e.test_volumes import PLANTED, planted

from encdec_batch.models.package import load_package
from encdec_batch.store.open import open_store
from encdec_batch.train.tracking.curve import read_curve

pytestmark = pytest.mark.integration
CT_SERIES = Path(__file__).parents[3] / "shared/data/medical/dicom_ct_series"
WORDS = (*PLANTED, "Burnt", "pacs", "p-one")
"""That stand in files, their names or those of their folders."""
CLASSES = [{"id": 0, "name": "rest", "color": [0, 0, 0]}, {"id": 1, "name": "organ", "color": [255, 200, 0]}]
NETWORK = {"architecture": "unet", "arguments": {"width": 2, "depth": 1, "norm": "none"}}
COMPUTE = {"stream": {"kind": "local"}, "device": "cpu", "precision": "float32"}


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key for tests, long enough")


def denoising(folder: Path, images: Path, **data) -> dict:
    """Of slices with their neighbours, validated on other patients."""
    return {
        "data": {
            "train": {"kind": "images", "uri": str(images), "context_slices": 1},
            "split": {"kind": "hash", "by": "patient", "share": 0.5, "seed": 3},
            "target": {"kind": "clean", "noise": {"kind": "gaussian", "sigma": 20}},
            "normalization": {"kind": "estimate", "per_band": False},
            "sampling": {"crop": 32, "samples": 4},
            "most_aside": 0.5,
            **data,
        },
        "network": NETWORK,
        "learn": {"losses": [{"kind": "l1"}], "steps": 2, "batch": 2},
        "card": {"name": "ct", "task": "denoising", "data": "a test", "licence": "CC0"},
        "output": {"uri": str(folder / "training"), "package": str(folder / "package"), "log_every": 1}
        | {"registry": str(folder / "registry")},
        "compute": COMPUTE,
    }


def write(path: Path, spec: dict) -> Path:
    path.write_text(yaml.safe_dump(spec))
    return path


def texts_below(folder: Path, *, sources: Path) -> dict[str, bytes]:
    """Name and bytes of every file that was written, unpacked where it is packed."""
    found = {}
    for path in (path for path in folder.rglob("*") if path.is_file() and not path.is_relative_to(sources)):
        data, name = path.read_bytes(), path.relative_to(folder).as_posix()
        found[name] = name.encode() + data + (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else b"")
    return found


def telling(said: dict[str, bytes], words=WORDS) -> set[tuple[str, str]]:
    return {(name, word) for name, text in said.items() for word in words if word.encode() in text}


def test_a_denoiser_of_slices_with_neighbours_is_trained_and_nothing_names_a_patient(tmp_path, caplog):
    for number, patient in enumerate(("MRN-77", "MRN-78", "p-one")):
        folder = tmp_path / "pacs" / f"Doernbecher_Janetta {patient}"
        folder.mkdir(parents=True)
        for at in range(3):
            dataset, _ = planted(10 * number + at)
            dataset.PatientID, dataset.SeriesInstanceUID = patient, f"1.2.3.2.{number}"
            pydicom.dcmwrite(folder / f"MRN-77 {at}.dcm", dataset, enforce_file_format=True)
    (tmp_path / "pacs/Burnt Umber.dcm").write_bytes((folder / "MRN-77 0.dcm").read_bytes()[:900])
    spec = write(tmp_path / "train.yaml", denoising(tmp_path, tmp_path / "pacs"))
    spec_text = spec.read_text()
    spec.unlink()
    (tmp_path / "pacs/spec.yaml").write_text(spec_text)
    with caplog.at_level(logging.INFO):
        ended = command("train", tmp_path / "pacs/spec.yaml", "-v", "--json")
        again = command("train", tmp_path / "pacs/spec.yaml", "--json")
        judged = command("evaluate", tmp_path / "pacs/spec.yaml", "--json")
    assert (ended.code, again.code, judged.code) == (0, 0, 0), ended.stderr + again.stderr + judged.stderr
    assert (again.result["already"], len(read_curve(open_store(str(tmp_path / "training"))))) == (True, 3)
    card = load_package(str(tmp_path / "package")).card
    assert (card.num_bands, card.output.num_channels) == (3, 1)
    assert "1 files were set aside" in card.training.split
    said = texts_below(tmp_path, sources=tmp_path / "pacs")
    said["the terminal"] = (ended.stdout + ended.stderr + again.stdout + judged.stdout + caplog.text).encode()
    assert telling(said) == set()
    assert telling({"spec": spec_text.encode()}), "the corpus is named"
    assert not any(b"\x89PNG" in text for name, text in said.items() if "tensorboard" in name)


def test_a_night_on_volumes_names_nobody(tmp_path, caplog):
    rng = np.random.default_rng(0)
    for number in range(8):
        image = rng.integers(0, 900, (36, 40, 2)).astype(np.int16)
        image[:18] += 300
        for name, values in (("images", image), ("masks", (image > 600).astype(np.uint8))):
            path = tmp_path / "pacs" / name / f"Doernbecher_Janetta{number}" / "MRN-77.nii"
            path.parent.mkdir(parents=True)
            volume = nibabel.Nifti1Image(values, np.eye(4))
            volume.header["descrip"] = "Springfield, ACC-4711"
            nibabel.save(volume, path)
    (tmp_path / "pacs/images/Burnt Umber.nii").write_bytes(b"no volume")
    (tmp_path / "pacs/masks/Burnt Umber.nii").write_bytes(b"no volume")
    source = {"kind": "folders", "images": f"{tmp_path}/pacs/images", "targets": f"{tmp_path}/pacs/masks"}
    spec = {
        "registry": str(tmp_path / "registry"),
        "output": {"uri": str(tmp_path / "nights")},
        "train": {
            "data": {
                "train": source,
                "target": {"kind": "mask", "classes": CLASSES},
                "sampling": {"crop": 32, "samples": 4},
                "most_aside": 0.5,
            },
            "network": NETWORK,
            "learn": {"losses": [{"kind": "cross_entropy"}], "steps": 2, "batch": 2},
            "card": {"name": "organ", "task": "semantic-segmentation", "data": "a test", "licence": "CC0"},
            "compute": COMPUTE,
        },
        "new_scenes": 2,
        "split": {"by": "folder", "held_out": 0.4, "audit": 0, "seed": 1},
        "judge": {
            "least_scenes": 2,
            "groups": {"kind": "folder"},
            "least_group": 1,
            "group_guards": {"Doernbecher_Janetta1": 0.5},
            "pictures": 4,
        },
    }
    path = write(tmp_path / "pacs/night.yaml", spec)
    with caplog.at_level(logging.INFO):
        ended = command("nightly", path, "--night", "2026-11-28", "-v", "--json")
        broken = command(
            "nightly", path, "--night", "2026-11-29", "-v", "--set", f"train.data.train.images={tmp_path}/pacs/MRN-77/"
        )
    assert ended.code == 0, ended.stderr
    decision = ended.result
    assert (decision["outcome"], decision["counts"]["num_aside"]) == ("no_production", 1)
    assert decision["counts"]["labelled"] == 8, "a volume is one, whatever slices it has"
    assert len(decision["alone"]["scenes"]) == 2 * decision["counts"]["held_out"]
    page = (tmp_path / "nights/nights/2026-11-28/index.html").read_text()
    assert "data:image/" not in page.replace("data:image/svg", "")
    assert broken.code in (1, 2), "there are no such images"
    said = texts_below(tmp_path, sources=tmp_path / "pacs")
    said["the terminal"] = (ended.stdout + ended.stderr + broken.stdout + broken.stderr + caplog.text).encode()
    assert telling(said) == set()


@pytest.mark.skipif(not CT_SERIES.exists(), reason="../shared/data/medical is not there")
def test_a_real_series_of_ct_is_learned_from(tmp_path):
    spec = denoising(tmp_path, CT_SERIES, split={"kind": "none"}, sampling={"crop": 64, "samples": 4})
    del spec["output"]["registry"]
    ended = command("train", write(tmp_path / "train.yaml", spec), "--json")
    assert ended.code == 0, ended.stderr
    assert load_package(str(tmp_path / "package")).card.num_bands == 3
