"""The commands of an operator on whole jobs: after kills, after an archive changed, on an output that holds more than
it should.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from e2e.made import classes_package, command, image_of, markers, paragraphs, run, write_spec, write_tiff
from jobs_made import driver, make_archive, make_job, make_package, wait_until
from rasters import coordinate_image
from report.parsed import Page

import encdec_batch as eb
from encdec_batch.commit.marker import marker_path
from encdec_batch.job.maintain import rebuild_report
from encdec_batch.job.progress import Progress
from encdec_batch.job.repair import repair_output
from encdec_batch.job.run import run as run_job
from encdec_batch.store.open import open_store

pytestmark = pytest.mark.integration


def archive(folder: Path, number: int, **changes: Any) -> Path:
    """A spec over so many small scenes, `s00` and on."""
    for n in range(number):
        write_tiff(folder / f"in/s{n:02d}.tif", coordinate_image(1, 60 + n, 50))
    return write_spec(folder, folder / "in", classes_package(), **changes)


def objects(out: Path) -> dict[str, bytes]:
    found = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".encdec-own"))
    return {str(path.relative_to(out)): path.read_bytes() for path in found if "lease" not in path.parts}


def page_of(out: Path) -> Page:
    return Page((out / "report/index.html").read_text())


def state_of(out: Path) -> str:
    """Of the run, as the page says it."""
    [chip] = (value for _, name, value in page_of(out).attributes if name == "class" and value.startswith("chip "))
    return chip.removeprefix("chip ")


def one_line(ended: Any, *words: str) -> None:
    """An error as a user should see it: one line, with these words in it."""
    assert ended.code == 1, ended
    assert len(paragraphs(ended.stderr)) == 1, ended.stderr
    assert ended.stderr.startswith("error: ")
    for word in words:
        assert word in ended.stderr


# Scenes that go, and come back


def test_a_removed_scene_comes_back_with_the_same_bytes(tmp_path):
    spec, out = archive(tmp_path, 11), tmp_path / "out"
    digest = run(spec).result["digest"]
    (tmp_path / "in/s03.tif").rename(tmp_path / "s03.tif")
    ended = run(spec)
    assert (ended.code, ended.result["scenes_done"]) == (0, 10)
    [note] = ended.result["notes"]
    assert note.startswith("1 of 11 committed scenes (9.1 %) are no longer in the source (the first is s03)")
    assert f"note: {note}" in command("run", spec).stdout
    assert image_of(out, "s03", "mask.tif").any(), "a run deletes nothing"

    assert "removed  s03" in command("prune", out, "--removed", "10").stdout
    assert command("status", out, "--json").result["scenes_with_outputs"] == 10
    verdict = command("verify", out, "--json").result
    assert (verdict["files"], verdict["bad"]) == (10, [])
    assert verdict["digest"] != digest
    ended = run(spec)
    assert (ended.result["notes"], ended.result["digest"]) == ([], verdict["digest"])
    assert (
        command("prune", out, "--removed", "10", "--keep-hours", "0", "--json")
        .result["folders"][0]["path"]
        .startswith("scenes/s03/1-")
    )

    (tmp_path / "s03.tif").rename(tmp_path / "in/s03.tif")
    ended = run(spec)
    assert (ended.result["scenes_committed"], ended.result["digest"]) == (1, digest)
    assert markers(out)["s03"].generation == 3


def test_images_that_were_not_asked_for_are_told(tmp_path):
    spec = archive(tmp_path, 1)
    (tmp_path / "in/other.jp2").write_bytes(b"pixels")
    said = "objects that look like images were not asked for and passed over: 1 .jp2; source.suffixes can ask for them"
    assert f"note: {said}" in command("plan", spec).stdout
    assert run(spec).result["notes"] == [said]
    assert command("plan", spec).stdout.splitlines() == ["nothing to do: 1 scene done, 0 set aside", f"note: {said}"]
    (tmp_path / "in/s00.tif").unlink()
    ended = command("run", spec)
    assert (ended.code, said in ended.stderr) == (2, True)


# Files that were damaged after they were committed


def damage(out: Path, scene_id: str) -> str:
    [file] = markers(out)[scene_id].outputs.values()
    with (out / file.path).open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read()
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))
    return file.path


def test_scenes_whose_files_were_damaged_are_made_again(tmp_path):
    spec, out = archive(tmp_path, 4), tmp_path / "out"
    digest = run(spec).result["digest"]
    changed, gone = damage(out, "s01"), damage(out, "s02")
    (out / gone).unlink()
    ended = command("verify", out, "--repair", "--json")
    assert (ended.code, ended.result["bad"]) == (0, [changed, gone])
    assert ended.result["repaired"] == {"taken_out": ["s01", "s02"], "volumes": [], "left": {}}
    assert command("status", out, "--json").result["scenes_with_outputs"] == 2
    again = run(spec).result
    assert (again["scenes_committed"], again["digest"]) == (2, digest)
    assert command("verify", out).code == 0
    assert {markers(out)[name].generation for name in ("s01", "s02")} == {3}
    assert command("verify", out, "--repair", "--json").result["repaired"]["taken_out"] == []


def test_a_damaged_scene_that_cannot_be_made_again_is_left_as_it_is(tmp_path):
    """Whatever is well of it would be lost."""
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    run(spec)
    damage(out, "s01")
    (tmp_path / "in/s01.tif").unlink()
    before = markers(out)
    ended = command("verify", out, "--repair")
    assert ended.code == 1
    assert "left as it is  s01: its input cannot be read any more" in ended.stdout
    assert markers(out) == before


def test_what_a_run_has_mended_meanwhile_is_not_taken_out(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    run(spec)
    [file] = markers(out)["s00"].outputs.values()
    assert repair_output(str(out), [file.path]).taken_out == ()


def test_a_listing_that_lost_half_of_the_scenes(tmp_path):
    """A run says so and deletes nothing; prune stops before anything is deleted."""
    spec, out = archive(tmp_path, 12), tmp_path / "out"
    digest = run(spec).result["digest"]
    for n in range(6):
        (tmp_path / f"in/s{n:02d}.tif").unlink()
    ended = run(spec)
    assert ended.code == 0
    assert ended.result["digest"] == digest
    assert "6 of 12 committed scenes (50.0 %)" in ended.result["notes"][0]
    assert "check that it lists all it holds" in ended.result["notes"][0]
    before = objects(out)
    one_line(command("prune", out, "--removed", "10"), "6 of 12", "nothing was removed or deleted", "--removed 50")
    assert objects(out) == before
    assert command("prune", out, "--removed", "50", "--json").result["removed"] == [f"s{n:02d}" for n in range(6)]
    assert command("verify", out, "--json").result["files"] == 6


def test_a_scene_whose_name_changed_in_case_alone_is_another_scene(tmp_path):
    """On a disk that does not tell them apart both would have one marker."""
    write_tiff(tmp_path / "in/Scene.tif", coordinate_image(1, 70, 60))
    spec, out = write_spec(tmp_path, tmp_path / "in", classes_package()), tmp_path / "out"
    assert run(spec).code == 0
    (tmp_path / "in/Scene.tif").rename(tmp_path / "in/scene.tif")
    ended = run(spec)
    assert (ended.code, ended.result["scenes_committed"]) == (0, 1)
    ids = sorted(markers(out))
    assert len({scene_id.casefold() for scene_id in ids}) == len(ids) == 2
    assert run(spec).result["scenes_committed"] == 0
    assert command("prune", out, "--removed", "50", "--json").result["removed"] == ["Scene"]
    assert run(spec).result["scenes_committed"] == 0


def test_a_marker_under_the_name_of_another_case_is_told(tmp_path):
    """As an older output has it that was copied to a disk which does not tell names apart by case."""
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    run(spec)
    (out / marker_path("s00")).rename(out / marker_path("S00"))
    one_line(command("run", spec), "markers/S00.json is the marker of scene s00", "another id in a table")


# Versions


def newer(out: Path, *, table: bool) -> None:
    """A marker as a later version may write it; `table`: it has written the tables too."""
    path = out / marker_path("s01")
    data = json.loads(path.read_bytes()) | {"format_version": 2, "thumbnails": ["x"]}
    path.write_bytes(json.dumps(data).encode())
    if table:
        rows = pq.read_table(out / "scenes.parquet").to_pylist()
        etag = open_store(str(out)).info(marker_path("s01")).etag
        changed = [
            {**row, "marker": path.read_text(), "marker_etag": etag} if row["scene_id"] == "s01" else row
            for row in rows
        ]
        schema = pq.read_schema(out / "scenes.parquet")
        pq.write_table(pa.Table.from_pylist(changed, schema), out / "scenes.parquet")


@pytest.mark.parametrize("table", [False, True])
def test_a_marker_of_a_newer_version_is_neither_overwritten_nor_pruned_around(tmp_path, table):
    spec, out = archive(tmp_path, 3), tmp_path / "out"
    run(spec)
    write_tiff(tmp_path / "in/s00.tif", coordinate_image(1, 80, 80))
    run(spec)
    write_tiff(tmp_path / "in/s01.tif", coordinate_image(1, 90, 80))
    newer(out, table=table)
    before = {path: data for path, data in objects(out).items() if not path.startswith(".encdec/runs/")}
    words = ("markers/s01.json is of format version 2, newer than 1", "update encdec-batch")
    one_line(command("run", spec), *words)
    one_line(command("prune", out, "--keep-hours", "0"), *words)
    one_line(command("report", out, "--rebuild"), *words)
    one_line(command("verify", out, "--digest"), *words)
    verdict = command("verify", out, "--json")
    assert (verdict.code, verdict.result["bad"], verdict.result["digest"]) == (1, [marker_path("s01")], "")
    assert "1 marker cannot be read" in command("verify", out).stdout
    assert command("status", out, "--json").result["scenes_with_outputs"] == 3
    after = {path: data for path, data in objects(out).items() if not path.startswith(".encdec/runs/")}
    assert after == before


@pytest.mark.parametrize("left", [0, 100, 0.5])
def test_plans_that_were_cut_short_are_made_anew(tmp_path, left):
    """They hold what `auto` became and whose parts are: both can be found again."""
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    assert run(spec).code == 0
    for path in (out / ".encdec/plans").glob("*.parquet"):
        data = path.read_bytes()
        path.write_bytes(data[: int(left * len(data)) if left < 1 else int(left)])
    stray = out / ".encdec/parts" / ("0" * 64)
    stray.mkdir(parents=True)
    (stray / "0-0").write_bytes(b"of nobody")
    write_tiff(tmp_path / "in/s02.tif", coordinate_image(1, 70, 70))
    ended = run(spec, "--set", "tiling.core=auto")
    assert (ended.code, ended.result["scenes_done"]) == (0, 3)
    assert (stray / "0-0").exists()
    assert command("verify", out, "--json").result["files"] == 3


def big(folder: Path, package: str | None = None) -> tuple[Path, np.ndarray]:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 600, 1300), dtype=np.uint8)
    write_tiff(folder / "in/a.tif", pixels)
    return write_spec(folder, folder / "in", package or classes_package()), pixels


class Stopped(Exception):
    pass


def stop_at_block(number: int) -> Any:
    def show(progress: Progress) -> None:
        if progress.blocks_done >= number:
            raise Stopped

    return show


def interrupted(folder: Path, at: int = 2) -> Path:
    """The spec of a job of one scene of six blocks that was stopped on its way."""
    spec, _ = big(folder)
    with pytest.raises(Stopped):
        run_job(eb.load_spec(spec), show=stop_at_block(at))
    return spec


def test_what_lies_among_the_parts_and_is_no_part_of_this_version(tmp_path):
    quiet, _ = big(tmp_path / "quiet")
    digest = run(quiet).result["digest"]
    spec = interrupted(tmp_path / "disturbed")
    out = tmp_path / "disturbed/out"
    [folder] = (out / ".encdec/parts").iterdir()
    whole = next(folder.iterdir()).read_bytes()
    for name in ("notes.txt", "0-0.tmp", "9-9-9"):
        (folder / name).write_bytes(b"mine")
    names = {f"{row}-{col}" for row in range(2) for col in range(3)}
    for name in sorted(names - {path.name for path in folder.iterdir()})[:2]:
        # Under the name of a block: a later form of parts, and no part at all.
        (folder / name).write_bytes(whole[:-4] + b"EDP2" if name.endswith("1") else b"mine")
    (out / ".encdec/parts/readme").write_bytes(b"mine")
    ended = run(spec)
    assert (ended.code, ended.result["digest"]) == (0, digest), ended
    assert (out / ".encdec/parts/readme").exists()
    assert command("verify", out).code == 0


# An output prefix that holds other things


def test_files_of_others_below_the_output_are_left_alone_and_said(tmp_path):
    mine = {"thesis.tex": b"1", "scenes/old/mask.tif": b"2", "markers/list.txt": b"3", ".encdec-notes": b"4"}
    for name, data in mine.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(data)
    spec, out = archive(tmp_path, 2), tmp_path / "out"
    ended = run(spec)
    assert ended.code == 0
    assert ended.result["notes"] == [
        "4 objects are not of this output, and left alone: .encdec-notes, markers/list.txt, scenes/old/mask.tif, ..."
    ]
    assert run(spec).result["notes"] == []
    assert "4 objects are not of this output" in command("prune", out, "--keep-hours", "0").stdout
    for name, data in mine.items():
        assert (out / name).read_bytes() == data


# The page after a run that did not end


def test_the_page_of_a_run_that_was_stopped(tmp_path):
    spec = interrupted(tmp_path)
    out = tmp_path / "out"
    assert not (out / "report").exists()
    assert command("report", out, "--rebuild").code == 0
    page = page_of(out)
    text = " ".join(page.text.split())
    assert state_of(out) == "interrupted"
    assert "0 done" in text
    assert "1 not done" in text
    shown = {row[0].removesuffix("bottleneck"): row for row in page.rows}
    assert {"read", "predict", "write"} <= set(shown)
    facts = dict(terms[:2] for terms in page.terms if len(terms) >= 2)
    assert facts["core"] == "128 px"
    assert float(facts["Pixels"].split()[0]) > 0
    assert run(spec).code == 0
    assert command("report", out, "--rebuild").code == 0
    assert "1 done" in " ".join(page_of(out).text.split())
    assert state_of(out) == "complete"


def test_the_page_of_a_run_that_gave_up(tmp_path):
    made = make_job(tmp_path, make_archive(tmp_path / "archive", {"a": (300, 300)}), make_package(tmp_path / "package"))
    summary = made.output / ".encdec/runs" / made.run().run_id / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"stopped": "stopped: 10 in a row"}))
    rebuild_report(str(made.output))
    assert state_of(made.output) == "stopped"


def test_the_page_of_a_newer_run_that_was_stopped_counts_what_is_done_now(tmp_path):
    spec, out = archive(tmp_path, 4), tmp_path / "out"
    run(spec)
    big(tmp_path)
    with pytest.raises(Stopped):
        run_job(eb.load_spec(spec), show=stop_at_block(2))
    assert command("report", out, "--rebuild").code == 0
    text = " ".join(page_of(out).text.split())
    assert state_of(out) == "interrupted"
    assert "4 done" in text
    assert "1 not done" in text
    shutil.rmtree(out / ".encdec/plans")
    for path in (out / ".encdec/runs").rglob("events-*.parquet"):
        path.write_bytes(path.read_bytes()[:50])
    assert command("report", out, "--rebuild").code == 0


def test_a_page_that_is_there_is_made_anew_only_where_that_is_asked_for(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    run(spec)
    page = out / "report/index.html"
    page.write_text("as it was")
    table = (out / "scenes.parquet").stat().st_mtime_ns
    assert command("report", out).stdout.strip().endswith("out/report/index.html")
    assert (page.read_text(), (out / "scenes.parquet").stat().st_mtime_ns) == ("as it was", table)
    assert command("report", out, "--rebuild").code == 0
    assert state_of(out) == "complete"
    page.unlink()
    assert command("report", out).code == 0
    assert state_of(out) == "complete"


def test_the_page_after_kill_9(tmp_path):
    """No run has ended, and no event was written yet."""
    job = make_job(tmp_path / "job", make_archive(tmp_path / "archive"), make_package(tmp_path / "package"))
    with driver(job) as process:
        wait_until(lambda: bool(job.parts()), what="the first part")
        process.kill()
        process.wait()
    ended = command("report", job.output, "--rebuild", "--json")
    assert ended.code == 0, ended
    assert state_of(job.output) == "interrupted"
    assert pq.read_table(job.output / "scenes.parquet").num_rows == len(job.markers())
    job.run()
    assert command("verify", job.output).code == 0


def test_no_page_without_a_run_is_one_line(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    run(spec)
    shutil.rmtree(out / ".encdec/runs")
    one_line(command("report", out, "--rebuild"), "no run has left its spec here", "run the job once")
    one_line(command("prune", out, "--removed", "10"), "no run has left its spec here")
    for verb in ("status", "verify", "retry", "prune", "report"):
        one_line(command(verb, tmp_path / "typo"), "no run has written here", "output.uri")
    assert not (tmp_path / "typo").exists()


def test_retry_by_stage_and_reason_and_the_next_run(tmp_path):
    spec, out = archive(tmp_path, 1), tmp_path / "out"
    (tmp_path / "in/text.tif").write_bytes(b"hello")
    write_tiff(tmp_path / "in/three.tif", coordinate_image(3, 50, 50))
    assert run(spec).code == 3
    shown = command("retry", out, "--reason", "NOT an image", "--dry-run").stdout.splitlines()
    assert shown[0].startswith("text  plan: not an image")
    assert shown[-1] == "1 scene would be taken out of quarantine"
    assert command("retry", out, "--stage", "read", "--json").result["taken_out"] == 0
    assert command("retry", out, "--stage", "nowhere").code == 2
    assert command("retry", out, "--stage", "plan", "--reason", "bands", "--json").result["scenes"] == ["three"]
    assert command("status", out, "--json").result["scenes_set_aside"] == 1
    assert {row["scene_id"] for row in run(spec).result["set_aside"]} == {"text", "three"}
