"""Series and volumes through a job: slices in the order of space, files of the whole volume, and nobody's name."""

from __future__ import annotations

import gzip
import json
import logging
from io import BytesIO
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pyarrow.parquet as pq
import pydicom
import pytest
from e2e.made import classes_package, command, denoiser_package, image_of, markers, plain_labels, run, write_spec
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from volume.made import ct_slice

from encdec_batch.privacy import Pseudonyms

pytestmark = pytest.mark.integration

SHAPE, NUM_SLICES = (40, 56), 5
PLANTED = (
    "Doernbecher",
    "Janetta",
    "MRN-77",
    "Springfield",
    "ACC-4711",
    "20200102",
    "Burnt Umber",
    "1.2.3.9",
    "1.2.3.2",
)
"""Of names, numbers, dates and UIDs that stand in the files and in their names."""
KEY = "a key for tests, long enough"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", KEY)


def planted(number: int, shape: tuple[int, int] = SHAPE) -> tuple[Dataset, np.ndarray]:
    """A slice with identifiers in text elements, a private tag and a sequence; and its Hounsfield units."""
    dataset = ct_slice(number, shape=shape)
    dataset.InstitutionName, dataset.AccessionNumber = "Springfield General", "ACC-4711"
    dataset.ImageComments, dataset.PatientBirthDate = "Doernbecher, Janetta; Burnt Umber", "19700102"
    block = dataset.private_block(0x0011, "ENCDEC TEST", create=True)
    block.add_new(0x01, "LO", "Janetta Doernbecher")
    # A name where numbers belong: for the file it is one, see `written`.
    dataset.KVP, dataset.Exposure = None, None
    dataset["KVP"] = DataElement(dataset["KVP"].tag, "LO", "Doernbecher^Janetta")
    dataset["Exposure"] = DataElement(dataset["Exposure"].tag, "LO", "Doernbecher^Janetta")
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.9.77"
    dataset.ReferencedImageSequence = [item]
    rng = np.random.default_rng(number)
    stored = rng.integers(900, 1150, shape).astype(np.int16)
    dataset.PixelData = stored.tobytes()
    return dataset, stored - 1024.0


def written(dataset: Dataset) -> bytes:
    """The file; of two elements it claims that they are numbers."""
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    data = buffer.getvalue()
    for tag, vr in ((b"\x18\x00\x60\x00", b"DS"), (b"\x18\x00\x52\x11", b"IS")):
        assert data.count(tag + b"LO") == 1
        data = data.replace(tag + b"LO", tag + vr)
    return data


@pytest.fixture
def series(tmp_path) -> np.ndarray:
    """(slices, rows, columns) in Hounsfield units; the files have other names than their order."""
    folder = tmp_path / "pacs" / "Doernbecher_Janetta"
    folder.mkdir(parents=True)
    slices = []
    for number in range(NUM_SLICES):
        dataset, values = planted(number)
        (folder / f"MRN-77 {(3 * number) % 7}.dcm").write_bytes(written(dataset))
        slices.append(values)
    return np.stack(slices)


def network(bands: int = 1) -> str:
    return classes_package(bands, ("int16",), unit="scaled", seed=2)


def job(tmp_path, package: str, slices: int = 0, patient: str = "keep", more=(), **changes):
    files = [{"kind": "cog"}, {"kind": "nifti"}, {"kind": "dicom_seg", "patient_module": patient}, *more]
    output = {"files": files, "catalogue": True}
    source = {"kind": "prefix", "uri": str(tmp_path / "pacs"), "context_slices": slices}
    return write_spec(tmp_path, source, package, output=output, **changes)


def volumes(output: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted((output / "volumes").glob("*.json"))]


def test_a_series_becomes_a_volume_and_a_segmentation(tmp_path, series):
    ended = run(job(tmp_path, network()))
    assert ended.code == 0, ended
    (volume,) = volumes(tmp_path / "out")
    wanted = np.stack([plain_labels(network(), values[None]) for values in series])
    masks = np.stack([image_of(tmp_path / "out", scene, "mask.tif")[0] for scene in volume["slices"]])
    np.testing.assert_array_equal(masks, wanted)

    image = nibabel.load(tmp_path / "out" / volume["outputs"]["mask.nii.gz"]["path"])
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), wanted.transpose(2, 1, 0))
    np.testing.assert_allclose(image.affine[:3], [[-0.75, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 3, 0]])

    seg = highdicom.seg.segread(tmp_path / "out" / volume["outputs"]["seg.dcm"]["path"])
    assert seg.PatientID == "MRN-77"
    sources = [f"1.2.3.9.{number}" for number in range(NUM_SLICES)]
    np.testing.assert_array_equal(seg.get_pixels_by_source_instance(sources, combine_segments=True), wanted)


def test_an_image_of_its_own_is_derived_and_certified_in_its_units(tmp_path):
    """Of several tiles, which are compared before it is committed."""
    pseudonyms = Pseudonyms(KEY)
    source, _ = planted(0, (200, 300))
    stored = np.random.default_rng(5).integers(0, 3000, (200, 300)).astype(np.int16)
    source.PixelData = stored.tobytes()
    (tmp_path / "pacs").mkdir()
    (tmp_path / "pacs" / "MRN-77.dcm").write_bytes(written(source))
    files = [{"kind": "cog"}, {"kind": "nifti"}, {"kind": "dicom_image", "patient_module": "replace"}]
    where = {"kind": "prefix", "uri": str(tmp_path / "pacs")}
    ended = run(write_spec(tmp_path, where, denoiser_package(), output={"files": files}))
    assert (ended.code, ended.result["checks"] > 0) == (0, True), ended
    assert ended.result["notes"] == [
        "output.files asks for nifti, and no scene that can be done is a slice of a volume: none will be made"
    ]
    (volume,) = volumes(tmp_path / "out")
    made = pydicom.dcmread(tmp_path / "out" / volume["outputs"]["image.dcm"]["path"])
    np.testing.assert_array_equal(made.pixel_array, stored)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == pseudonyms.uid(source.SOPInstanceUID)
    assert leaks(tmp_path / "out", ended.stdout + ended.stderr, (".encdec/private/",)) == []


