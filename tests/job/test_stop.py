"""When a run gives up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encdec_batch.errors import RunStopped
from encdec_batch.job.stop import AT_LEAST, FIRST, IN_A_ROW, Stop
from encdec_batch.pipeline import Cost, Record
from encdec_batch.plan.scene import SetAside


def good(name, *, committed=True):
    return Record(scene_id=name, blocks=("0-0",), cost=Cost(), committed=committed)


def aside_of(name, stage, *, transient=False, died=False):
    return SetAside(scene_id=name, uri=name, stage=stage, reason="it is bad", hint="", transient=transient, died=died)


def bad(name, stage="predict", *, transient=False, died=False):
    aside = aside_of(name, stage, transient=transient, died=died)
    return Record(scene_id=name, blocks=("0-0",), cost=Cost(), trouble=aside)


def stops(*records):
    """Number of records after which a run stops; None: it does not."""
    stop = Stop()
    for number, record in enumerate(records, 1):
        stop.note(record)
        try:
            stop.check()
        except RunStopped:
            return number
    return None


def test_ten_in_a_row():
    assert stops(*(bad(f"s{n}") for n in range(20))) == IN_A_ROW


def test_what_is_done_in_between_begins_the_row_anew():
    records = [bad(f"s{n}") for n in range(9)] + [good("good")] + [bad(f"t{n}") for n in range(9)]
    assert stops(*records) is None
    assert stops(*records, bad("last")) == 20  # and 20 are too many among 21, whatever their order


def test_a_block_is_no_scene_that_is_done():
    """Certificates that fail for scene after scene, behind blocks that are all well; also late in a run."""
    early = [good(f"g{n}") for n in range(FIRST + 1)]
    late = [record for n in range(20) for record in (*(good(f"b{n}", committed=False) for _ in range(4)), bad(f"b{n}"))]
    assert stops(*early, *late) == len(early) + 5 * IN_A_ROW


def test_many_blocks_of_one_scene_are_one():
    assert stops(*(bad("same") for _ in range(50))) is None


@pytest.mark.parametrize("stage", ["plan", "read", "statistics"])
def test_what_cannot_be_read_does_not_count(stage):
    assert stops(*(bad(f"s{n}", stage) for n in range(50))) is None


def test_what_took_its_process_down_counts_in_a_read_as_well():
    assert stops(*(bad(f"s{n}", "read", died=True) for n in range(50))) == IN_A_ROW


@pytest.mark.parametrize(("died", "stops_at"), [(True, IN_A_ROW), (False, None)])
def test_headers_count_where_they_took_their_process_down(died, stops_at):
    stop = Stop()
    for number in range(1, 50):
        stop.note_aside(aside_of(f"s{number}", "plan", died=died))
        try:
            stop.check()
        except RunStopped:
            assert number == stops_at
            return
    assert stops_at is None


def test_what_is_no_property_of_a_scene_does_not_count():
    assert stops(*(bad(f"s{n}", transient=True) for n in range(50))) is None


def test_what_is_planned_again_does_not_count():
    """A conflict of commits: somebody else was there first."""
    assert stops(*(replace(bad(f"s{n}", "commit"), replan=True) for n in range(50))) is None


def mixed(num, *, every):
    """Scenes of which each n-th is condemned."""
    return [bad(f"s{n}") if n % every == 0 else good(f"s{n}") for n in range(1, num + 1)]


def test_a_share_of_the_first_thousand():
    assert stops(*mixed(3000, every=30)) is None
    # A tenth: 20 of 200; a seventeenth, which is above 5 %: 20 of 340.
    assert stops(*mixed(3000, every=10)) == AT_LEAST * 10
    assert stops(*mixed(3000, every=17)) == AT_LEAST * 17
    late = [good(f"g{n}") for n in range(FIRST)] + mixed(1000, every=3)
    assert stops(*late) is None


def test_it_says_what_to_do():
    stop = Stop()
    for number in range(IN_A_ROW):
        stop.note(bad(f"s{number}"))
    with pytest.raises(RunStopped, match=r"10 in a row of 10 scenes .* probably not the data; .*retry"):
        stop.check()
