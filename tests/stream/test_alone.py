"""What a process that ran a block alone says by the way it ended."""

from __future__ import annotations

import signal

import pytest
from plan.recipes import scene

from encdec_batch.plan.item import Piece
from encdec_batch.stream.alone import lost, out_of_memory, record_of_death
from encdec_batch.stream.child import STARTING, Ended
from encdec_batch.stream.guard import Alone

SCENE = scene("a", 600, 1500)
BLOCK = Alone(scene=SCENE, name="0-1", piece=Piece(scene=SCENE, blocks=((0, 1),)), pixels=1)
COMMIT = Alone(scene=SCENE, name="commit", piece=None, pixels=1)


def ended(code, stage="predict", *, seconds=1.0, no_memory=False):
    return Ended(stage=stage, code=code, seconds=seconds, deadline_s=900.0, no_memory=no_memory)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (ended(-signal.SIGSEGV), "died of signal SIGSEGV"),
        (ended(-signal.SIGKILL), "died of signal SIGKILL"),
        (ended(-signal.SIGABRT, "write"), "died of signal SIGABRT"),
        (ended(3, "read"), "ended with exit code 3"),
        (ended(0), "ended with exit code 0"),
        (ended(1, seconds=900.1), "came to no end within 900 s"),
        (ended(-signal.SIGKILL, seconds=960.0), "came to no end within 900 s"),
        # Somebody else's death for want of memory does not excuse a crash.
        (ended(-signal.SIGSEGV, no_memory=True), "died of signal SIGSEGV"),
    ],
)
def test_what_a_block_does_to_its_process_condemns_it(how, said):
    record = record_of_death(BLOCK, how)
    assert record.trouble.died
    assert (record.scene_id, record.blocks) == ("a", ("0-1",))
    aside = record.trouble
    assert (aside.stage, aside.block, aside.transient) == (how.stage, "0-1", False)
    assert aside.reason.endswith(said)
    assert "retry" in aside.hint


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (ended(-signal.SIGKILL, no_memory=True), "no memory left"),
        (ended(-signal.SIGTERM), "ended from outside (SIGTERM)"),
        (ended(-signal.SIGINT), "ended from outside (SIGINT)"),
        (ended(-signal.SIGSEGV, STARTING), "before it could do anything"),
        (ended(1, STARTING), "before it could do anything"),
    ],
)
def test_what_others_do_to_it_does_not(how, said):
    record = record_of_death(BLOCK, how)
    assert not record.trouble.died
    assert record.trouble.transient
    assert said in record.trouble.reason


def test_memory_has_a_hint():
    for record in (out_of_memory(BLOCK), record_of_death(BLOCK, ended(-signal.SIGKILL, no_memory=True))):
        assert record.trouble.transient
        assert "budget_gib" in record.trouble.hint


def test_a_check_window_is_of_no_block():
    check = Alone(scene=SCENE, name="check-2", piece=Piece(scene=SCENE, blocks=(), checks=(2,)), pixels=0)
    record = record_of_death(check, ended(-signal.SIGSEGV))
    assert (record.blocks, record.checks, record.trouble.block) == ((), ("check-2",), "check-2")


def test_a_commit_is_of_no_block():
    record = record_of_death(COMMIT, ended(-signal.SIGSEGV, "commit"))
    assert (record.blocks, record.trouble.stage, record.trouble.block) == ((), "commit", None)


def test_a_process_that_is_lost_each_time_says_nothing_of_the_scene():
    record = lost(COMMIT, "NodeDiedError")
    assert (record.trouble.stage, record.trouble.transient, record.trouble.died) == ("commit", True, False)
