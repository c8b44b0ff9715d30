from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from train.made import made, mask_of, picture, spec_of, write_pairs, write_png, write_tif

from encdec_batch.errors import SpecError
from encdec_batch.train.dataset.prepare import Prepared


@pytest.fixture
def folder(tmp_path) -> Path:
    write_pairs(tmp_path / "train", 4)
    write_pairs(tmp_path / "val", 2, first=10)
    return tmp_path


def prepared(folder: Path, **changes: Any) -> Prepared:
    val = spec_of(folder / "val").train
    return made(spec_of(folder / "train", split={"kind": "pairs", "pairs": val}, **changes))


def test_no_leak(folder):
    assert prepared(folder).leak_note == ""


def test_names_that_are_alike_below_two_prefixes_are_no_leak(folder):
    for kind in ("images", "masks"):
        (folder / "val" / kind / "10.png").rename(folder / "val" / kind / "00.png")
    assert prepared(folder).leak_note == ""


def copied(folder: Path) -> None:
    for kind in ("images", "masks"):
        shutil.copy(folder / "train" / kind / "02.png", folder / "val" / kind / "20.png")


def recompressed(folder: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(2)).save(buffer, "jpeg", quality=85)
    (folder / "val/images/20.jpg").write_bytes(buffer.getvalue())
    write_png(folder / "val/masks/20.png", mask_of(picture(2)))


@pytest.mark.parametrize(
    ("leak", "words"),
    [(copied, r"val/images/20\.png \(val\) have the same pixels"), (recompressed, r"20\.jpg \(val\) .*same picture")],
)
def test_the_same_picture_on_both_sides_stops_training_and_names_both_files(folder, leak, words):
    leak(folder)
    with pytest.raises(SpecError, match=r"train/images/02\.png \(train\) and .*" + words) as caught:
        prepared(folder)
    assert "data.allow_leak" in caught.value.hint


def test_a_leak_that_is_allowed_goes_into_the_card(folder):
    copied(folder)
    note = prepared(folder, allow_leak="both are of one calibration target").leak_note
    assert "allowed because: both are of one calibration target" in note
    assert "02.png" in note
    assert "20.png" in note


@pytest.mark.parametrize(("east", "shared"), [(0.0, "the same footprint"), (0.4, "the same footprint"), (20, "ground")])
def test_the_same_ground_on_another_day(tmp_path, east, shared):
    for side, seed, shift in (("train", 1, 0.0), ("val", 2, east)):
        image = picture(seed)
        write_tif(tmp_path / side / "images/a.tif", image.transpose(2, 0, 1), origin=(5e5 + shift, 4e6))
        write_tif(tmp_path / side / "masks/a.tif", mask_of(image)[None], origin=(5e5 + shift, 4e6))
    with pytest.raises(SpecError, match=f"have {shared}"):
        prepared(tmp_path)


def region(col: int, width: int) -> dict[str, int]:
    return {"col_off": col, "row_off": 0, "width": width, "height": 60}


@pytest.mark.parametrize("georeferenced", [True, False])
def test_parts_of_one_scene_may_be_on_both_sides_where_they_do_not_meet(tmp_path, georeferenced):
    image, origin = picture(1, 60, 200), (5e5, 4e6) if georeferenced else None
    write_tif(tmp_path / "images/a.tif", image.transpose(2, 0, 1), origin=origin)
    write_tif(tmp_path / "masks/a.tif", mask_of(image)[None], origin=origin)
    source = spec_of(tmp_path).train.model_dump()

    def apart(first: int) -> Prepared:
        val = {"kind": "pairs", "pairs": source | {"region": region(first, 60)}}
        return made(spec_of(tmp_path, train=source | {"region": region(0, 100)}, split=val))

    assert apart(140).leak_note == ""
    with pytest.raises(SpecError, match=r"\[100 x 60 at column 0, row 0\] \(train\) and .*have the same scene"):
        apart(90)


def test_a_scene_of_the_table_on_both_sides(folder):
    lines = ["image,target,visit,split"]
    for side, number, visit in (("train", 0, "a"), ("train", 1, "b"), ("val", 10, "a"), ("val", 11, "c")):
        lines.append(f"{side}/images/{number:02}.png,{side}/masks/{number:02}.png,{visit},{side}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    table = {"kind": "table", "uri": str(folder / "t.csv")}
    assert made(spec_of(folder, train=table, split={"kind": "column"})).leak_note == ""
    for column, what in (("scene", "scene"), ("group", "group")):
        with pytest.raises(SpecError, match=rf"00\.png \(train\) and .*10\.png \(val\) have the same {what}"):
            made(spec_of(folder, train=table | {column: "visit"}, split={"kind": "column"}))
