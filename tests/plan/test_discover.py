"""The scenes that a source names."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plan.recipes import order

from encdec_batch.errors import SpecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.listing import passed_over_note
from encdec_batch.plan.open import look_up
from encdec_batch.plan.scene import Candidate
from encdec_batch.spec.source import GlobSource, ListSource, PrefixSource, TableSource

TREE = (
    "a.tif", "b.TIFF", "c.png", "d.jpg", "e.jpeg", "h.webp", "notes.txt", "a.tif.aux.xml", "sub/f.tif", "sub/deep/g.tif"
)  # fmt: skip


@pytest.fixture
def archive(tmp_path) -> Path:
    for name in TREE:
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (1 + len(name)))
    return tmp_path / "archive"


def found(source) -> dict[str, Candidate]:
    kept, aside, _ = find_scenes(source)
    assert aside == []
    return {scene.scene_id: scene for scene in kept}


def names(source) -> set[str]:
    return {scene.uri.rsplit("/archive/")[1] for scene in found(source).values()}


def test_a_prefix_gives_every_image_below_it_with_size_and_etag(archive):
    scenes = found(PrefixSource(kind="prefix", uri=str(archive)))
    assert {scene.uri for scene in scenes.values()} == {
        f"file://{archive}/{name}" for name in TREE if name not in ("notes.txt", "a.tif.aux.xml")
    }
    assert scenes["a"].size_bytes == 6
    assert all(scene.etag for scene in scenes.values())
    assert {"a", "b", "c", "d", "e", "h"} < set(scenes)
    assert any(scene_id.startswith("sub_f-") for scene_id in scenes)


def test_what_looks_like_an_image_and_was_not_asked_for_is_counted(archive):
    for name in ("x.jp2", "sub/y.JP2", "z.dcm"):
        (archive / name).write_bytes(b"pixels")
    passed_over = find_scenes(PrefixSource(kind="prefix", uri=str(archive), suffixes=(".tif",))).passed_over
    assert passed_over == {".jp2": 2, ".dcm": 1, ".tiff": 1, ".png": 1, ".jpg": 1, ".jpeg": 1, ".webp": 1}
    assert passed_over_note({".tiff": 2, ".png": 1, ".jp2": 3}, "source.suffixes") == (
        "objects that look like images were not asked for and passed over: 3 .jp2, 1 .png, 2 .tiff; "
        "source.suffixes can ask for them"
    )
    assert find_scenes(ListSource(kind="list", uris=(f"{archive}/a.tif",))).passed_over == {}


def test_a_file_is_no_prefix(archive):
    with pytest.raises(SpecError, match=r"a.tif is a file, no folder; for one scene write source: {kind: list"):
        find_scenes(PrefixSource(kind="prefix", uri=f"file://{archive}/a.tif"))


def test_suffixes_are_the_users(archive):
    assert names(PrefixSource(kind="prefix", uri=str(archive), suffixes=(".TXT",))) == {"notes.txt"}


def test_a_prefix_that_is_not_there_is_empty(tmp_path):
    assert found(PrefixSource(kind="prefix", uri=str(tmp_path / "nothing"))) == {}


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.tif", {"a.tif"}),
        ("**/*.tif", {"a.tif", "sub/f.tif", "sub/deep/g.tif"}),
        ("sub/**", {"sub/f.tif", "sub/deep/g.tif"}),
        ("sub/*", {"sub/f.tif"}),
        ("?.png", {"c.png"}),
        ("*/deep/*.tif", {"sub/deep/g.tif"}),
        ("[a].tif", set()),
        ("a.ti", set()),
    ],
)
def test_a_glob(archive, pattern, wanted):
    assert names(GlobSource(kind="glob", uri=str(archive), pattern=pattern)) == wanted


def test_a_list_is_not_looked_at(archive):
    scenes = found(ListSource(kind="list", uris=(f"{archive}/a.tif", "s3://nowhere/x/y.tif")))
    assert scenes["a"].uri == f"{archive}/a.tif"
    assert scenes["y"].uri == "s3://nowhere/x/y.tif"
    assert scenes["a"].etag == ""


def test_a_list_of_equal_names_is_set_aside(tmp_path):
    kept, aside, _ = find_scenes(ListSource(kind="list", uris=("s3://a/x.tif", "s3://b/x.tif", "s3://b/y.tif")))
    assert [scene.scene_id for scene in kept] == ["y"]
    assert {row.uri for row in aside} == {"s3://a/x.tif", "s3://b/x.tif"}
    assert len({row.scene_id for row in aside}) == 2


def test_a_csv_table(tmp_path):
    table = tmp_path / "scenes.csv"
    table.write_text("uri,scene_id,bands\ns3://a/x.tif,one,1;2;3\ns3://a/y.tif,,\ns3://a/z.tif,../up,4\n")
    scenes = found(TableSource(kind="table", uri=str(table), schemes=("s3",)))
    assert scenes["one"].bands == (1, 2, 3)
    assert scenes["y"].bands is None
    assert any(name.startswith("_.._up-") and scene.bands == (4,) for name, scene in scenes.items())


ROWS = ("a.tif", "sub/b.tif", "../c.tif", "/abs/d.tif", "s3://other/e.tif")


def rows_of(table: str, monkeypatch) -> list[str]:
    """What the rows of a table at this uri mean."""
    content = pa.table({"uri": list(ROWS)})
    monkeypatch.setattr("encdec_batch.plan.discover.read_table", lambda source: content)
    schemes = ("s3",) if table.startswith("s3") else ("file", "s3")
    kept, *_ = find_scenes(TableSource(kind="table", uri=table, schemes=schemes))
    return [scene.uri for scene in kept]


@pytest.mark.parametrize(
    ("table", "folder", "above"),
    [
        ("/x/y/scenes.csv", "/x/y", "/x"),
        ("file:///x/y/scenes.csv", "file:///x/y", "file:///x"),
        ("s3://bucket/x/scenes.parquet", "s3://bucket/x", "s3://bucket"),
    ],
)
def test_relative_rows_of_a_table_lie_beside_it(table, folder, above, monkeypatch):
    assert rows_of(table, monkeypatch) == [
        f"{folder}/a.tif",
        f"{folder}/sub/b.tif",
        f"{above}/c.tif",
        *(["/abs/d.tif"] if not table.startswith("s3") else []),
        "s3://other/e.tif",
    ]


def test_a_table_that_is_named_without_a_folder_lies_in_the_current_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert rows_of("scenes.csv", monkeypatch)[0] == f"{tmp_path}/a.tif"


def test_relative_rows_are_found_from_any_folder(archive, tmp_path, monkeypatch):
    (archive / "scenes.csv").write_text("uri\na.tif\nsub/f.tif\n")
    monkeypatch.chdir(tmp_path)
    asked = order(source={"kind": "table", "uri": str(archive / "scenes.csv")})
    kept, *_ = find_scenes(asked.spec.source)
    assert [look_up(asked.spec, scene.images[0]).size for scene in kept] == [6, 10]


@pytest.mark.parametrize(("bands", "wanted"), [([[2, 1], None], (2, 1)), (["2;1", None], (2, 1)), ([7, None], (7,))])
def test_a_parquet_table_with_bands_as_list_text_or_number(tmp_path, bands, wanted):
    table = tmp_path / "scenes.parquet"
    pq.write_table(pa.table({"uri": ["s3://a/x.tif", "s3://a/y.tif"], "bands": bands}), table)
    scenes = found(TableSource(kind="table", uri=str(table), schemes=("s3",)))
    assert (scenes["x"].bands, scenes["y"].bands) == (wanted, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"url,id\ns3://a/x.tif,x\n", "no column uri"),
        (b"", "neither Parquet nor CSV"),
        (b"uri,bands\ns3://a/x.tif,0\n", "bands"),
        (b"uri,bands\ns3://a/x.tif,red\n", "bands"),
        (b"uri,bands\ns3://a/x.tif,1;;2\n", "bands"),
        (b"uri\ns3://a/\xff\xfe.tif\n", "uri"),
        (b"uri,scene_id\n,x\n", "uri"),
    ],
    ids=["no_uri", "empty", "band_0", "band_name", "band_gap", "not_utf8", "row_without_uri"],
)
def test_a_wrong_table_is_the_users_to_correct(tmp_path, content, words):
    table = tmp_path / "scenes.csv"
    table.write_bytes(content)
    with pytest.raises(SpecError, match=words) as caught:
        find_scenes(TableSource(kind="table", uri=str(table)))
    assert "scenes.csv" in str(caught.value)


def test_a_table_that_is_missing_or_no_parquet(tmp_path):
    with pytest.raises(SpecError, match="cannot read the table"):
        find_scenes(TableSource(kind="table", uri=str(tmp_path / "none.csv")))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1, it says")
    with pytest.raises(SpecError, match="neither Parquet nor CSV"):
        find_scenes(TableSource(kind="table", uri=str(tmp_path / "bad.parquet")))
