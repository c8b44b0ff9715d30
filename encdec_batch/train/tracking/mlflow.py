"""The curve on an MLflow server too, where the spec names one: an extra, `pip install encdec-batch[mlflow]`."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from encdec_batch.errors import SpecError
from encdec_batch.uri import public_uri

EXPERIMENT = "encdec-batch"

log = logging.getLogger(__name__)


class Tracker:
    """One run of MLflow for one training, however often that was interrupted.

    A server that does not answer costs its points, not the training: that is said once.

    Args:
        uri: of the tracking server.
        name: of the run.
        training: URI of the training's folder; the run that bears it as a tag is gone on with.

    Raises:
        SpecError: MLflow is not installed, or the server does not answer now.
    """

    def __init__(self, uri: str, *, name: str, training: str) -> None:
        check_mlflow()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self._refusal, self._silent = MlflowException, False
        self._client = MlflowClient(tracking_uri=uri)
        try:
            self._run = self._find(training) or self._create(name, training)
        except MlflowException as error:
            said = " ".join(str(error).split())[:200]
            raise SpecError(
                f"output.mlflow {public_uri(uri)} does not answer: {said}", hint="start it, or set it to null"
            ) from error

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of one step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._try(lambda: self._client.log_batch(self._run, metrics=metrics))

    def close(self, *, finished: bool) -> None:
        if finished:
            self._try(lambda: self._client.set_terminated(self._run))

    def _try(self, call: Any) -> None:
        try:
            call()
        except self._refusal as error:
            if not self._silent:
                log.warning("train.mlflow_refused", extra={"error": str(error)[:200]})
            self._silent = True

    def _find(self, training: str) -> str | None:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.training = '{training}'", max_results=1)
        return str(found[0].info.run_id) if found else None

    def _create(self, name: str, training: str) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        run = self._client.create_run(number, run_name=name, tags={"training": training})
        return str(run.info.run_id)


def check_mlflow() -> None:
    """Does nothing where MLflow is installed.

    Raises:
        SpecError: it is not.
    """
    try:
        import mlflow  # noqa: F401
    except ImportError:
        raise SpecError(
            "output.mlflow is set, but MLflow is not installed here",
            hint="pip install 'encdec-batch[mlflow]', or set it to null",
        ) from None
