from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from encdec_batch.errors import SpecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.spec.source import PrefixSource
from encdec_batch.spec.train_pairs import Pairs
from encdec_batch.train.pairs.find import find_pairs
from encdec_batch.train.pairs.pair import Aside, Pair
from encdec_batch.window import Window


def found(made: bool = False, side: str | None = None, **source: Any) -> tuple[list[Pair], list[Aside]]:
    spec: Any = TypeAdapter(Pairs).validate_python(source)
    return find_pairs(spec, made=made, side=side)


def names(pairs: list[Pair]) -> list[tuple[str, str | None]]:
    return [(Path(p.image.uri).name, Path(p.target.uri).name if p.target else None) for p in pairs]


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("images/b.png", "images/sub/a.tif", "images/c.txt", "masks/b.tif", "masks/sub/a.png", "masks/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_folders_are_matched_by_name_whatever_the_ending(folder):
    pairs, aside = found(kind="folders", images=str(folder / "images"), targets=str(folder / "masks"))
    assert names(pairs) == [("b.png", "b.tif"), ("a.tif", "a.png")]
    assert [pair.scene for pair in pairs] == ["b", "sub/a"]
    assert aside == []


def test_an_image_without_target_and_one_of_two_are_set_aside(folder):
    for name in ("images/e.png", "masks/b.png"):
        (folder / name).write_bytes(b"x")
    pairs, aside = found(kind="folders", images=str(folder / "images"), targets=str(folder / "masks"))
    assert names(pairs) == [("a.tif", "a.png")]
    assert [(Path(one.uri).name, one.reason.partition(":")[0]) for one in aside] == [
        ("b.png", "several targets have its name"),
        ("e.png", "it has no target"),
    ]
    assert f"{folder}/masks/e.*" in aside[1].reason


def test_one_folder_of_both_is_told_apart_by_the_ending(tmp_path):
    for name in ("a.png", "a_mask.png", "b.png", "b_mask.tif"):
        (tmp_path / name).write_bytes(b"x")
    source = {"kind": "folders", "images": str(tmp_path), "targets": str(tmp_path)}
    pairs, _ = found(**source, target_ending="_mask")
    assert names(pairs) == [("a.png", "a_mask.png"), ("b.png", "b_mask.tif")]
    with pytest.raises(SpecError, match="target_ending"):
        found(**source)


def test_images_alone(folder):
    pairs, _ = found(kind="images", uri=str(folder / "images"), bands=[2, 1], region=dict.fromkeys(REGION, 5))
    assert names(pairs) == [("b.png", None), ("a.tif", None)]
    assert pairs[0].bands == (2, 1)
    assert pairs[0].region == Window(5, 5, 5, 5)


REGION = ("col_off", "row_off", "width", "height")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table(tmp_path, ending):
    rows = {
        "photo": ["x/1.png", "s3://bucket/2.png"],
        "truth": ["y/1.png", "s3://bucket/3.png"],
        "place": ["north", "south"],
        "part": ["train", "val"],
        "bands": ["1;1", "2"],
        **{name: [4, 6] for name in REGION},
    }
    path = tmp_path / f"t.{ending}"
    table = pa.table(rows)
    pa.csv.write_csv(table, path) if ending == "csv" else pq.write_table(table, path)
    pairs, aside = found(
        side="part",
        kind="table",
        uri=str(path),
        image="photo",
        target="truth",
        group="place",
        schemes=["file", "s3"],
        prefixes=[str(tmp_path), "s3://bucket"],
    )
    assert aside == []
    assert [pair.image.uri for pair in pairs] == [f"{tmp_path}/x/1.png", "s3://bucket/2.png"]
    assert [(pair.side, pair.group, pair.bands) for pair in pairs] == [
        ("train", "north", (1, 1)),
        ("val", "south", (2,)),
    ]
    assert [pair.region for pair in pairs] == [Window(4, 4, 4, 4), Window(6, 6, 6, 6)]


def test_a_list_of_lines(tmp_path):
    (tmp_path / "train.txt").write_text("a/1.png b/1.png\n\na/2.png b/2.png\n")
    pairs, _ = found(kind="table", uri=str(tmp_path / "train.txt"))
    assert names(pairs) == [("1.png", "1.png"), ("2.png", "2.png")]
    (tmp_path / "train.txt").write_text("a/1.png\na/2.png\n")
    pairs, _ = found(made=True, kind="table", uri=str(tmp_path / "train.txt"))
    assert names(pairs) == [("1.png", None), ("2.png", None)]


def test_rows_that_lead_where_the_table_may_not_are_set_aside_with_their_number(tmp_path):
    (tmp_path / "t.csv").write_text("image,target\n1.png,m.png\ns3://other/2.png,m.png\n3.png,\n4.png,../../m.png\n")
    pairs, aside = found(kind="table", uri=str(tmp_path / "t.csv"), prefixes=[str(tmp_path)])
    assert names(pairs) == [("1.png", "m.png")]
    assert aside[0].uri == "s3://other/2.png"
    assert [f"row {number} of" in str(one) for number, one in zip((2, 3, 4), aside, strict=True)] == [True] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("picture,target\na,b\n", "has no column image"),
        ("image,target,col_off\na,b,3\n", "col_off, row_off, width, height"),
        ("image,target,col_off,row_off,width,height\na,b,0,0,0,5\n", "col_off, row_off, width, height"),
        ("image,target\n", "holds no images"),
    ],
    ids=["column", "half_a_region", "empty_region", "empty"],
)
def test_a_table_that_cannot_be(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SpecError, match=words):
        found(kind="table", uri=str(tmp_path / "t.csv"))


