"""retry, prune and report on outputs that were put together by hand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from fakes import fake_bytes, fake_marker
from plan.recipes import recipe, scene

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.commit.marker import marker_path, read_marker
from encdec_batch.commit.quarantine import QuarantineRecord, list_quarantine, write_quarantine
from encdec_batch.errors import CommitError, EncdecError, LeaseHeld
from encdec_batch.job.maintain import prune_output, rebuild_report, retry_output
from encdec_batch.job.status import run_ids, status
from encdec_batch.plan.plan import Planned
from encdec_batch.plan.table import PlanWriter, segments
from encdec_batch.store.open import open_store

HOUR = 3600.0
ASIDE = {"a": ("read", "Disk full"), "b": ("read", "cut short"), "c": ("plan", "no DISK there")}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for scene_id, (stage, reason) in ASIDE.items():
        record = QuarantineRecord(stage=stage, scene_id=scene_id, uri="u", reason=reason, kind="condemned")
        write_quarantine(open_store(str(tmp_path)), record)
    return tmp_path


def quarantined(out: Path) -> set[str]:
    return {record.scene_id for record in list_quarantine(open_store(str(out)))}


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({}, {"a", "b", "c"}),
        ({"stage": "read"}, {"a", "b"}),
        ({"reason": "disk"}, {"a", "c"}),
        ({"stage": "read", "reason": "DISK"}, {"a"}),
        ({"stage": "write"}, set()),
        ({"reason": "d.sk"}, set()),
    ],
)
def test_retry_takes_those_of_a_stage_and_a_reason(out, options, meant):
    assert {record.scene_id for record in retry_output(str(out), dry_run=True, **options)} == meant
    assert quarantined(out) == set(ASIDE)
    assert not (out / ".encdec/lease").exists()
    assert {record.scene_id for record in retry_output(str(out), **options)} == meant
    assert quarantined(out) == set(ASIDE) - meant
    table = pq.read_table(BytesIO((out / "quarantine.parquet").read_bytes()))
    assert set(table.column("scene_id").to_pylist()) == set(ASIDE) - meant


def test_nothing_is_changed_under_a_run(out):
    before = quarantined(out)
    with acquire_lease(open_store(str(out)), HolderInfo.current("run-a")):
        for call in (retry_output, prune_output, rebuild_report):
            with pytest.raises(LeaseHeld, match="is being written by run run-a"):
                call(str(out))
        assert len(retry_output(str(out), dry_run=True)) == 3
        assert prune_output(str(out), dry_run=True).folders == ()
    assert quarantined(out) == before
    assert not (out / "quarantine.parquet").exists()


@pytest.mark.parametrize("call", [retry_output, prune_output, rebuild_report])
def test_a_mistyped_uri_is_no_empty_output_and_is_not_written_to(tmp_path, call):
    (tmp_path / "mine.txt").write_text("not an output")
    for uri in (tmp_path, tmp_path / "typo"):
        with pytest.raises(EncdecError, match="no run has written here"):
            call(str(uri))
    assert [path.name for path in tmp_path.rglob("*")] == ["mine.txt"]


def commit(out: Path, *scene_ids: str, archive: Path) -> None:
    store = open_store(str(out))
    for scene_id in scene_ids:
        marker = fake_marker(scene_id)
        source = marker.input.model_copy(update={"uri": f"file://{archive}/{scene_id}.tif"})
        store.put(marker_path(scene_id), marker.model_copy(update={"input": source}).to_json())
        for file in marker.outputs.values():
            store.put(file.path, fake_bytes(file.path))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Twenty scenes, committed to `out` by a run whose spec is there."""
    source, names = tmp_path / "in", [f"s{n:02d}" for n in range(20)]
    source.mkdir()
    for name in names:
        (source / f"{name}.tif").write_bytes(b"x")
    commit(tmp_path / "out", *names, archive=source)
    spec = {"source": {"kind": "prefix", "uri": str(source)}, "model": {"package": "p"}, "output": {"uri": "out"}}
    folder = tmp_path / "out/.encdec/runs/20261101T000000Z-aaaaaa"
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return source


def objects(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and "lease" not in path.parts
    }


