"""Specs that earlier runs left."""

from __future__ import annotations

import pytest
import yaml
from fakes import FakeStore

from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.job.history import newest_spec, spec_of
from encdec_batch.job.runlog import run_folder

SPEC = {
    "source": {"kind": "list", "uris": ["a.tif"]},
    "model": {"package": "p"},
    "output": {"uri": "out"},
    "report": {"previews": 200},
}


def put(store: FakeStore, run_id: str, text: str) -> None:
    store.put(f"{run_folder(run_id)}spec.yaml", text.encode())


def test_the_newest_run_that_left_one():
    store = FakeStore()
    with pytest.raises(EncdecError, match="no run has left its spec here"):
        newest_spec(store)
    for run_id, uri in (("20260102T000000Z-a", "new"), ("20260101T000000Z-b", "old")):
        put(store, run_id, yaml.safe_dump(SPEC | {"output": {"uri": uri}}))
    store.put(f"{run_folder('20260103T000000Z-c')}progress.json", b"{}")
    assert newest_spec(store).output.uri == "new"


def test_one_of_a_version_that_allowed_more_pictures_is_read():
    store = FakeStore()
    put(store, "r", yaml.safe_dump(SPEC))
    spec = spec_of(store, "r")
    assert spec is not None
    assert spec.report.previews == 24


@pytest.mark.parametrize("text", ["", "a: [", "[]", "report: {previews: x}", "report: 7"])
def test_one_that_is_damaged_is_named(text):
    store = FakeStore()
    put(store, "r", text)
    with pytest.raises(SpecError, match="the spec of run r"):
        spec_of(store, "r")