def test_lines_of_three_words_and_lists_that_are_not_there(tmp_path):
    (tmp_path / "t.txt").write_text("a b c\n")
    with pytest.raises(SpecError, match="more than two words"):
        found(kind="table", uri=str(tmp_path / "t.txt"))
    with pytest.raises(SpecError, match="cannot read the list"):
        found(kind="table", uri=str(tmp_path / "none.txt"))
    (tmp_path / "t.txt").write_text("a\n")
    with pytest.raises(SpecError, match="no column target"):
        found(kind="table", uri=str(tmp_path / "t.txt"))


def test_an_empty_prefix(tmp_path):
    with pytest.raises(SpecError, match="holds no images"):
        found(kind="images", uri=str(tmp_path))


def test_a_folder_is_searched_for_what_a_job_would_take_and_what_is_passed_over_is_told(tmp_path, caplog):
    for name in ("a.webp", "b.tiff", "c.gif", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    pairs, _ = found(kind="images", uri=str(tmp_path))
    job = find_scenes(PrefixSource(kind="prefix", uri=str(tmp_path)))
    assert {pair.image.uri for pair in pairs} == {one.uri for one in job.candidates}
    assert [Path(pair.image.uri).name for pair in pairs] == ["a.webp", "b.tiff"]
    [record] = caplog.records
    assert (record.message, "passed over: 1 .gif" in record.note) == ("train.passed_over", True)
    with pytest.raises(SpecError, match=r"1 .gif, 1 .tiff, 1 .webp; data.train.suffixes can ask for them"):
        found(kind="images", uri=str(tmp_path), suffixes=[".png"])


def test_a_target_of_another_ending_is_hinted_at(folder):
    (folder / "images/e.png").write_bytes(b"x")
    (folder / "masks/e.tiff").write_bytes(b"x")
    source = {"kind": "folders", "images": str(folder / "images"), "targets": str(folder / "masks")}
    assert "b.png" in names(found(**source)[0])[0]
    _, [aside] = found(**source, suffixes=[".png", ".tif"])
    assert (Path(aside.uri).name, "name the ending of targets in suffixes" in aside.hint) == ("e.png", True)


LINK = "https://store.example/scenes/a.tif"


def table_of(folder: Path, *rows: str) -> dict[str, Any]:
    (folder / "t.csv").write_text("\n".join(["image,target,col_off,row_off,width,height", *rows]) + "\n")
    return {"kind": "table", "uri": str(folder / "t.csv"), "schemes": ["https", "file"]}


def test_a_signed_link_is_opened_whole_and_named_without_its_query(tmp_path):
    """Signed anew it is of the same scene: else it would be on another side of a split tomorrow."""
    for signature in ("one", "two"):
        [pair], _ = found(**table_of(tmp_path, f"{LINK}?X-Amz-Signature={signature},m.png?sig=x,0,0,5,5"))
        assert (pair.image.uri, pair.image.opened) == (LINK, f"{LINK}?X-Amz-Signature={signature}")
        assert pair.scene == "https:/store.example/scenes/a"
        assert pair.target.uri.endswith("m.png?sig=x"), "that is a name on a disk"


def test_links_that_differ_in_what_may_be_a_signature_alone_are_set_aside(tmp_path):
    rows = [f"{LINK}?tile={tile},m.png,,,," for tile in (1, 2)]
    rows += [f"{LINK.replace('a.tif', 'b.tif')}?sig=1,m.png,{col},0,5,5" for col in (0, 5)]
    pairs, aside = found(**table_of(tmp_path, *rows))
    assert [pair.image.uri.rpartition("/")[2] for pair in pairs] == ["b.tif", "b.tif"], "one link of two regions"
    assert [one.uri for one in aside] == [LINK, LINK]
    assert all("2 links are this one" in one.reason for one in aside)
    assert "tile=" not in " ".join(map(str, aside))