def test_scenes_that_the_source_no_longer_names_are_taken_out_when_that_is_asked_for(archive):
    out = archive.parent / "out"
    (archive / "s03.tif").unlink()
    assert prune_output(str(out), keep_hours=0).removed == ()
    before = objects(out)
    assert prune_output(str(out), removed_percent=10, dry_run=True).removed == ("s03",)
    assert objects(out) == before
    assert prune_output(str(out), removed_percent=10).removed == ("s03",)
    found = read_marker(open_store(str(out)), "s03")
    assert found is not None
    assert (found[0].generation, found[0].outputs, found[0].notes) == (2, {}, ("removed",))
    assert (out / fake_marker("s03").outputs["mask.tif"].path).exists(), "readers of the marker before have a day"
    assert status(str(out)).scenes_with_outputs == 19
    pruned = prune_output(str(out), removed_percent=10, keep_hours=0)
    assert (pruned.removed, len(pruned.folders)) == ((), 1)
    assert not (out / fake_marker("s03").outputs["mask.tif"].path).exists()
    assert pq.read_table(out / "scenes.parquet").num_rows == 20


def test_old_runs_and_plans_are_forgotten(archive, monkeypatch):
    monkeypatch.setattr("encdec_batch.job.forget.KEPT_RUNS", 2)
    out = archive.parent / "out"
    store = open_store(str(out))
    [first] = run_ids(store)
    for number in range(3):
        store.put(f".encdec/runs/2026120{number}T000000Z-a/spec.yaml", store.get(f".encdec/runs/{first}/spec.yaml"))
        PlanWriter(store, recipe()).write([Planned(scene=scene("a", 9, 9), bytes_to_read=1)])
    before = objects(out)
    found = prune_output(str(out), dry_run=True).folders
    assert objects(out) == before
    assert prune_output(str(out)).folders == found
    assert {folder.reason for folder in found} == {"no longer needed"}
    assert run_ids(store) == ["20261202T000000Z-a", "20261201T000000Z-a"]
    assert [number for number, _ in segments(store)] == [3]
    assert prune_output(str(out)).folders == ()


@pytest.mark.parametrize("left", [10, 17, 1])
def test_a_listing_that_lost_more_than_was_allowed_stops_before_anything_is_deleted(archive, left):
    out = archive.parent / "out"
    for path in sorted(archive.iterdir())[left:]:
        path.unlink()
    before = objects(out)
    percent = 100 * (20 - left) / 20
    for dry_run in (True, False):
        with pytest.raises(EncdecError, match=rf"{20 - left} of 20 committed scenes \({percent:.1f} %\)") as caught:
            prune_output(str(out), removed_percent=10, keep_hours=0, dry_run=dry_run)
        assert f"--removed {percent:g}" in caught.value.hint
    assert objects(out) == before
    assert len(prune_output(str(out), removed_percent=percent).removed) == 20 - left


def test_a_source_that_names_nothing_is_not_believed(archive):
    for path in archive.iterdir():
        path.unlink()
    with pytest.raises(EncdecError, match="names no scene at all; nothing was removed"):
        prune_output(str(archive.parent / "out"), removed_percent=100)


def test_a_scene_that_goes_on_under_another_id_stays_until_that_is_committed(archive):
    """A second file of that name but for case came: both ids have a hash from now on."""
    out = archive.parent / "out"
    (archive / "S03.TIF").write_bytes(b"x")
    assert prune_output(str(out), removed_percent=10).removed == ()


def test_a_marker_of_a_newer_version_stops_prune_before_anything_is_deleted(archive):
    out = archive.parent / "out"
    store = open_store(str(out))
    store.put(marker_path("s00"), fake_marker("s00", generation=2, key="B").to_json())
    assert len(prune_output(str(out), keep_hours=0, dry_run=True).folders) == 1
    path = out / marker_path("s19")
    path.write_bytes(path.read_bytes().replace(b'"format_version":1', b'"format_version":2'))
    before = objects(out)
    for options in ({}, {"removed_percent": 100.0}, {"dry_run": True}):
        with pytest.raises(CommitError, match=r"s19.json is of format version 2, newer than 1"):
            prune_output(str(out), keep_hours=0, **options)
    with pytest.raises(CommitError, match="format version 2"):
        rebuild_report(str(out))
    assert objects(out) == before
    assert status(str(out)).scenes_with_outputs == 20


def test_what_is_not_of_the_output_is_left_alone_and_said(archive):
    out = archive.parent / "out"
    names = ("notes.txt", "markers/s00 (copy).json", "scenes/s00/mine/a.tif", "scenes/readme", "old/scenes.parquet")
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"mine")
    pruned = prune_output(str(out), keep_hours=0)
    assert pruned.foreign.num_objects == 5
    assert str(pruned.foreign).startswith("5 objects are not of this output, and left alone: markers/s00 (copy).json, ")
    assert all((out / name).exists() for name in names)
    assert status(str(out)).scenes_with_outputs == 20
