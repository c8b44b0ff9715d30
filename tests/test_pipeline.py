"""What becomes of an error: the scene's, the hour's, or the run's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from plan.recipes import card, order, recipe, scene

from encdec_batch import pipeline
from encdec_batch.errors import (
    CommitConflict,
    EncdecError,
    LeaseHeld,
    ObjectForbidden,
    PartMissing,
    PermanentStoreError,
    SceneChanged,
    SceneForbidden,
    SceneUnreadable,
    SpecError,
    StoreError,
    TransientStoreError,
    UnsupportedScene,
)
from encdec_batch.pipeline import Cost, Record
from encdec_batch.predict.device import choose_device
from encdec_batch.read.patch import Patch


def record_of(error: Exception, stage: str = "read") -> Record:
    return pipeline._trouble(error, stage, scene("s", 100, 90), ("0-0",), Cost())


@pytest.mark.parametrize("error", [SceneUnreadable("x"), UnsupportedScene("x"), ValueError("x")])
def test_what_is_wrong_with_a_scene_sets_it_aside_for_good(error: Exception) -> None:
    made = record_of(error)
    assert made.trouble is not None
    assert not made.trouble.transient
    assert made.ends_run is None


@pytest.mark.parametrize(
    "error",
    [
        *(TransientStoreError("x"), StoreError("x"), PermanentStoreError("x"), SceneForbidden("x")),
        *(MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_hour_does_wrong_is_no_property_of_the_scene(error: Exception) -> None:
    made = record_of(error)
    assert made.trouble is not None
    assert made.trouble.transient


@pytest.mark.parametrize("stage", ["write", "commit"])
@pytest.mark.parametrize(
    "error", [PermanentStoreError("the disk is full"), ObjectForbidden("not yours"), LeaseHeld("x")]
)
def test_an_output_that_takes_nothing_more_ends_the_run(error: EncdecError, stage: str) -> None:
    made = record_of(error, stage)
    assert made.ends_run is error
    assert made.trouble is None


@pytest.mark.parametrize("error", [SceneChanged("x"), CommitConflict("x")])
def test_what_changed_meanwhile_is_planned_again(error: EncdecError) -> None:
    assert record_of(error).replan


def test_a_check_window_to_blame_is_told_from_blocks() -> None:
    made = pipeline._trouble(SceneUnreadable("x"), "read", scene("s", 100, 90), ("check-1", "check-2"), Cost())
    assert (made.blocks, made.checks) == ((), ("check-1", "check-2"))
    assert made.trouble is not None
    assert made.trouble.block == "check-1"


def test_missing_parts_run_once_more() -> None:
    assert record_of(PartMissing("x", blocks=["0-1", "1-1"]), "commit").missing == ("0-1", "1-1")


def test_an_error_that_nobody_foresaw_says_where_it_came_from() -> None:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError as error:
        made = record_of(error)
    assert made.trouble is not None
    assert "ZeroDivisionError: by zero (test_pipeline.py:" in made.trouble.reason


@pytest.mark.parametrize(("rule", "value", "says"), [("refuse", np.nan, "NaN"), ("nodata", np.inf, "infinite")])
def test_values_that_would_spread_are_refused(rule: str, value: float, says: str) -> None:
    strict = recipe(order(card(nodata={"nan": rule})))
    pixels = np.zeros((2, 3, 3), np.float32)
    pixels[1, 1, 1] = value
    valid = np.ones((3, 3), bool)
    with pytest.raises(UnsupportedScene, match=says):
        pipeline._refuse_unruly(Patch(pixels=pixels, valid_mask=valid), strict)
    masked = replace(Patch(pixels=pixels, valid_mask=valid), valid_mask=np.isfinite(pixels).all(0))
    pipeline._refuse_unruly(masked, strict)


def test_a_worker_of_another_kind_of_device_than_the_plans_is_refused() -> None:
    here = choose_device("cpu", "auto", "auto").kind
    pipeline._refuse_other_device(recipe(device_kind=here))
    with pytest.raises(SpecError) as raised:
        pipeline._refuse_other_device(recipe(device_kind="cpu-Another-avx2"))
    assert raised.value.message == f"this worker is a {here}, the run was planned for cpu-Another-avx2"
    assert "compute.stream.labels" in raised.value.hint