def test_neighbours_are_read_as_bands(tmp_path, series):
    ended = run(job(tmp_path, network(3), slices=1))
    assert ended.code == 0, ended
    (volume,) = volumes(tmp_path / "out")
    padded = np.concatenate([series[:1], series, series[-1:]])
    wanted = np.stack([plain_labels(network(3), padded[n : n + 3]) for n in range(NUM_SLICES)])
    masks = np.stack([image_of(tmp_path / "out", scene, "mask.tif")[0] for scene in volume["slices"]])
    np.testing.assert_array_equal(masks, wanted)
    marker = markers(tmp_path / "out")[volume["slices"][0]]
    assert len(marker.input.stack) == 3


def test_a_series_with_a_gap_is_set_aside_and_goes_on_when_it_is_whole(tmp_path, series):
    (missing,) = (tmp_path / "pacs" / "Doernbecher_Janetta").glob("MRN-77 6.dcm")
    data = missing.read_bytes()
    missing.unlink()
    vault = tmp_path / "vault"
    spec = job(tmp_path, network(), privacy={"map": str(vault)})
    ended = run(spec)
    assert ended.code == 3
    assert {row["reason"] for row in ended.result["set_aside"]} == {
        "its series of 4 slices at steps of 3 mm has 1 gaps: about 1 slices are missing, the first after slice 2"
    }
    assert len(ended.result["set_aside"]) == NUM_SLICES - 1
    missing.write_bytes(data)
    assert run(spec).code == 0
    assert len(volumes(tmp_path / "out")[0]["slices"]) == NUM_SLICES
    again = run(spec)
    assert (again.code, again.result["scenes_committed"]) == (0, 0)
    # What later runs need in clear lies where the spec says, and commands that are given the output alone find it.
    assert len(list((vault / "specs").iterdir())) == 3
    assert not (tmp_path / "out/.encdec/private").exists()
    assert command("prune", tmp_path / "out", "--removed", "10").code == 0
    assert telling(vault) == set()
    assert pq.read_table(tmp_path / "out" / "volumes.parquet")["output"].to_pylist() == ["mask.nii.gz", "seg.dcm"]
    # A slice whose input is gone is in the files of its volume too: they are taken out with it.
    missing.unlink()
    assert run(spec, "--prune", "--expect", str(NUM_SLICES - 1)).code == 3
    (volume,) = volumes(tmp_path / "out")
    assert (volume["outputs"], volume["notes"]) == ({}, ["removed"])
    assert pq.read_table(tmp_path / "out" / "volumes.parquet").num_rows == 0


def telling(folder: Path) -> set[str]:
    return {
        word for path in folder.rglob("*") if path.is_file() for word in PLANTED if word.encode() in path.read_bytes()
    }


def clear_texts(path: Path) -> bytes:
    """All that a file says: as it is, unpacked where it is packed."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data += gzip.decompress(data)
    if data[:4] == b"PAR1":
        table = pq.read_table(BytesIO(data))
        data += repr(table.to_pylist()).encode() + repr(table.schema.metadata).encode()
    return data


def leaks(out: Path, terminal: str, apart: tuple[str, ...]) -> list[tuple[str, str]]:
    """Where a planted word stands that is not to: names and contents of all files but those that are kept apart."""
    said = {"the terminal": terminal.encode()}
    for path in (path for path in out.rglob("*") if path.is_file()):
        name = path.relative_to(out).as_posix()
        if not name.startswith(apart):
            said[name] = name.encode() + clear_texts(path)
    return sorted((name, word) for name, text in said.items() for word in PLANTED if word.encode() in text)


@pytest.mark.parametrize(("hidden", "patient"), [(True, "replace"), (True, "keep"), (False, "keep")])
def test_no_identifier_leaves_but_where_it_must(tmp_path, series, hidden, patient, caplog):
    broken = tmp_path / "pacs" / "Doernbecher_Janetta" / "Burnt Umber.dcm"
    broken.write_bytes((tmp_path / "pacs" / "Doernbecher_Janetta" / "MRN-77 0.dcm").read_bytes()[:900])
    changes = {} if hidden else {"privacy": "off"}
    more = [{"kind": "ome_zarr_volume"}]
    spec = job(tmp_path, network(), patient=patient, more=more, **changes)
    with caplog.at_level(logging.INFO):
        ended = run(spec, "-v")
    assert ended.code == 3, ended
    assert len(ended.result["set_aside"]) == 1
    out = tmp_path / "out"
    # With their patients replaced, files of DICOM name nobody either.
    apart = (".encdec/private/",) if patient == "replace" else ("dicom/", ".encdec/private/")
    found = leaks(out, ended.stdout + ended.stderr + caplog.text, apart)
    assert bool(found) == (not hidden), found
    (seg,) = (out / "dicom").rglob("seg.dcm")
    assert (pydicom.dcmread(seg).get("PatientIdentityRemoved") == "YES") == (patient == "replace")


def test_without_a_key_nothing_is_begun(tmp_path, series, monkeypatch):
    monkeypatch.delenv("ENCDEC_PRIVACY_KEY")
    ended = run(job(tmp_path, network()))
    assert ended.code == 2
    assert "ENCDEC_PRIVACY_KEY holds no key" in ended.stderr
    assert not (tmp_path / "out").exists()
