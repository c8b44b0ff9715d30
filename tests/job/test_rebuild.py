"""What can be said of a run that did not end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from encdec_batch.job.progress import Progress
from encdec_batch.job.rebuild import last_run
from encdec_batch.job.runlog import run_folder
from encdec_batch.store.open import open_store

PACKAGE = Path(__file__).parents[2] / "jobs/packages/nuclei"
SPEC = f"""
source: {{kind: prefix, uri: /scenes}}
model: {{package: {PACKAGE}}}
output: {{uri: /out}}
"""


@pytest.mark.parametrize(
    ("fields", "pixels", "seconds"),
    [
        ({}, 0, 0.0),
        ({"state": "running", "streaming_since": 100.0, "updated": 112.0, "pixels_done": 5_000_000}, 5_000_000, 12.0),
    ],
    ids=["planning", "before_the_first_events"],
)
def test_a_run_that_was_killed_early_is_known_by_its_progress(tmp_path, fields, pixels, seconds):
    store, run_id = open_store(str(tmp_path)), "20260101T000000.000Z-abc"
    store.put(f"{run_folder(run_id)}spec.yaml", SPEC.encode())
    store.put(f"{run_folder(run_id)}progress.json", json.dumps(Progress(run_id=run_id, **fields).to_dict()).encode())
    found = last_run(store, [])
    assert not found.ended
    assert (found.summary["pixels"], found.summary["seconds"]) == (pixels, seconds)
