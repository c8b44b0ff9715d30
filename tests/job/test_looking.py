"""Objects that are looked into by workers: what comes of them, and what of one that workers die of."""

from __future__ import annotations

import dicoms
import numpy as np
import pytest
from plan.recipes import order

from encdec_batch.errors import EncdecError
from encdec_batch.job.looking import GROUP, _by_threads, _by_workers, _Group, _groups, untold
from encdec_batch.job.progress import Progress, Watch, looking
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.scene import SetAside
from encdec_batch.stream.calls import CallsHere

NUMBER = GROUP + 3


@pytest.fixture
def spec(tmp_path):
    pixels = np.zeros((2, 3), np.uint16)
    for number in range(NUMBER):
        data = dicoms.native(pixels, SOPInstanceUID=f"1.2.{number + 1}")
        (tmp_path / f"{number:03}.dcm").write_bytes(data if number else data[:200])
    return order(source={"kind": "prefix", "uri": str(tmp_path)}).spec


class Mortal(CallsHere):
    """Workers that die of one object."""

    def __init__(self, name: str) -> None:
        super().__init__("cpu")
        self.name = name
        self.sizes: list[int] = []

    def __call__(self, work, shared, things):
        self.sizes.append(len(things))
        if any(one.uri.endswith(self.name) for group in things for one in group.candidates):
            raise EncdecError("a worker died")
        return super().__call__(work, shared, things)


def test_workers_say_what_threads_say(spec):
    found = find_scenes(spec.source).candidates
    heard: list[tuple[int, int]] = []
    by_workers = _by_workers(
        spec, _groups(found, {}), CallsHere("cpu"), lambda done, total: heard.append((done, total)), len(found)
    )
    by_threads = _by_threads(spec, _Group(candidates=found), untold)
    assert by_workers == by_threads
    assert [isinstance(one, SetAside) for one in by_workers] == [True] + [False] * (NUMBER - 1)
    assert heard == [(NUMBER, NUMBER)]
    known = {(one.uri, one.etag): contents for one, contents in by_workers[1:]}
    # Those of objects that were named and not listed go along: a worker finds out whether they are as they were.
    assert [len(group.before) for group in _groups(found, known)] == [0, 0]


def test_what_a_worker_dies_of_is_set_aside_and_the_others_are_looked_into(spec):
    found = find_scenes(spec.source).candidates
    seen = _by_workers(spec, _groups(found, {}), Mortal("065.dcm"), untold, len(found))
    lost = {one.scene_id: one for one in seen if isinstance(one, SetAside)}
    assert set(lost) == {"000", "065"}
    assert lost["065"].reason == "the worker that was to look into it was lost: a worker died"
    assert (lost["000"].transient, lost["065"].transient) == (False, True)


def test_a_run_says_how_far_it_is():
    shown: list[str] = []
    told = looking(Watch(lambda now: shown.append(now.message), Progress(run_id="r")))
    told(1200, 100_000)
    told(100_000, 100_000)
    assert shown == ["planning, 1,200/100,000 objects looked into", ""]
