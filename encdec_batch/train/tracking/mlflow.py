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
    """A run on a server. One that does not answer costs its points, not the training: that is said once.

    Args:
        client: an MlflowClient.
        run: id of the run.
        refusal: what the client raises.
    """

    def __init__(self, client: Any, run: str, refusal: type[Exception]) -> None:
        self._client, self._run, self._refusal, self._silent = client, run, refusal, False

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


def open_tracker(uri: str, *, name: str, training: str) -> Tracker:
    """The run of a training: the one that bears it as a tag, or a new one.

    Args:
        uri: of the tracking server.
        name: of a new run.
        training: URI of the training's folder.

    Raises:
        SpecError: MLflow is not installed, or the server does not answer now.
    """
    check_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri)
    try:
        run = _find(client, training) or _create(client, name, training)
    except MlflowException as error:
        said = " ".join(str(error).split())[:200]
        raise SpecError(
            f"output.mlflow {public_uri(uri)} does not answer: {said}", hint="start it, or set it to null"
        ) from error
    return Tracker(client, run, MlflowException)


def _find(client: Any, training: str) -> str | None:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return None
    found = client.search_runs([experiment.experiment_id], f"tags.training = '{training}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def _create(client: Any, name: str, training: str) -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    number = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
    run = client.create_run(number, run_name=name, tags={"training": training})
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
