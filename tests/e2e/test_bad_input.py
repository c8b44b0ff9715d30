"""Bad input, as a user meets it. Never a traceback, never a scene that is gone without a word.

In a job it is a row that says what, where and what to do, and the rest completes; as an argument one clear line.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from e2e.made import Ended, aside, command, identity_package, image_of, markers, run, write_spec, write_tiff
from jobs_made import spoil_tile
from rasters import coordinate_image, tiny_png, tiny_tiff
from servers import Fault, faulty_s3_server

from encdec_batch.commit.generation import check_scene_id

pytestmark = pytest.mark.integration

FLOATS = ("uint8", "float32")
SHAPE = (600, 1300)
"""Of scenes of several blocks (512 px): what is wrong in one block is said of that block."""


def image(bands: int = 1, dtype: str = "uint8", shape: tuple[int, int] = (90, 110)) -> np.ndarray:
    return coordinate_image(bands, *shape, dtype)


def cut(pixels: np.ndarray, share: float, **profile: object) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_tiff(path, pixels, **profile)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return write


def noise(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (1, *shape), dtype=np.uint8)


def spoiled(path: Path) -> None:
    write_tiff(path, noise(SHAPE))
    spoil_tile(path, 300, 900)


def with_nan(path: Path) -> None:
    pixels = image(dtype="float32", shape=SHAPE)
    pixels[0, 10, 1290] = np.nan
    write_tiff(path, pixels)


def bytes_of(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def vrt(path: Path) -> None:
    write_tiff(path.parent.parent / "secret.tif", image())
    path.write_text(
        '<VRTDataset rasterXSize="110" rasterYSize="90"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{path.parent.parent}/secret.tif</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def png(path: Path) -> None:
    rows = b"".join(b"\0" + bytes([row]) * 500 for row in range(200))
    path.write_bytes(tiny_png(500, 200, rows[:-900]))


@dataclass(frozen=True, slots=True)
class Bad:
    """One bad object in an archive, and what is said of it."""

    name: str
    write: Callable[[Path], None]
    stage: str
    words: str
    block: bool = False
    """Whether a block is to blame."""


BAD = (
    Bad("text.tif", bytes_of(b"hello, world"), "plan", "not an image"),
    Bad("zeros.tif", bytes_of(bytes(5000)), "plan", "not an image"),
    Bad("empty.tif", bytes_of(b""), "plan", "the object is empty"),
    Bad("empty.png", bytes_of(b""), "plan", "2 scenes have the id empty"),
    Bad("magic.tif", bytes_of(b"II*\0"), "plan", "TIFF header"),
    Bad("cut_header.tif", cut(image(), 0.01), "plan", "TIFF|GDAL"),
    Bad("cut.tif", cut(noise(SHAPE), 0.6), "plan", "the file has"),
    Bad("cut_image.png", png, "read", "GDAL cannot", block=True),
    Bad("spoiled.tif", spoiled, "read", "GDAL cannot", block=True),
    Bad("nan.tif", with_nan, "read", "it holds NaN, and identity has no rule for NaN", block=True),
    Bad("bands.tif", lambda path: write_tiff(path, image(3)), "plan", "it has 3 bands, identity wants 1"),
    Bad("dtype.tif", lambda path: write_tiff(path, image(1, "int16")), "plan", "its pixels are int16, identity takes"),
    Bad("complex.tif", lambda path: write_tiff(path, image().astype("complex64")), "plan", "complex64"),
    Bad(
        "giant.tif",
        bytes_of(tiny_tiff(zlib.compress(bytes(1 << 20)), compression=8, width=10**6, height=10**6, tile=256)),
        "plan",
        "promises 1,000,000 x 1,000,000 px",
    ),
    Bad(
        "giant_tile.tif",
        bytes_of(tiny_tiff(zlib.compress(bytes(1 << 20)), compression=8, width=65536, height=65536, tile=65536)),
        "plan",
        "decoded, more than",
    ),
    Bad("giant.png", bytes_of(tiny_png(60_000, 60_000, bytes(1000))), "plan", "2 scenes have the id giant"),
    Bad("giant_image.png", bytes_of(tiny_png(60_000, 60_000, bytes(1000))), "plan", "decoded whole"),
    Bad("vrt.tif", vrt, "plan", "not an image"),
    Bad("other.tif", bytes_of(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200)), "plan", "JPEG 2000 is not read"),
)
EQUAL = {"empty.tif", "giant.tif"}
"""Their ids are also those of other files: that is what is said of them."""


def scene_of(name: str, rows: dict[str, dict]) -> dict:
    (row,) = (row for row in rows.values() if row["uri"].endswith(f"/{name}"))
    return row


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """An archive of bad objects among good ones, run once."""
    folder = tmp_path_factory.mktemp("bad")
    archive = folder / "in"
    archive.mkdir()
    for bad in BAD:
        bad.write(archive / bad.name)
    write_tiff(archive / "good.tif", image(shape=SHAPE))
    write_tiff(archive / "Case.tif", image())
    write_tiff(archive / "case.tif", image() // 2)
    write_tiff(archive / "dir name/é ü.tif", image())
    (archive / "notes.txt").write_text("no scene")
    write_spec(folder, archive, identity_package(1, FLOATS))
    (folder / "summary.json").write_text(json.dumps(vars_of(run(folder / "job.yaml"))))
    return folder


def vars_of(ended) -> dict:
    return {"code": ended.code, "stderr": ended.stderr, "result": ended.result}


@pytest.fixture(scope="module")
def summary(job) -> dict:
    return json.loads((job / "summary.json").read_text())


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_what_is_bad_is_a_row_that_says_what_where_and_what_to_do(job, summary, bad):
    rows = {row["scene_id"]: row for row in summary["result"]["set_aside"]}
    row = scene_of(bad.name, rows)
    assert row["stage"] == bad.stage
    words = "2 scenes have the id" if bad.name in EQUAL else bad.words
    assert any(word in row["reason"] for word in words.split("|")), row["reason"]
    assert row["hint"]
    assert (row["block"] is not None) == bad.block
    assert not row["transient"]
    assert "Traceback" not in row["reason"]
    assert "not a known fault" not in row["hint"]


def test_the_rest_completes(job, summary):
    assert summary["code"] == 3
    assert len(summary["result"]["set_aside"]) == len(BAD)
    done = markers(job / "out")
    assert len(done) == 4
    np.testing.assert_array_equal(image_of(job / "out", "good"), image(shape=SHAPE))
    assert sum(name.lower().startswith("case") for name in done) == 2
    assert sum(name.startswith("dir_name_") for name in done) == 1
    assert "Traceback" not in summary["stderr"]


def test_both_truths_and_the_table_tell_the_same(job, summary):
    rows = {row["scene_id"]: row for row in summary["result"]["set_aside"]}
    stored = {
        path.stem: json.loads(path.read_text()) for path in (job / "out/.encdec/quarantine").iterdir() if path.is_file()
    }
    table = {row["scene_id"]: row for row in pq.read_table(job / "out/quarantine.parquet").to_pylist()}
    assert set(rows) == set(stored) == set(table)
    for name, row in rows.items():
        for other in (stored[name], table[name]):
            assert {key: other[key] for key in ("stage", "uri", "block", "reason", "hint")} == {
                key: row[key] for key in ("stage", "uri", "block", "reason", "hint")
            }


def test_the_blamed_block_is_the_one(job, summary):
    rows = {row["scene_id"]: row for row in summary["result"]["set_aside"]}
    # 1300 px: blocks of 512, 512 and 276 px; the spoiled tile holds column 900, the NaN lies at 1290.
    assert rows["nan"]["block"].endswith("2")
    assert rows["spoiled"]["block"].endswith("1")


def test_nothing_of_what_is_bad_is_left_in_the_output(job):
    done = markers(job / "out")
    assert {path.name for path in (job / "out/scenes").iterdir()} == set(done)


def test_the_next_run_leaves_what_is_condemned_alone(job, summary):
    again = run(job / "job.yaml")
    assert again.code == 3
    assert again.result["blocks"] == 0
    assert aside(again) == {row["scene_id"]: row for row in summary["result"]["set_aside"]}
    assert again.result["digest"] == summary["result"]["digest"]


def test_a_repaired_scene_is_done_by_the_next_run(tmp_path):
    write_tiff(tmp_path / "in/a.tif", image())
    (tmp_path / "in/b.tif").write_bytes(b"broken")
    spec = write_spec(tmp_path, tmp_path / "in", identity_package())
    assert set(aside(run(spec))) == {"b"}
    write_tiff(tmp_path / "in/b.tif", image())
    ended = run(spec)
    assert (ended.code, ended.result["scenes_committed"]) == (0, 1)
    assert list((tmp_path / "out/.encdec").glob("quarantine/*.json")) == []
    assert pq.read_table(tmp_path / "out/quarantine.parquet").num_rows == 0


def test_sidecars_change_nothing(tmp_path):
    """Neither masks, overviews, metadata nor places out of files beside a scene: one scene is one object."""
    other = write_tiff(tmp_path / "other.tif", 255 - image())
    pictures = {}
    for name in ("plain", "followed"):
        archive = tmp_path / name / "in"
        write_tiff(archive / "a.tif", image())
        if name == "followed":
            for suffix in (".msk", ".ovr"):
                shutil.copy(other, archive / f"a.tif{suffix}")
            (archive / "a.tif.aux.xml").write_text(
                f"<PAMDataset><Metadata domain='SUBDATASETS'><MDI key='SUBDATASET_1_NAME'>{other}</MDI></Metadata>"
                "<PAMRasterBand band='1'><NoDataValue>5</NoDataValue><Scale>7</Scale></PAMRasterBand></PAMDataset>"
            )
            (archive / "a.tfw").write_text("9\n0\n0\n-9\n1\n1\n")
            (archive / "a.aux").write_bytes(b"EHFA_HEADER_TAG")
        spec = write_spec(tmp_path / name, archive, identity_package())
        assert run(spec).code == 0
        (file,) = (tmp_path / name / "out/scenes").rglob("image.tif")
        pictures[name] = sha256(file.read_bytes()).hexdigest()
    assert pictures["plain"] == pictures["followed"]


def test_ids_out_of_a_table_stay_inside_the_output(tmp_path):
    wanted = ["../../escape", "..", "/etc/passwd", "a/../b", ".hidden", "CON", "a\\b", "", None, "x" * 300]
    for number in range(len(wanted)):
        write_tiff(tmp_path / f"in/{number}.tif", image())
    uris = [str(tmp_path / f"in/{number}.tif") for number in range(len(wanted))]
    pq.write_table(pa.table({"uri": uris, "scene_id": wanted}), tmp_path / "scenes.parquet")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    spec = write_spec(tmp_path, {"kind": "table", "uri": str(tmp_path / "scenes.parquet")}, identity_package())
    assert run(spec).code == 0
    done = markers(tmp_path / "out")
    assert len(done) == len(wanted)
    for name in done:
        check_scene_id(name)
    outside = {path for path in tmp_path.rglob("*") if "out" not in path.parts} - before
    assert outside == {spec}


def test_equal_ids_are_all_set_aside_and_the_rest_completes(tmp_path):
    for name in ("one/a.tif", "two/a.tif", "two/b.tif"):
        write_tiff(tmp_path / name, image())
    uris = [str(tmp_path / name) for name in ("one/a.tif", "two/a.tif", "two/b.tif", "two/b.tif")]
    spec = write_spec(
        tmp_path, {"kind": "list", "uris": [*uris, str(tmp_path / "two/../one/a.tif")]}, identity_package()
    )
    rows = aside(run(spec))
    assert {row["reason"] for row in rows.values()} == {"3 scenes have the id a", "2 scenes have the id b"}
    write_tiff(tmp_path / "c.tif", image())
    spec = write_spec(tmp_path, {"kind": "list", "uris": [*uris, str(tmp_path / "c.tif")]}, identity_package())
    ended = run(spec)
    assert ended.code == 3
    assert set(markers(tmp_path / "out")) == {"c"}


def test_a_missing_object_is_one_row(tmp_path):
    write_tiff(tmp_path / "in/a.tif", image())
    uris = [f"{tmp_path}/in/{name}" for name in ("a.tif", "gone.tif", "n" * 300 + ".tif")]
    spec = write_spec(tmp_path, {"kind": "list", "uris": uris}, identity_package())
    ended = run(spec)
    assert ended.code == 3
    assert aside(ended)["gone"]["reason"] == "the object is missing"
    assert len(aside(ended)) == 2
    assert set(markers(tmp_path / "out")) == {"a"}
    assert command("run", spec).stdout.count("set aside  ") == 2


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_forbidden_or_missing_object_of_a_bucket_is_one_row(tmp_path, method):
    write_tiff(tmp_path / "in/a.tif", image())
    with faulty_s3_server() as faulty:
        bucket = faulty.server.make_bucket()
        faulty.server.client().put_object(Bucket=bucket, Key="no.tif", Body=(tmp_path / "in/a.tif").read_bytes())
        faulty.faults.extend(Fault(method=method, status=403, code="AccessDenied") for _ in range(20))
        uris = [f"{tmp_path}/in/a.tif", f"s3://{bucket}/no.tif", f"s3://{bucket}/gone.tif"]
        source = {"kind": "list", "uris": uris, "storage": faulty.server.options}
        spec = write_spec(tmp_path, source, identity_package())
        ended = run(spec)
        assert ended.code == 3
        row = aside(ended)["no"]
        assert "forbid" in row["reason"]
        assert "right" in row["hint"]
        assert row["transient"]
        faulty.faults.clear()
        # Without a word of the user: whoever mended the rights need not know of quarantine.
        again = aside(run(spec))
        assert set(again) == {"gone"}
        assert "missing" in again["gone"]["reason"]
        assert set(markers(tmp_path / "out")) == {"a", "no"}


def bombs(archive: Path) -> None:
    """Files of a few MB that promise or hold gigabytes."""
    archive.mkdir()
    packer = zlib.compressobj(9, wbits=-15)
    part = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    stream = b"\x78\xda" + part * 256 + packer.flush() + bytes(4)
    assert 3_000_000 < len(stream) < 5_000_000
    files = {
        "tile": tiny_tiff(stream, compression=8),
        "large_tile": tiny_tiff(stream, compression=8, width=65536, height=65536, tile=65536),
        "strip": tiny_tiff(stream, ((278, 4, 65536),), compression=8, width=65536, height=65536, tile=65536),
        "giant": tiny_tiff(stream, compression=8, width=10**6, height=10**6, tile=256),
    }
    for name, data in files.items():
        (archive / f"{name}.tif").write_bytes(data)
    png_data = tiny_png(60_000, 60_000, bytes(10))
    (archive / "image.png").write_bytes(png_data)
    # One that promises little and holds much.
    (archive / "more.png").write_bytes(tiny_png(100, 100, bytes(1 << 28)))


def test_memory_stays_bounded_whatever_a_file_inflates_to(tmp_path):
    bombs(tmp_path / "in")
    write_tiff(tmp_path / "in/good.tif", image())
    spec = write_spec(tmp_path, tmp_path / "in", identity_package())
    code = (
        "import sys\n"
        "from encdec_batch.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally:\n"
        "    from encdec_batch.process import peak_bytes\n"
        "    print(peak_bytes(), file=sys.stderr)\n"
    )
    arguments = [sys.executable, "-c", code, "run", str(spec), "--json"]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 3, ended.stderr
    result = json.loads(ended.stdout)
    assert {"large_tile", "strip", "giant", "image"} <= {row["scene_id"] for row in result["set_aside"]}
    assert "good" in markers(tmp_path / "out")
    peak_mib = int(ended.stderr.split()[-1]) / 2**20
    assert peak_mib < 1024, f"{peak_mib:.0f} MiB"


def assert_one_line(ended, code: int, *words: str) -> None:
    """An error as a user sees it: nothing on stdout, one paragraph on stderr."""
    assert ended.code == code, ended
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr, ended.stderr


@pytest.fixture
def spec(tmp_path) -> Path:
    write_tiff(tmp_path / "in/a.tif", image())
    return write_spec(tmp_path, tmp_path / "in", identity_package())


@pytest.mark.parametrize("name", ["plan", "run"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read the spec"),
        (b"", "holds no keys"),
        (b"- a\n- b\n", "holds no keys"),
        (b"source: [", "job.yaml"),
        (b"\xff\xfe\x00", "not text"),
        (b"a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
    ids=["missing", "empty", "list", "not_yaml", "not_utf8", "python_object"],
)
def test_a_file_that_is_no_spec(spec, name, content, words):
    spec.unlink()
    if content is not None:
        spec.write_bytes(content)
    assert_one_line(command(name, spec), 2, words, "job.yaml")


@pytest.mark.parametrize("name", ["plan", "run"])
def test_an_unknown_key(spec, name):
    spec.write_text(spec.read_text().replace("tiling:", "tilling:"))
    ended = command(name, spec)
    assert (ended.code, ended.stdout) == (2, "")
    assert "tilling: unknown key, did you mean tiling?" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tiling.core", "write --set tiling.core=1024"),
        ("tiling.coer=5", "did you mean core?"),
        ("tiling.core=-5", "tiling.core"),
        ("compute.device=tpu", "compute.device"),
        ("tiling.core=[", "not YAML"),
        ("compute.device=cuda", "no CUDA device"),
        ("output.probability=true", "makes images"),
        ("source.bands=[1,2]", "wants 1"),
        ("tiling.budget_gib=0.0001", "raise tiling.budget_gib"),
        ("output.uri=ftp2://x/y", "ftp2"),
        ("output.uri=s3://", "names no bucket"),
        ("source.storage.secret=hunter2", "env:NAME"),
        ("source={kind: prefix, uri: 's3://bucket/x', storage: {key: 'env:NOT_SET_ANYWHERE'}}", "NOT_SET_ANYWHERE"),
    ],
)
def test_a_wrong_setting(spec, override, words):
    import torch

    if "cuda" in override and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ended = command("run", spec, "--set", override)
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert ended.stderr.startswith("error: ")
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr


@pytest.mark.parametrize("uri", ["empty", "not-there", "only-text"])
def test_a_source_without_scenes(spec, tmp_path, uri):
    (tmp_path / "empty").mkdir()
    (tmp_path / "only-text").mkdir()
    (tmp_path / "only-text/notes.txt").write_text("x")
    assert_one_line(command("run", spec, "--set", f"source.uri={tmp_path}/{uri}"), 2, "no scene is there", uri)


def test_a_table_that_is_none(spec, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\0\1")
    for name in ("gone.parquet", "bad.csv"):
        table = f"source={{kind: table, uri: {tmp_path}/{name}}}"
        assert_one_line(command("run", spec, "--set", table), 2, name)


def test_a_name_that_is_not_utf8_is_said(spec, tmp_path):
    Path(os.fsdecode(bytes(tmp_path / "in") + b"/sc\xffene.tif")).write_bytes(b"x")
    assert_one_line(command("run", spec), 1, "is not UTF-8", "rename it")


def copied_package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(identity_package(), tmp_path / "package"))


def with_file(package: Path, name: str, data: bytes) -> None:
    """Another file of the package, and the card that names it by its true digest."""
    (package / name).write_bytes(data)
    card = json.loads((package / "card.json").read_text())
    card["files"][name] = sha256(data).hexdigest()
    (package / "card.json").write_text(json.dumps(card))


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm-was-done"),)


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_model_file_that_is_a_pickle(spec, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    package = copied_package(tmp_path)
    with_file(package, "weights.safetensors", pickle.dumps({"weights": Harmful()}, protocol))
    words = () if protocol == 0 else ("pickle",)
    assert_one_line(command("run", spec, "--set", f"model.package={package}"), 1, "weights.safetensors", *words)
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Harmful()))
    assert_one_line(command("run", spec, "--set", f"model.package={tmp_path}/model.pt"), 1, "pickle", "not opened")
    assert not (tmp_path / "harm-was-done").exists()


def test_a_torch_file_that_was_renamed(spec, tmp_path):
    import io

    import torch

    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, buffer)
    package = copied_package(tmp_path)
    with_file(package, "weights.safetensors", buffer.getvalue())
    assert_one_line(command("run", spec, "--set", f"model.package={package}"), 1, "pickle", "safetensors")


def wrong_digest(package: Path) -> None:
    data = bytearray((package / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (package / "weights.safetensors").write_bytes(data)


def wrong_golden(package: Path) -> None:
    data = bytearray((package / "golden.safetensors").read_bytes())
    data[-2] ^= 64
    with_file(package, "golden.safetensors", bytes(data))


def other_network(package: Path) -> None:
    card = json.loads((package / "card.json").read_text())
    card["arguments"]["width"] += 1
    (package / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (wrong_digest, "sha256 is"),
        (wrong_golden, "golden"),
        (other_network, "the weights are not of unet"),
        (lambda package: (package / "card.json").unlink(), "no model package here"),
        (lambda package: (package / "card.json").write_text("{"), "not a JSON file"),
        (lambda package: (package / "card.json").write_text("[]"), "card"),
        (lambda package: (package / "card.json").write_bytes(b"\xff\xfe"), "not a JSON file"),
        (lambda package: (package / "golden.safetensors").unlink(), "is missing"),
        (lambda package: with_file(package, "weights.safetensors", b""), "not a safetensors file"),
        (lambda package: with_file(package, "weights.safetensors", b"\xff" * 100), "not a safetensors file"),
    ],
    ids=["digest", "golden", "arguments", "no_card", "cut_card", "list", "not_utf8", "no_golden", "empty", "garbage"],
)
def test_a_damaged_package(spec, tmp_path, damage, words):
    package = copied_package(tmp_path)
    damage(package)
    assert_one_line(command("run", spec, "--set", f"model.package={package}"), 1, words, str(package))
    assert not list(tmp_path.glob("out/markers/*"))


def test_an_output_that_cannot_be_written(spec, tmp_path):
    (tmp_path / "file").write_text("x")
    assert_one_line(command("run", spec, "--set", f"output.uri={tmp_path}/file/out"), 1, "file")


def test_a_run_that_another_one_holds_says_who(spec, tmp_path):
    from encdec_batch.commit.holder import HolderInfo
    from encdec_batch.commit.lease import acquire_lease
    from encdec_batch.store.open import open_store

    with acquire_lease(open_store(str(tmp_path / "out")), HolderInfo.current("the-other-run")):
        assert_one_line(command("run", spec), 1, "the-other-run")
    assert command("run", spec).code == 0


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_a_store_that_is_not_reachable_is_said_while_the_user_waits(spec, closed_port):
    """A bound, not a measurement: each request would be tried for two minutes."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    code = "from encdec_batch.cli import main; main()"
    running = {}
    for part in ("source", "model", "output"):
        data = yaml.safe_load(spec.read_text())
        data[part]["package" if part == "model" else "uri"] = "s3://bucket/there"
        data[part]["storage"] = {"endpoint_url": f"http://127.0.0.1:{closed_port}"}
        path = spec.with_name(f"{part}.yaml")
        path.write_text(yaml.safe_dump(data | {"output": data["output"] | {"uri": data["output"]["uri"] + part}}))
        running[part] = subprocess.Popen(
            [sys.executable, "-c", code, "run", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | keys,
        )
    try:
        for process in running.values():
            out, err = process.communicate(timeout=90)
            assert_one_line(
                Ended(process.returncode, out, err), 1, "s3://bucket/there", "cannot be reached", "endpoint"
            )
    finally:
        for process in running.values():
            process.kill()
            process.wait()


@pytest.mark.parametrize("name", ["status", "verify", "retry"])
def test_the_commands_on_an_output_say_what_is_wrong_with_it(tmp_path, name):
    ended = command(name, "s3://")
    assert_one_line(ended, 2, "names no bucket")
    (tmp_path / "markers").mkdir()
    (tmp_path / "markers/a.json").write_text("{")
    (tmp_path / ".encdec/quarantine").mkdir(parents=True)
    (tmp_path / ".encdec/quarantine/a.json").write_text("{")
    ended = command(name, tmp_path)
    if name == "status":  # counts objects and reads none of them
        assert (ended.code, ended.stderr) == (0, "")
        assert "1 scene with outputs, 1 set aside" in ended.stdout
    elif name == "verify":  # says it of each marker and goes on
        assert (ended.code, ended.stderr) == (1, "")
        [bad] = [line for line in ended.stdout.splitlines() if line.startswith("bad ")]
        assert "markers/a.json is not a marker that this version can read" in bad
    else:
        assert_one_line(ended, 1, "a.json")
