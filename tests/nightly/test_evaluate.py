"""Candidate and production are judged by the workers of a cluster, with the figures of this process."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly.nuclei import nightly_values
from train.made import write_pairs

from encdec_batch.errors import EncdecError, SpecError, WorkerLost
from encdec_batch.models.package import load_package
from encdec_batch.models.registry import promote
from encdec_batch.nightly.evaluate import divided
from encdec_batch.nightly.find import find_labels
from encdec_batch.nightly.judge import Evaluator
from encdec_batch.nightly.pictures import draw
from encdec_batch.nightly.plan import read_plan
from encdec_batch.nightly.production import production_state
from encdec_batch.nightly.run import run_night
from encdec_batch.nightly.tune import prepare_dataset
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.store.open import open_store
from encdec_batch.stream.calls import open_calls


@given(number=st.integers(0, 30), workers=st.integers(1, 9))
def test_scenes_are_divided_in_their_order(number, workers):
    runs = divided(list(range(number)), workers)
    assert [one for run in runs for one in run] == list(range(number))
    assert len(runs) == max(1, min(number, workers))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


@pytest.mark.integration
def test_workers_of_a_ray_judge_as_this_process_does(tmp_path):
    write_pairs(tmp_path, 16)
    values = nightly_values(tmp_path, new_scenes=2, judge__least_scenes=3, judge__pictures=2)
    values["train"]["learn"]["steps"] = 4
    values["train"]["data"]["sampling"] |= {"crop": 32, "samples": 8}
    spec = parse_nightly_spec(values)
    made = run_night(spec, "2026-11-27", wait_s=0).decision.candidate
    promote(f"{spec.registry}/nuclei@candidate", "production")
    package, state = load_package(f"{spec.registry}/nuclei@{made.version}"), production_state(spec)
    plan = read_plan(open_store(spec.output.uri), "2026-11-27")
    dataset = prepare_dataset(spec, plan, find_labels(spec), frozenset())

    def judged(calls):
        evaluator = Evaluator(spec, dataset, calls)
        found = evaluator.judge(package, state, nights=1)
        return found, draw(evaluator, found, package, state.package)

    def where(shared: int, thing: int) -> tuple[int, int]:
        if thing < 0:
            raise EncdecError(f"{thing} is no thing", hint="take another")
        import ray

        granted = ray.get_runtime_context().get_assigned_resources()
        return shared * thing, int(granted["CPU"])

    def dies_of_two(shared: int, thing: int) -> int:
        if thing == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return shared * thing

    compute = spec.train.compute
    with open_calls(compute.stream, compute.device) as calls:
        here = judged(calls)
    assert len(here[0].scenes) >= 3
    assert len(here[1]) == 2
    with open_calls(RayTraining(workers=2), "auto") as calls:
        assert (calls.workers, calls.device) == (2, "cpu"), "no worker finds a GPU that Ray did not give it"
        assert judged(calls) == here
        assert calls(where, 2, [1, 2, 3]) == [(2, 1), (4, 1), (6, 1)], "each has the CPU that the spec asks for"
        with pytest.raises(EncdecError, match="is no thing") as raised:
            calls(where, 2, [1, -1])
        assert raised.value.hint == "take another"
        found = dict(calls.as_completed(dies_of_two, 2, [1, 2, 3]))
        lost = found.pop(2)
        assert (found, type(lost)) == ({1: 2, 3: 6}, WorkerLost), "what a worker dies of costs no other its result"
    with pytest.raises(SpecError, match="the workers are given no GPU"), open_calls(RayTraining(), "cuda"):
        pass
