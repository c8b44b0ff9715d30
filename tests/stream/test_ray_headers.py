"""What Ray says of a task that was to read a header is nothing against the scene: only its own process condemns one."""

from __future__ import annotations

import pytest
from plan.recipes import recipe

from encdec_batch.errors import SpecError
from encdec_batch.plan.opening import Wanted
from encdec_batch.plan.scene import Candidate
from encdec_batch.stream.ray_headers import RayHeaders
from encdec_batch.stream.rules import Rules

# By name: who imports Ray before its environment is set spoils it for every other test of the process.
ERRORS = {
    "WorkerCrashedError": (),
    "OutOfMemoryError": ("monitor",),
    "NodeDiedError": ("gone",),
    "OutOfDiskError": ("full",),
    "RuntimeEnvSetupError": ("no environment",),
    "RaySystemError": ("no answer",),
    "LocalRayletDiedError": (),
    "ObjectLostError": ("id", "owner", "site"),
    "OwnerDiedError": ("id", "owner", "site"),
    "TaskCancelledError": (),
    "GetTimeoutError": (),
    "RayTaskError": ("open", "traceback", ModuleNotFoundError("no encdec_batch here")),
}


def error_of(name, *arguments):
    from ray import exceptions

    return getattr(exceptions, name)(*arguments)


class Tasks:
    """Every one of them ends with this error; `ray` itself is not started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        import ray

        self.error, self.timeouts, self.cancelled = error, [], 0
        monkeypatch.setattr(ray, "get", self._get)
        monkeypatch.setattr(ray, "cancel", self._cancel)
        monkeypatch.setattr(ray, "put", lambda value: value)
        monkeypatch.setattr(ray, "nodes", list)
        monkeypatch.setattr(ray, "cluster_resources", dict)
        monkeypatch.setattr(ray, "remote", lambda **_: lambda _: self)

    def remote(self, *_):
        return self

    def _get(self, _, *, timeout):
        self.timeouts.append(timeout)
        raise self.error

    def _cancel(self, _, *, force):
        assert force
        self.cancelled += 1


def results():
    one = Wanted(candidate=Candidate(scene_id="s", uri="s3://b/s.tif", etag="e", size_bytes=1), marker=None)
    return RayHeaders(recipe(), Rules(), {"num_cpus": 0}).start([one])()


@pytest.mark.parametrize("name", ERRORS)
def test_what_befalls_a_task_is_no_scenes_fault(monkeypatch, name):
    error = error_of(name, *ERRORS[name])
    tasks = Tasks(monkeypatch, error)
    [aside] = results()
    assert (aside.scene_id, aside.stage, aside.transient) == ("s", "plan", True)
    assert type(error).__name__ in aside.reason
    # In a group, then by itself; longer than two tries of a header may take, and not for ever.
    assert [1800 < timeout < 7200 for timeout in tasks.timeouts] == [True, True]
    assert tasks.cancelled == (2 if name == "GetTimeoutError" else 0)


def test_an_error_of_ours_is_raised(monkeypatch):
    Tasks(monkeypatch, error_of("RayTaskError", "open", "traceback", SpecError("no block fits")))
    with pytest.raises(SpecError, match="no block fits"):
        results()
