"""Every state of the commit protocol within bounds; and that no rule of it can be left out."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from commit.protocol_model import Bounds, Explored, Explorer, Rules
from commit.protocol_state import Wish

pytestmark = pytest.mark.integration  # for its seconds: no server is needed

A, B, C = Wish("A"), Wish("B"), Wish("C")
MORE, OTHERS, REMOVED = Wish("A", ("png", "tif")), Wish("B", ("png", "tif")), Wish("A", ())

BOUNDS = {
    "a run overtaken": Bounds(runs=(A, B), readers=1, unanswered=2),
    "two files each": Bounds(runs=(MORE, OTHERS), readers=1, replans=0),
    "to another model and back, pruned": Bounds(runs=(B, A), committed=A, prunes=1, replans=0),
    "three models": Bounds(runs=(B, C, A), committed=A, committers=3, unanswered=0, replans=0),
    "one more output, pruned": Bounds(runs=(A, MORE), prunes=1, replans=0),
    "two kinds of device": Bounds(runs=(A,), devices=2, readers=1, prunes=1),
    "the input replaced": Bounds(runs=(A,), replacements=1, prunes=1),
    "removed and made again": Bounds(runs=(REMOVED, A), committed=A, prunes=1, readers=1, replans=0),
}


@cache
def explored(name: str) -> Explored:
    return Explorer(BOUNDS[name]).explore()


@pytest.mark.parametrize("name", BOUNDS)
def test_nothing_is_violated_in_any_state(name):
    found = explored(name)
    assert found.violation == "", "\n".join(found.trace)
    assert found.states > 1000


OLDER, GONE = "an older plan came back over a newer one", "the marker names a file that is not there"


@pytest.mark.parametrize(
    ("rule", "bounds", "violation"),
    [
        ("generation", "three models", OLDER),
        ("generation", "to another model and back, pruned", GONE),
        ("if_match", "a run overtaken", OLDER),
        ("digest", "two kinds of device", "the next run would take other bytes for its own"),
        ("lease_check", "a run overtaken", OLDER),
        ("no_new_etag", "the input replaced", OLDER),
        ("prune_by_generation", "to another model and back, pruned", GONE),
    ],
)
def test_without_a_rule_something_is(rule, bounds, violation):
    """The rules are those of the second table in docs/format.md, section "The steps of a commit"."""
    found = Explorer(BOUNDS[bounds], Rules(**{rule: False})).explore()
    assert found.violation == violation
    assert len(found.trace) > 4


def test_without_a_digest_a_marker_names_bytes_that_are_not_there():
    """The state that `check_goes_on` foresees, when it comes."""

    class Heedless(Explorer):
        def check_goes_on(self, state):
            pass

    found = Heedless(BOUNDS["two kinds of device"], Rules(digest=False)).explore()
    assert found.violation == "the marker names a file of other bytes"


def test_the_documents_say_how_many_states_were_visited():
    text = (Path(__file__).parents[2] / "docs" / "format.md").read_text()
    [(cases, states)] = re.findall(r"in (\d+) cases,\s+([\d,]+)\s+states", text)
    assert int(cases) == len(BOUNDS)
    assert int(states.replace(",", "")) == sum(explored(name).states for name in BOUNDS)
