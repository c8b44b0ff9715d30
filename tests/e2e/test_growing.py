"""An archive that grows, shrinks and comes back, run after run: what is read again, marked, removed and catalogued."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import geopandas
import pyarrow.parquet as pq
import pytest
from e2e.made import Ended, classes_package, command, markers, run, write_spec, write_tiff
from rasters import coordinate_image
from report.validation import read, refusals
from servers import s3_server_process

from encdec_batch.commit.catalogue_paths import item_path, shard_of
from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.job.run import run as run_job
from encdec_batch.spec.load import load_spec
from encdec_batch.store.object import Capabilities
from encdec_batch.store.open import open_store

pytestmark = pytest.mark.e2e


def archive(folder: Path, count: int) -> Path:
    """A job with a catalogue over so many scenes, each at a place of its own."""
    for n in range(count):
        add(folder, n)
    return write_spec(folder, folder / "in", classes_package(), output={"catalogue": True})


def add(folder: Path, n: int, **profile: Any) -> Path:
    return write_tiff(folder / f"in/s{n:02d}.tif", coordinate_image(1, 70, 60) + n, **profile)


def lose(folder: Path, *numbers: int) -> None:
    for n in numbers:
        (folder / f"in/s{n:02d}.tif").rename(folder / f"s{n:02d}.tif")


def find(folder: Path, *numbers: int) -> None:
    for n in numbers:
        (folder / f"s{n:02d}.tif").rename(folder / f"in/s{n:02d}.tif")


def rows(out: Path) -> dict[str, dict[str, Any]]:
    table = pq.read_table(BytesIO((out / "scenes.parquet").read_bytes())).to_pylist()
    return {row["scene_id"]: row for row in table}


def item(out: Path, scene_id: str) -> dict[str, Any]:
    return json.loads((out / item_path(shard_of(scene_id), scene_id)).read_bytes())


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_line(ended: Ended, *words: str) -> None:
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr


def test_only_what_is_new_or_changed_is_read_again(tmp_path):
    spec = archive(tmp_path, 6)
    assert run(spec).result["scenes_committed"] == 6
    for n in range(5):
        # Of the same etag, and no image any more: whoever read it would set it aside.
        path = tmp_path / f"in/s{n:02d}.tif"
        times = path.stat()
        path.write_bytes(b"\0" * times.st_size)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    add(tmp_path, 6)
    write_tiff(tmp_path / "in/s05.tif", coordinate_image(1, 71, 60))
    ended = run(spec)
    assert (ended.code, ended.result["scenes_committed"], ended.result["scenes_done"]) == (0, 2, 7)
    assert {name: marker.generation for name, marker in markers(tmp_path / "out").items()} == {
        **{f"s{n:02d}": 1 for n in range(7)}, "s05": 2,
    }  # fmt: skip


def test_an_input_that_is_gone_is_marked_and_comes_back(tmp_path):
    spec, out = archive(tmp_path, 4), tmp_path / "out"
    run(spec)
    before, files = bytes_below(out / "markers"), bytes_below(out / "scenes")
    lose(tmp_path, 2)
    began = datetime.now(UTC).replace(microsecond=0)
    assert run(spec).code == 0
    since = rows(out)["s02"]["input_gone"]
    assert began <= since <= datetime.now(UTC)
    assert {name for name, row in rows(out).items() if row["input"] == "gone"} == {"s02"}
    said = item(out, "s02")["properties"]
    assert (said["encdec:input"], said["encdec:input_gone"]) == ("gone", since.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert (bytes_below(out / "markers"), bytes_below(out / "scenes")) == (before, files)

    add(tmp_path, 4)
    run(spec)
    command("report", out, "--rebuild")
    assert rows(out)["s02"]["input_gone"] == since, "the date is when it was first missed"
    assert item(out, "s02")["properties"]["encdec:input_gone"] == said["encdec:input_gone"]

    find(tmp_path, 2)
    assert run(spec).result["scenes_committed"] == 0
    assert rows(out)["s02"]["input"] is rows(out)["s02"]["input_gone"] is None
    assert "encdec:input" not in item(out, "s02")["properties"]


def test_prune_takes_out_what_is_gone_with_its_item(tmp_path):
    spec, out = archive(tmp_path, 11), tmp_path / "out"
    run(spec)
    lose(tmp_path, 3)
    assert run(spec).result["scenes_removed"] == []
    assert markers(out)["s03"].outputs
    ended = run(spec, "--prune")
    assert (ended.code, ended.result["scenes_removed"], ended.result["notes"]) == (0, ["s03"], [])
    assert not markers(out)["s03"].outputs
    assert not (out / item_path(shard_of("s03"), "s03")).exists()
    assert rows(out)["s03"]["input"] is None
    assert [name for name, row in rows(out).items() if row["removed"]] == ["s03"]
    verdict = command("verify", out, "--json").result
    assert (verdict["files"], verdict["bad"], verdict["catalogue"]) == (10, [], "")
    assert verdict["digest"] == ended.result["digest"]
    page = (out / "report/index.html").read_text()
    assert verdict["digest"] in page, "the page is of what is there now"
    assert "s03" not in page
    assert list((out / "scenes/s03").rglob("mask.tif")), "its files stay a day"
    find(tmp_path, 3)
    assert run(spec, "--prune").result["scenes_committed"] == 1
    assert item(out, "s03")["properties"]["encdec:generation"] == 3


def test_a_listing_that_lost_a_tenth_holds_back_the_removal_and_nothing_else(tmp_path):
    spec, out = archive(tmp_path, 10), tmp_path / "out"
    (tmp_path / "in/bad.tif").write_bytes(b"no image")
    run(spec)
    lose(tmp_path, 0, 1)
    before = bytes_below(out / "markers") | bytes_below(out / ".encdec/quarantine")
    one_line(run(spec, "--prune", "--expect", "10"), "9 scenes are there, fewer than the 10", "nothing was done")
    one_line(run(spec, "--expect", "10"), "fewer than the 10 that were expected")
    assert rows(out)["s00"]["input"] is None

    (tmp_path / "in/bad.tif").unlink()
    add(tmp_path, 10)
    ended = run(spec, "--prune")
    assert (ended.code, ended.result["scenes_committed"], ended.result["scenes_removed"]) == (1, 1, [])
    said = ended.result["removal_held_back"]
    assert "2 of 10 committed scenes (20.0 %)" in said
    assert "--prune --expect 9" in said
    assert before.items() <= (bytes_below(out / "markers") | bytes_below(out / ".encdec/quarantine")).items()
    assert rows(out)["s00"]["input"] == "gone"
    again = command("run", spec, "--prune")
    assert (again.code, "\nheld back: 2 of 11 committed" in again.stdout) == (1, True)

    ended = run(spec, "--prune", "--expect", "9")
    assert (ended.code, ended.result["scenes_removed"], ended.result["removal_held_back"]) == (0, ["s00", "s01"], "")
    assert run(spec, "--prune").result["scenes_removed"] == []


def test_a_doubtful_listing_drops_no_record_of_quarantine(tmp_path):
    spec, out = archive(tmp_path, 4), tmp_path / "out"
    (tmp_path / "in/bad.tif").write_bytes(b"no image")
    assert run(spec).code == 3
    lose(tmp_path, 0)
    (tmp_path / "in/bad.tif").unlink()
    assert run(spec).code == 0
    assert (out / ".encdec/quarantine/bad.json").exists()
    find(tmp_path, 0)
    run(spec)
    assert not (out / ".encdec/quarantine/bad.json").exists()


def test_a_run_waits_for_another_and_then_sees_what_came_meanwhile(tmp_path):
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    held = acquire_lease(open_store(str(out)), HolderInfo.current("the-other"))
    one_line(run(spec), "is being written by run the-other", "wait for it or stop it")
    told = []

    def show(progress):
        if progress.message.startswith("waiting") and not told:
            told.append(progress.message)
            add(tmp_path, 2)
            held.release()

    summary = run_job(load_spec(spec, ["output.wait=2m"]), show=show)
    assert "is being written by run the-other (process" in told[0]
    assert summary.scenes_committed == 3


def test_waiting_has_an_end(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    with acquire_lease(open_store(str(out)), HolderInfo.current("the-other")):
        ended = run(spec, "--set", "output.wait=1s")
    one_line(ended, "is being written by run the-other")
    assert "run.waits" in ended.stderr


def test_pystac_and_geopandas_find_the_scenes_also_in_a_copy(tmp_path):
    folder = tmp_path / "made"
    archive(folder, 3)
    add(folder, 3, crs=None, transform=None)
    spec = write_spec(folder, folder / "in", classes_package(), output={"catalogue": True})
    assert run(spec).code == 0
    out = tmp_path / "copy"
    shutil.move(folder / "out", out)
    found = {one.id: one for one in read(out / "collection.json").get_items(recursive=True)}
    scenes = {name: one for name, one in found.items() if name.startswith("s0")}
    assert set(scenes) == {"s00", "s01", "s02", "s03"}
    for one in found.values():
        assert refusals(json.loads(Path(one.get_self_href()).read_bytes())) == []
    for one in scenes.values():
        assert Path(one.assets["mask.tif"].get_absolute_href()).stat().st_size
        [model] = [link.get_absolute_href() for link in one.links if link.rel == "derived_from"]
        assert json.loads(Path(model).read_bytes())["properties"]["mlm:name"] == "classes 0"
    assert scenes["s03"].geometry is None

    table = geopandas.read_parquet(out / "scenes.parquet").set_index("id")
    assert table.crs.to_authority() == ("OGC", "CRS84")
    assert table.loc["s03"].geometry is None
    for name in ("s00", "s01", "s02"):
        assert table.loc[name].geometry.bounds == pytest.approx(scenes[name].bbox, abs=1e-6)
        assert table.loc[name, "assets"]["mask.tif"]["href"] == f"./{markers(out)[name].outputs['mask.tif'].path}"
    # What GDAL says of the corners of the result, in the scene's own CRS.
    assert table[:3].to_crs(32633).total_bounds == pytest.approx([5e5, 4e6 - 70, 5e5 + 60, 4e6], abs=0.05)


def test_verify_says_what_is_wrong_with_a_catalogue_and_report_makes_it_anew(tmp_path):
    spec, out = archive(tmp_path, 3), tmp_path / "out"
    run(spec)
    whole = bytes_below(out / "stac")
    (out / item_path(shard_of("s01"), "s01")).unlink()
    said = command("verify", out)
    assert (said.code, "1 items that are missing" in said.stdout) == (0, True)
    command("report", out, "--rebuild")
    assert command("verify", out, "--json").result["catalogue"] == ""
    assert bytes_below(out / "stac") == whole


def test_an_output_without_a_catalogue_gets_one_by_a_run_that_has_nothing_to_do(tmp_path):
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    run(spec, "--set", "output.catalogue=false")
    assert not (out / "collection.json").exists()
    assert run(spec).result["blocks"] == 0
    assert len(list(read(out / "collection.json").get_items(recursive=True))) == 3
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.json") if ".encdec" not in path.parts}
    run(spec)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_somebody_elses_collection_is_not_written_over(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    out.mkdir()
    (out / "collection.json").write_text('{"type": "Collection", "id": "theirs"}')
    ended = run(spec)
    assert (ended.code, "it is somebody else's, or this output's and damaged" in ended.stderr) == (2, True)
    assert run(spec, "--set", "output.catalogue=false").code == 0
    assert json.loads((out / "collection.json").read_text())["id"] == "theirs"


def test_a_damaged_collection_is_made_anew_once_it_is_deleted_as_the_error_says(tmp_path):
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    run(spec)
    whole = bytes_below(out / "stac")
    for anew in (("run", spec), ("report", out, "--rebuild")):
        (out / "collection.json").write_bytes((out / "collection.json").read_bytes()[:-9])
        assert "collection.json is damaged" in command("verify", out, "--json").result["catalogue"]
        refused = command(*anew)
        assert (refused.code, "delete collection.json and stac/" in refused.stderr) == (2, True)
        (out / "collection.json").unlink()
        shutil.rmtree(out / "stac")
        assert command(*anew).code == 0
        assert bytes_below(out / "stac") == whole
        assert command("verify", out, "--json").result["catalogue"] == ""


def test_a_store_that_cannot_replace_a_marker_prunes_nothing(tmp_path, monkeypatch):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    run(spec)
    monkeypatch.setattr(
        type(open_store(str(out))), "probe", lambda self: Capabilities(create_only=True, if_match=False)
    )
    ended = run(spec, "--prune")
    assert (ended.code, "leave --prune out" in ended.stderr) == (2, True)


def test_the_same_on_an_object_store(tmp_path):
    """Where etags are digests, and what was deleted is gone at once."""
    archive(tmp_path, 11)
    with s3_server_process() as server:
        out, options = f"s3://{server.make_bucket()}/out", server.options
        output = {"uri": out, "storage": options, "catalogue": True}
        spec = write_spec(tmp_path, tmp_path / "in", classes_package(), output=output)
        assert run(spec).code == 0
        lose(tmp_path, 3)
        assert run(spec, "--prune").result["scenes_removed"] == ["s03"]
        store = open_store(out, options)
        items = {info.path for info in store.list("stac/") if info.path.count("/") == 2}
        assert len(items) == 11  # ten scenes and the network
        for path in ("collection.json", *items):
            assert refusals(json.loads(store.get(path))) == []
        assert command("verify", out, "--json", *storage(options)).result["catalogue"] == ""
        assert run(spec).result["blocks"] == 0


def storage(options: dict[str, str]) -> list[str]:
    return [word for key, value in options.items() for word in ("--storage", f"{key}={value}")]
