from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest
from fakes import fake_bytes, fake_marker

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.marker import marker_path, read_markers
from encdec_batch.commit.quarantine import QuarantineRecord, write_quarantine
from encdec_batch.errors import CommitError, EncdecError
from encdec_batch.job.progress import Progress
from encdec_batch.job.runlog import run_folder
from encdec_batch.job.status import DEAD_AFTER_S, output_digest, status, verify
from encdec_batch.report.tables import write_scenes
from encdec_batch.store.open import open_store

OLD, NEW = "20260101T000000Z-aaa", "20260102T000000Z-bbb"


def say(folder: Path, run_id: str, *, age_s: float = 0.0, **fields) -> None:
    """A run's progress.json, written this long ago."""
    path = folder / run_folder(run_id) / "progress.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(Progress(run_id=run_id, **fields).to_dict()))
    written = path.stat().st_mtime - age_s
    os.utime(path, (written, written))


def commit(folder: Path, *scene_ids: str, **fields):
    store = open_store(str(folder))
    markers = [fake_marker(scene_id, **fields) for scene_id in scene_ids]
    for marker in markers:
        store.put(marker_path(marker.scene_id), marker.to_json())
        for file in marker.outputs.values():
            # One byte, as the marker says; its digest is of another.
            store.put(file.path, fake_bytes(file.path))
    return markers


def set_aside(folder: Path, scene_id: str) -> None:
    record = QuarantineRecord(stage="read", scene_id=scene_id, uri="u", reason="bad", kind="condemned", trial_key="k")
    write_quarantine(open_store(str(folder)), record)


def test_counts_what_lies_there(tmp_path):
    commit(tmp_path, "a", "b")
    set_aside(tmp_path, "c")
    say(tmp_path, NEW, state="complete", blocks_done=7)
    found = status(str(tmp_path))
    assert (found.scenes_with_outputs, found.scenes_set_aside, found.state, found.run_id) == (2, 1, "complete", NEW)
    assert found.progress["blocks_done"] == 7
    assert json.loads(json.dumps(found.to_dict()))["scenes_with_outputs"] == 2


@pytest.mark.parametrize(
    ("state", "age_s", "expected"),
    [
        ("planning", 0, "planning"),
        ("running", 0, "running"),
        ("running", DEAD_AFTER_S - 10, "running"),
        ("running", DEAD_AFTER_S + 1, "interrupted"),
        ("planning", DEAD_AFTER_S + 1, "interrupted"),
        ("complete", 1e6, "complete"),
        ("failed", 1e6, "failed"),
    ],
)
def test_a_run_that_has_said_nothing_for_as_long_as_a_lease_lives_is_dead(tmp_path, state, age_s, expected):
    say(tmp_path, NEW, state=state, age_s=age_s)
    found = status(str(tmp_path))
    assert found.state == expected
    assert found.age_s == pytest.approx(age_s, abs=5)


def test_the_newest_run_is_told_of(tmp_path):
    say(tmp_path, NEW, state="running")
    say(tmp_path, OLD, state="complete")
    assert status(str(tmp_path)).run_id == NEW


def test_where_nobody_has_written_is_an_error(tmp_path):
    with pytest.raises(EncdecError, match="no run has written here"):
        status(str(tmp_path))


def test_verify_names_every_file_that_is_not_what_its_marker_says(tmp_path):
    store = open_store(str(tmp_path))
    whole, bitten, short, gone = commit(tmp_path, "whole", "bitten", "short", "gone")
    for marker in (whole, bitten, short, gone):
        [(name, file)] = marker.outputs.items()
        data = fake_bytes(file.path)
        right = file.model_copy(update={"size": len(data), "sha256": sha256(data).hexdigest()})
        store.put(marker_path(marker.scene_id), marker.model_copy(update={"outputs": {name: right}}).to_json())
    paths = {marker.scene_id: tmp_path / marker.outputs["mask.tif"].path for marker in (whole, bitten, short, gone)}
    assert verify(str(tmp_path)).bad == ()
    data = bytearray(paths["bitten"].read_bytes())
    data[0] ^= 1
    paths["bitten"].write_bytes(data)
    paths["short"].write_bytes(paths["short"].read_bytes()[:-1])
    paths["gone"].unlink()
    found = verify(str(tmp_path))
    assert set(found.bad) == {str(paths[name].relative_to(tmp_path)) for name in ("bitten", "short", "gone")}
    assert found.files == 4


def test_the_digest_is_of_the_files_and_of_nothing_else(tmp_path):
    markers = commit(tmp_path / "one", "a", "b")
    commit(tmp_path / "other", "b", "a")
    say(tmp_path / "other", NEW, state="running")
    set_aside(tmp_path / "other", "c")
    assert verify(str(tmp_path / "one")).digest == verify(str(tmp_path / "other")).digest == digest_of_markers(markers)
    commit(tmp_path / "third", "a", "b", made_by="another")
    assert verify(str(tmp_path / "third")).digest != verify(str(tmp_path / "one")).digest


def test_a_removed_scene_is_not_counted_once_the_tables_say_so(tmp_path):
    commit(tmp_path, "a", "b")
    commit(tmp_path, "c", generation=2, outputs=())
    store = open_store(str(tmp_path))
    assert status(str(tmp_path)).scenes_with_outputs == 3
    write_scenes(store, read_markers(store))
    assert status(str(tmp_path)).scenes_with_outputs == 2
    # It came back since: the table is older than its marker.
    commit(tmp_path, "c", generation=3)
    assert status(str(tmp_path)).scenes_with_outputs == 3
    (tmp_path / "scenes.parquet").write_bytes(b"PAR1 cut short")
    assert status(str(tmp_path)).scenes_with_outputs == 3


def test_verify_names_markers_that_cannot_be_read_and_goes_on(tmp_path):
    commit(tmp_path, "a", "b", "c")
    (tmp_path / marker_path("b")).write_bytes(b"{")
    found = verify(str(tmp_path))
    # The files of the others were looked at; those of `b` nobody knows.
    assert (found.files, found.digest) == (2, "")
    assert marker_path("b") in found.bad
    assert "is not a marker that this version can read" in found.why[marker_path("b")]
    with pytest.raises(CommitError, match=r"markers/b.json is not a marker"):
        output_digest(str(tmp_path))


def test_progress_of_verify_ends_with_all_bytes(tmp_path):
    commit(tmp_path, *(f"s{n}" for n in range(20)))
    said = []
    verify(str(tmp_path), on_bytes=lambda done, total: said.append((done, total)))
    assert said[-1] == (20, 20)
    assert [done for done, _ in said] == list(range(1, 21))
