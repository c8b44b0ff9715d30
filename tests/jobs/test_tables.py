"""The tables beside the recipes: what they say of data that lie beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from encdec_batch.spec.load_train import load_train_spec
from encdec_batch.train.dataset.prepare import prepare

JOBS = Path(__file__).parents[2] / "jobs"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not (JOBS.parent / "data/super_resolution").is_dir(), reason="T91 does not lie in data/"),
]


def test_no_picture_of_t91_is_on_both_sides():
    prepared = prepare(load_train_spec(JOBS / "train-edsr-x2-t91.yaml").data)
    assert (len(prepared.train), len(prepared.val), prepared.aside, prepared.leak_note) == (82, 8, (), "")
