"""What is said of workers that died: how often, each time of what, and what Ray gave up for."""

from __future__ import annotations

import pickle

from ray.exceptions import ActorUnavailableError, WorkerCrashedError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from encdec_batch.errors import LossNotFinite, TrainingError
from encdec_batch.train.running.deaths import Deaths, deaths_in, died_while_starting
from encdec_batch.train.running.ray_train import _failure

GONE = WorkerHealthCheckFailedError("A worker health check failed.", failure=ActorUnavailableError("no answer", None))


def test_each_time_that_workers_fail_is_noted_with_all_that_failed_then(tmp_path):
    assert deaths_in(str(tmp_path)) == []
    noting = pickle.loads(pickle.dumps(Deaths(str(tmp_path))))
    noting.after_exception(None, {0: RuntimeError("connection closed\nby peer"), 1: GONE})
    noting.after_exception(None, {1: WorkerCrashedError()})
    first, second = deaths_in(str(tmp_path))
    assert first.startswith("rank 0: RuntimeError: connection closed by peer; rank 1: ActorUnavailableError: The actor")
    assert second.startswith("rank 1: WorkerCrashedError: ")


def test_it_is_said_how_often_they_died_and_of_what():
    error = _failure(WorkerGroupError("gone", {1: GONE}), ["rank 1: WorkerCrashedError: x", "rank 1: no answer"])
    assert isinstance(error, TrainingError)
    assert "workers died 2 times (rank 1: WorkerCrashedError: x | rank 1: no answer)" in str(error)
    assert "goes on from its newest checkpoint" in str(error)


def test_a_controller_that_fails_is_no_death_of_a_worker():
    error = _failure(ControllerError(ActorUnavailableError("no answer", None)), [])
    assert "Ray gave up: train failed: ControllerError" in str(error)
    assert "died" not in error.message


def test_a_worker_that_is_lost_as_it_gets_its_work_is_told_from_other_errors_of_the_controller():
    """Ray 2.60 gives up then, however many failures it is to put up with."""
    lost = died_while_starting(ControllerError(ActorUnavailableError("no answer", None)))
    assert lost is not None
    assert lost.startswith("ActorUnavailableError: The actor")
    assert died_while_starting(ControllerError(ValueError("no such option"))) is None
    assert died_while_starting(WorkerGroupError("gone", {1: GONE})) is None


def test_an_error_of_ours_is_told_as_it_is():
    ours = LossNotFinite("step 1")
    assert _failure(WorkerGroupError("gone", {0: ours}), ["rank 0: LossNotFinite: step 1"]) is ours
