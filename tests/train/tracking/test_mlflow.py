"""MLflow, where it is installed (an extra); and what is said where it is not."""

from __future__ import annotations

import importlib.util

import pytest
from train.trainings import material, train_spec

from encdec_batch.errors import SpecError
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.mlflow import open_tracker

INSTALLED = importlib.util.find_spec("mlflow") is not None


@pytest.mark.skipif(INSTALLED, reason="MLflow is here")
def test_without_it_a_training_that_wants_it_does_not_begin(tmp_path):
    spec = train_spec(tmp_path, {"output.mlflow": "http://127.0.0.1:5000"})
    with pytest.raises(SpecError, match=r"encdec-batch\[mlflow\]"):
        train(spec, material)
    assert not (tmp_path / "training").exists()


@pytest.mark.skipif(not INSTALLED, reason="MLflow is an extra")
def test_an_interrupted_training_is_one_run(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = f"file://{tmp_path}/runs"
    for step in (1, 2):
        tracker = open_tracker(uri, name="squares", training="file:///trainings/1")
        tracker.point(step, {"loss": 1 / step, "val/mean_iou": 0.5})
        tracker.close(finished=step == 2)
    client = MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([client.get_experiment_by_name("encdec-batch").experiment_id])
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 0.5)]
