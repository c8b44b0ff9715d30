from __future__ import annotations

import json
from io import BytesIO

import pyarrow.parquet as pq
import yaml
from fakes import FakeStore

from encdec_batch.errors import TransientStoreError
from encdec_batch.job.progress import Progress, Watch
from encdec_batch.job.runlog import RunLog, new_run_id, run_folder
from encdec_batch.pipeline import Cost, Record
from encdec_batch.plan.scene import SetAside
from encdec_batch.spec.load import parse_spec

RUN = "20260101T000000Z-abc"
PROGRESS = run_folder(RUN) + "progress.json"
SPEC_FILE = run_folder(RUN) + "spec.yaml"
SPEC = parse_spec(
    {
        "source": {"kind": "prefix", "uri": "s3://scenes", "storage": {"secret": "env:NAME"}},
        "model": {"package": "package"},
        "output": {"uri": "s3://output"},
    }
)


def watch() -> Watch:
    return Watch(lambda progress: None, Progress(run_id=RUN, started=1.0))


def events(store: FakeStore) -> list[dict]:
    segments = [info.path for info in store.list(run_folder(RUN)) if info.path.endswith(".parquet")]
    return [row for path in segments for row in pq.read_table(BytesIO(store.get(path))).to_pylist()]


def record(*blocks: str, **fields) -> Record:
    cost = Cost(seconds={"read": 0.5, "predict": 1.0}, bytes_read={"read": 7}, peak_bytes={"read": 99})
    return Record(scene_id="a", blocks=blocks, cost=cost, **fields)


def test_progress_is_there_from_the_start_and_right_at_the_end():
    store, told = FakeStore(), watch()
    with RunLog(store, SPEC, told):
        assert json.loads(store.get(PROGRESS))["state"] == "planning"
        told.update(state="running")
        told.add(blocks=3)
        told.update(state="complete")
    said = json.loads(store.get(PROGRESS))
    assert (said["run_id"], said["state"], said["blocks_done"]) == (RUN, "complete", 3)


def test_every_record_is_an_event():
    store = FakeStore()
    aside = SetAside(scene_id="a", uri="u", stage="read", reason="bad tile", hint="")
    with RunLog(store, SPEC, watch()) as log:
        log.note(record("0-0", pixels=5, notes=("batch halved",)))
        log.note(record(committed=True))
        log.note(record("0-1", "0-2", trouble=aside))
    first, second, third = events(store)
    assert (first["kind"], first["blocks"], first["pixels"], first["message"]) == ("block", ["0-0"], 5, "batch halved")
    assert (dict(first["seconds"]), first["bytes_read"], first["peak_bytes"]) == (
        {"read": 0.5, "predict": 1.0},
        7,
        [("read", 99)],
    )
    assert (second["kind"], second["blocks"]) == ("committed", [])
    assert (third["kind"], third["blocks"], third["message"]) == ("set aside", ["0-1", "0-2"], "read: bad tile")


def test_a_run_without_records_leaves_no_events():
    store = FakeStore()
    with RunLog(store, SPEC, watch()):
        pass
    assert [info.path for info in store.list(run_folder(RUN))] == [PROGRESS, SPEC_FILE]


def test_the_spec_of_a_run_lies_beside_its_progress_and_is_that_spec():
    store = FakeStore()
    with RunLog(store, SPEC, watch()):
        assert parse_spec(yaml.safe_load(store.get(SPEC_FILE))) == SPEC


def test_a_store_that_fails_does_not_end_the_run(caplog):
    def fail(operation, path):
        if operation == "put" and path != SPEC_FILE:
            raise TransientStoreError("no answer")

    store = FakeStore(before=fail)
    with RunLog(store, SPEC, watch()) as log:
        log.note(record("0-0"))
    assert list(store.objects) == [SPEC_FILE]
    assert "runlog.not_written" in caplog.text


def test_the_run_s_own_error_is_not_hidden():
    store, told = FakeStore(), watch()
    try:
        with RunLog(store, SPEC, told) as log:
            log.note(record("0-0"))
            told.update(state="failed")
            raise KeyError("as told")
    except KeyError:
        pass
    assert json.loads(store.get(PROGRESS))["state"] == "failed"
    assert len(events(store)) == 1


def test_run_ids_sort_as_the_runs_began():
    """Two within a second too: the newest run is the one of the last id, and its page is what `report` makes."""
    begun = [1.0, 1.001, 1.5, 1.999, 2.0, 61.0]
    for _ in range(20):
        ids = [new_run_id(at) for at in begun]
        assert sorted(ids) == ids
    assert new_run_id(1.0) != new_run_id(1.0)
    assert new_run_id(1.0005).startswith("19700101T000001.000Z-")
