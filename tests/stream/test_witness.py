"""What a witness writes of a run that died, and that it writes nothing of one that did not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from encdec_batch.commit.attempts import ATTEMPTS_PREFIX, count_death, read_attempts
from encdec_batch.store.open import open_store
from encdec_batch.stream.ledger import Work
from encdec_batch.stream.local_ledger import WitnessedLedger
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.witness import listen

START = ["start", "key", "0-0", "read", "scene"]
END = ["end", "key", "0-0", "read"]


@pytest.fixture
def store(tmp_path):
    return open_store(str(tmp_path / "out"))


def told(store, *words):
    listen(json.dumps(line).encode() + b"\n" for line in (["output", store.uri, {}], *words))
    return {place: (attempts.deaths, attempts.stage) for place, attempts in read_attempts(store).items()}


def test_what_was_open_at_the_end_is_marked(store, capsys):
    other = ["start", "key", "0-1", "predict", "scene"]
    assert told(store, START, other, END, ["start", "other", "0-0", "write", "second"]) == {
        ("key", "0-1"): (1, "predict"),
        ("other", "0-0"): (1, "write"),
    }
    said = capsys.readouterr().err
    assert "predict of scene, block 0-1 (death 1)" in said
    assert "write of second, block 0-0 (death 1)" in said


@pytest.mark.parametrize("first", ["read", "predict"])
def test_a_block_at_two_stages_at_once_has_died_once(store, first):
    """The reader ends a block while the network has it already."""
    stages = ["read", "predict"] if first == "read" else ["predict", "read"]
    starts = [["start", "key", "0-0", stage, "scene"] for stage in stages]
    assert told(store, *starts) == {("key", "0-0"): (1, "predict")}


def test_what_was_marked_before_counts_on(store):
    count_death(store, ("key", "0-0"), scene_id="scene", stage="write")
    assert told(store, START) == {("key", "0-0"): (2, "read")}


@pytest.mark.parametrize("words", [[START, END], [START, END, ["goodbye"]], [["goodbye"]], []])
def test_a_run_with_nothing_open_leaves_no_mark(store, words):
    assert told(store, *words) == {}


def test_a_goodbye_is_believed(store):
    assert told(store, START, ["goodbye"]) == {}


def test_a_line_that_was_cut_short_is_no_harm(store):
    lines = [json.dumps(line).encode() + b"\n" for line in (["output", store.uri, {}], START)]
    listen([*lines, b'["end", "key", "0-'])
    assert {place for place, _ in read_attempts(store).items()} == {("key", "0-0")}


def test_a_store_that_cannot_be_written_is_said(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    listen(json.dumps(line).encode() for line in (["output", str(tmp_path / "file" / "out"), {}], START))
    assert "could not be written" in capsys.readouterr().err


RUN = """
import os, sys
from encdec_batch.stream.ledger import Work
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.local_ledger import WitnessedLedger

ledger = WitnessedLedger(sys.argv[1], {}, Rules())
for block in ("0-0", "0-1"):
    assert not ledger.start(Work(place=("key", block), scene_id="scene", stage="predict", mpx=1.0)).held
ledger.end(Work(place=("key", "0-0"), scene_id="scene", stage="predict", mpx=1.0), 1.0)
"""


@pytest.mark.parametrize(
    ("end", "marked"), [("os._exit(9)", {("key", "0-1"): 1}), ("ledger.close()", {("key", "0-1"): 1})]
)
def test_a_process_that_dies_or_leaves_something_open_is_told_of(store, end, marked):
    """Something is open at the goodbye only where a thread was ended by SystemExit."""
    ended = subprocess.run(
        [sys.executable, "-c", RUN + end, store.uri], capture_output=True, text=True, timeout=60, check=False
    )
    assert "the run died while it was at predict of scene, block 0-1" in ended.stderr
    assert {place: attempts.deaths for place, attempts in read_attempts(store).items()} == marked


def test_a_ledger_makes_no_request_for_a_healthy_block(store):
    """One listing when it begins, and nothing after that: the folder need not even be there."""
    ledger = WitnessedLedger(store.uri, {}, Rules())
    work = Work(place=("key", "0-0"), scene_id="scene", stage="read", mpx=1.0)
    for _ in range(3):
        assert not ledger.start(work).held
        ledger.end(work, 1.0)
    ledger.close()
    assert list(store.list(ATTEMPTS_PREFIX)) == []
    assert not (store.uri and list(store.list()))


def test_a_ledger_goes_on_without_its_witness(store, caplog):
    ledger = WitnessedLedger(store.uri, {}, Rules())
    work = Work(place=("key", "0-0"), scene_id="scene", stage="read", mpx=1.0)
    ledger.start(work)
    witness = ledger._witness
    witness.kill()
    witness.wait()
    for _ in range(3):
        ledger.end(work, 1.0)
        assert not ledger.start(work).held
    ledger.close()
    assert [record.getMessage() for record in caplog.records] == ["witness.gone"]
