"""docs/format.md against the schemas and bytes that it describes: who has only that page can read an output."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from commit.scenes import DEFLATE, MANY, MASK, ZSTD, coarse_of, encode_blocks, in_memory, patches, scene_tiles
from plan.recipes import card, order, recipe, scene

from encdec_batch.commit.attempts import Attempts
from encdec_batch.commit.cells import _schema as cells_schema
from encdec_batch.commit.certificate import Result, certify
from encdec_batch.commit.geo import Geo
from encdec_batch.commit.quarantine import QuarantineRecord
from encdec_batch.job.progress import Progress
from encdec_batch.job.runlog import _EVENTS
from encdec_batch.models.card import ImageOutput
from encdec_batch.plan.checks import Checks
from encdec_batch.plan.recipe import Resolved
from encdec_batch.plan.table import _SCHEMA
from encdec_batch.read.header import HEADER_FORMAT, SceneHeader
from encdec_batch.report.scene_row import SCENES
from encdec_batch.report.tables import _QUARANTINE
from encdec_batch.spec.output import OutputFile, VolumeFile
from encdec_batch.store.local import LocalStore
from encdec_batch.store.local_files import locked
from encdec_batch.volume.record import VolumeRecord
from encdec_batch.window import Window
from encdec_batch.write.check import Check, encode_check
from encdec_batch.write.part import read_index, read_table

FORMAT = (Path(__file__).parents[2] / "docs/format.md").read_text()
SHAPE = (700, 1100)
TABLES = {
    "`scenes.parquet`": SCENES,
    "`quarantine.parquet`": _QUARANTINE,
    "`cells.parquet`": cells_schema(MASK, Geo()),
    "`.encdec/plans/<n>-<segment>.parquet`": _SCHEMA,
    "`.encdec/runs/<run id>/events-<n>.parquet`": _EVENTS,
}


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##+ |\Z)", FORMAT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str, head: str) -> list[list[str]]:
    """Cells of the table whose head begins with this word."""
    found = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, head
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def columns(text: str) -> dict[str, str]:
    """Name and type of each documented column."""
    return {name.strip("`"): kind for name, kind, _ in rows(text, "column")}


def words(kind: pa.DataType) -> str:
    """An Arrow type as the page says it."""
    if pa.types.is_struct(kind):
        if pa.types.is_struct(kind[0].type):
            return f"struct by file name of {words(kind[0].type)}"
        names = ", ".join(f"`{field.name}`" for field in kind)
        kinds = {words(field.type) for field in kind}
        return f"struct of {kinds.pop()}: {names}" if len(kinds) == 1 else f"struct: {names}"
    if pa.types.is_map(kind):
        return f"map of {words(kind.key_type)} to {words(kind.item_type)}"
    if pa.types.is_fixed_size_list(kind):
        return f"list of {kind.list_size} {words(kind.value_type)}"
    if pa.types.is_list(kind):
        return f"list of {words(kind.value_type)}"
    return {"double": "float64", "timestamp[ms, tz=UTC]": "timestamp, ms, UTC"}.get(str(kind), str(kind))


def described(schema: pa.Schema) -> dict[str, str]:
    """As the page would say it, in its order; the columns of classes as one."""
    return {re.sub(r"pixels_\d+", "pixels_<id>", field.name): words(field.type) for field in schema}


@pytest.mark.parametrize("title", TABLES)
def test_every_column_is_documented_with_its_type(title):
    assert list(columns(section(title)).items()) == list(described(TABLES[title]).items())


def test_a_quarantine_record_has_the_columns_of_the_table():
    assert set(QuarantineRecord.model_fields) == {"format_version", *_QUARANTINE.names}


def test_every_key_of_a_certificate_is_documented():
    window, shape = Window(0, 0, 8, 8), (700, 900)
    planned = replace(scene("a", *shape), checks=Checks(windows=(window,), tile=(96, 96)))
    mask = np.zeros((1, *shape), np.uint8)
    tiles = scene_tiles(mask, MASK, side=512, levels=0)
    check = Check(window=window, rasters={"mask": mask[:, :8, :8], "margin": np.ones((1, 8, 8), np.float32)})
    documented = [name.strip("`") for name, _ in rows(section("The marker"), "key")]
    assert documented == list(certify(recipe(), planned, tiles, [check]))
    said = dict(rows(section("The marker"), "key"))["`result`"]
    assert re.findall(r"`([a-z ]+)`[:.]", said) == list(get_args(Result))


def test_the_object_of_a_check_is_documented():
    text = section("Checks")
    rasters = {"mask": np.zeros((1, 8, 8), np.uint8), "margin": np.ones((1, 8, 8), np.float32)}
    data = encode_check(Check(window=Window(0, 0, 8, 8), rasters=rasters))
    assert zlib.crc32(data[:-8]) == int.from_bytes(data[-8:-4], "little")
    assert data[-4:] == b"EDC1"
    table = read_table(data[:-8])
    assert list(columns(text)) == table.column_names
    about = json.loads(table.schema.metadata[b"encdec_check"])
    assert {name.strip("`") for name, _ in rows(text, "key")} == set(about)


PLANS, RUNS = "`.encdec/plans/<n>-<segment>.parquet`", "`.encdec/runs/<run id>/events-<n>.parquet`"


def named(text: str, head: str) -> list[str]:
    """What the first cells of a table name, in its order."""
    return [name for first, *_ in rows(text, head) for name in re.findall(r"`(\w+)`", first)]


def test_what_a_plan_says_of_itself_is_documented():
    said = dict(rows(section(PLANS), "key"))
    assert re.match(r"(\d+): ", said["`headers`"])[1] == str(HEADER_FORMAT)
    assert set(re.findall(r"`(\w+)`", said["`resolved`"])) - {"auto"} == {field.name for field in fields(Resolved)}


def test_every_key_of_a_header_is_documented():
    assert named(section(PLANS), "header") == [field.name for field in fields(SceneHeader)]


def test_every_key_of_the_progress_is_documented():
    assert set(named(section(RUNS), "progress")) == set(Progress(run_id="a").to_dict())


def kinds_of(files) -> list[str]:
    return [get_args(file.model_fields["kind"].annotation)[0] for file in get_args(files)]


OF_VOLUMES = kinds_of(VolumeFile)
KINDS = [kind for kind in kinds_of(get_args(OutputFile)[0]) if kind not in OF_VOLUMES]


@pytest.mark.parametrize("kind", OF_VOLUMES)
def test_files_of_volumes_are_none_of_a_scene(kind):
    assert "none of a scene" in dict(rows(section(RUNS), "kind"))[f"`{kind}`"]
    asked = order(output={"uri": "/out", "files": [{"kind": "cog"}, {"kind": kind}]})
    assert asked.wanted == ("mask.tif",)
    assert set(VolumeRecord.model_fields) == {name.strip("`") for name, _ in rows(section("Volumes"), "key")}


@pytest.mark.parametrize("main", ["mask", "image"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_files_of_each_kind_are_documented(kind, main):
    photo = ImageOutput(kind="image", band_names=("r",), dtype="uint8", range=(0.0, 1.0))
    network = card(output=photo, task="image-to-image") if main == "image" else card()
    beside = {"probability": True, "entropy": True} if (kind, main) == ("cog", "mask") else {}
    asked = order(network, output={"uri": "/out", "files": [{"kind": kind}], **beside})
    files = re.findall(
        r"`(\w+)(\.(?:tif|png|parquet|geojson|ome\.tif|ome\.zarr))`", dict(rows(section(RUNS), "kind"))[f"`{kind}`"]
    )
    of_others = {"mask": {"image"}, "image": {"mask", "probability", "entropy"}}[main]
    assert [name + ending for name, ending in files if name not in of_others] == list(asked.wanted)


def test_the_lock_of_the_page_is_the_lock(tmp_path):
    [path] = re.findall(r"`(markers/\.encdec-own-lock-[0-9a-f]{32})`", FORMAT)
    LocalStore(str(tmp_path)).put("markers/a.json", b"{}")
    with locked(tmp_path / "markers/a.json", 1):
        assert (tmp_path / path).exists()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return patches(MASK, *SHAPE)


@pytest.fixture(scope="module")
def parts(pixels) -> list[bytes]:
    return encode_blocks(pixels, MASK, side=512, levels=0, core=256)


def index_of(part: bytes) -> pa.Table:
    offset = int.from_bytes(part[-16:-8], "little")
    return read_table(part[offset:-16])


def test_the_index_of_a_part_is_documented(parts):
    text = section("Parts")
    table = index_of(parts[0])
    assert list(columns(text).items()) == list(described(table.schema).items())
    about = json.loads(table.schema.metadata[b"encdec_part"])
    keys = {name.strip("`"): said for name, said in rows(text, "key")}
    assert set(keys) == set(about)
    assert set(re.findall(r"`(\w+)`", keys["statistics"])) == set(about["statistics"]["mask"])


def test_so_are_the_rows_of_its_cores(parts):
    span = read_index(lambda start, stop: parts[0][start:stop], len(parts[0])).rows
    cores = read_table(parts[0][span.offset : span.stop])
    assert list(columns(section("Rows")).items()) == list(described(cores.schema).items())


def test_so_is_that_of_the_coarse_levels(parts):
    keys = [name.strip("`") for name, _ in rows(section("Parts"), "key")]
    coarse = coarse_of(in_memory(parts), MASK)
    assert coarse is not None
    about = json.loads(index_of(coarse._parts[0]).schema.metadata[b"encdec_part"])
    assert set(about) == set(keys[:-5])


@pytest.fixture(scope="module")
def mask_of() -> Callable[..., tuple[list[int], np.ndarray]]:
    """The code of the page."""
    code = re.search(r"```python\n(.*?)```", section("Parts"), re.DOTALL)
    assert code
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names["mask_of"]


@pytest.mark.parametrize("product", [MASK, MANY], ids=["uint8", "uint16"])
@pytest.mark.parametrize("codec", [DEFLATE, ZSTD], ids=["deflate", "zstd"])
def test_the_code_of_the_page_gets_a_mask_back(product, codec, mask_of):
    wanted = patches(product, *SHAPE, seed=1)
    mask = np.full(SHAPE, 99, product.dtype)
    # Blocks of 2 x 2 tiles, so that also those inside a block have to come to their places.
    for part in encode_blocks(wanted, product, side=1024, levels=0, codec=codec):
        (left, top, width, height), block = mask_of(part, product.dtype)
        mask[top : top + height, left : left + width] = block
    np.testing.assert_array_equal(mask, wanted[0])
    corners = {mask[row : row + 100, col : col + 100].tobytes() for row in (0, 512) for col in (0, 512, 1000)}
    assert len(corners) == 6


def test_the_code_of_the_page_refuses_a_byte_that_changed(parts, mask_of):
    index_at = int.from_bytes(parts[0][-16:-8], "little")
    for place in (0, index_at // 2, index_at - 1, index_at + 99, len(parts[0]) - 1):
        damaged = bytearray(parts[0])
        damaged[place] ^= 1
        with pytest.raises(AssertionError):
            mask_of(bytes(damaged))


def test_the_code_of_the_page_refuses_a_part_that_lacks_a_tile(pixels, mask_of):
    """One whose sums are all right."""
    [part] = encode_blocks(pixels, MASK, side=2048, levels=0)
    table = index_of(part)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.slice(1))
    offset, index = int.from_bytes(part[-16:-8], "little"), bytes(sink.getvalue())
    with pytest.raises(AssertionError):
        mask_of(part[:offset] + index + struct.pack("<QI4s", offset, zlib.crc32(index), b"EDP1"))


def test_the_code_of_the_page_takes_no_other_object_for_a_part(parts, mask_of):
    """Of the files in the folder of a part key that have no name yet, `coarse` and checks are no blocks."""
    coarse = coarse_of(in_memory(parts), MASK)
    assert coarse is not None
    margin = {"mask": np.zeros((1, 8, 8), np.uint8), "margin": np.ones((1, 8, 8), np.float32)}
    for other in (coarse._parts[0], encode_check(Check(window=Window(0, 0, 8, 8), rasters=margin))):
        with pytest.raises(AssertionError):
            mask_of(other)


def test_the_keys_of_attempts_are_documented():
    assert {name.strip("`") for name, _ in rows(section("Attempts"), "key")} == set(Attempts.model_fields)
