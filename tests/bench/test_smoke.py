from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.training import _clock

pytestmark = pytest.mark.integration
long = pytest.mark.skipif("ENCDEC_LONG" not in os.environ, reason="takes long: `make long`")


def test_quick_figures_run_and_leave_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["start", "plain", "--quick", "--folder", str(tmp_path)])
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["figure"] for line in lines] == ["start", "plain"]
    for line in lines:
        assert line["title"] in printed
        assert line["machine"]["versions"]["torch"]
        assert line["rows"]
        numbers = [value for row in line["rows"] for value in row.values() if isinstance(value, int | float)]
        assert all(math.isfinite(number) for number in numbers)


def test_reads_count_every_byte_of_a_scene_once(tmp_path: Path) -> None:
    main(["reads", "--quick", "--folder", str(tmp_path)])
    line = json.loads((tmp_path / "results.jsonl").read_text())
    # A scene of this size is fetched by one get: anything else is a fault of the counting or of the reader.
    assert {row["bytes_ratio"] for row in line["rows"]} == {1.0}
    assert all(row["read_requests"] >= 1 and row["write_requests"] >= 1 for row in line["rows"])


@long
def test_many_counts_requests_and_takes_up_what_was_killed(tmp_path: Path) -> None:
    main(["many", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    found = {row["what"]: row for row in rows if "what" in row}
    assert found["run again, nothing new"]["objects"] == 40
    # 2500 objects by pages of 1000, and one look at the store's clock.
    assert (found["listing on S3"]["objects"], found["listing on S3"]["requests"]) == (2500, 4)
    assert all(row["a_scene"] >= 0 for row in rows if "request" in row)
    killed = [row["done"] for row in rows if "first_part_s" in row]
    # Of four scenes of nine blocks: none, half of the first, two and a half, three and a half, and those in between.
    assert killed[0] == 0
    assert killed == sorted(killed)
    assert killed[-1] >= 3 * 9 + 4


@long
def test_an_archive_that_grew_is_planned_without_reading_again(tmp_path: Path) -> None:
    main(["grown", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    assert [(row["scenes"], row["blocks"], row["read"]) for row in rows] == [(8, 800, 8), (8, 800, 0), (9, 900, 1)]


@long
def test_a_catalogue_is_written_once(tmp_path: Path) -> None:
    main(["catalogue", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    assert [row["items"] for row in rows] == [0, 0, 40, 40, 40]


def test_a_giant_is_read_from_where_it_is_made_up(tmp_path: Path) -> None:
    main(["giant", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    [whole] = [row for row in rows if "GETs" in row]
    assert whole["GETs"] > 0
    # All of it once, its header by `plan` and by the run before, and listings.
    assert whole["sent_GB"] * 1e9 <= whole["object_GB"] * 1e9 + 3 * 65536
    assert [row["overviews"] for row in rows if row.get("file") == "mask.tif"] == [2]


@long
def test_a_training_is_timed_after_its_first_epoch(tmp_path: Path) -> None:
    main(["training", "--quick", "--folder", str(tmp_path)])
    [row] = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    assert row["of_bare"] == pytest.approx(row["images_per_s"] / row["bare_images_per_s"])
    assert 0 <= row["waited"] <= 1
    # Ten steps of the second epoch on, beside ten of the first.
    assert sorted(_clock(tmp_path / "training/made/training")) == [10, 20]


@long
def test_every_format_has_a_row(tmp_path: Path) -> None:
    main(["formats", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    assert {row["library"] for row in rows} == {
        "rasterio", "Pillow", "pydicom", "nibabel", "zarr", "tifffile", "openslide",
    }  # fmt: skip
    # A scene of this size is fetched by one get.
    assert {row["bytes_ratio"] for row in rows if row["file"] in ("PNG", "JPEG", "WebP")} == {1.0}


def test_an_unknown_figure_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["speed", "--folder", str(tmp_path)])
    assert not (tmp_path / "results.jsonl").exists()


def test_the_page_of_networks_is_made_of_the_rows(tmp_path: Path) -> None:
    main(["networks", "--quick", "--folder", str(tmp_path)])
    rows = json.loads((tmp_path / "results.jsonl").read_text())["rows"]
    page = (tmp_path / "networks.md").read_text()
    [espcn] = [row for row in rows if "reach" in row]
    assert (espcn["network"], espcn["reach"], espcn["stride"], espcn["class"]) == ("espcn", 4, 1, "exact")
    # A core of 64 px with 4 px on each side.
    assert (espcn["tile"], espcn["tax_64"]) == (72, 1.27)
    assert f"| `espcn` | `{espcn['arguments']}` | {espcn['parameters']:,} | 4 | 1 | exact | 1.27 | 72 |" in page
    kept = {(row["network"], row["precision"]): row["crossing_mib"] for row in rows if "crossing_mib" in row}
    # 64 x 96 px: 16 channels at half the side, 32 at a quarter, ...: a SegNet keeps a byte for each.
    places = sum(16 * min(2**level, 8) * 64 * 96 / 4 ** (level + 1) for level in range(5))
    assert kept["segnet", "float32"] == kept["segnet", "bfloat16"] == round(places / 2**20, 2)
    # Of a U-Net four values of two or four bytes for each, and one level less.
    skips = sum(16 * 2**level * 64 * 96 / 4**level for level in range(4))
    assert kept["unet", "float32"] == round(4 * skips / 2**20, 2)
    assert kept["unet", "bfloat16"] == round(2 * skips / 2**20, 2)
