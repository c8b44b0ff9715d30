"""Aliases move only while they are what was judged against."""

from __future__ import annotations

import pytest
from models.registries import package_folder
from nightly.judgements import decision, judgement
from nightly.nuclei import nightly_values

from encdec_batch.errors import ModelError
from encdec_batch.models.registry import add_package, promote, rollback, show_model
from encdec_batch.nightly.production import production_alias, production_state
from encdec_batch.nightly.promote import judge_and_promote, nights_judged, settled, was_promoted
from encdec_batch.spec.load_nightly import parse_nightly_spec


@pytest.fixture
def spec(tmp_path):
    """Versions 1, 2 and 3 of nuclei, the first two were promoted."""
    registry = str(tmp_path / "registry")
    for version in ("1", "2", "3"):
        add_package(str(package_folder(tmp_path / "made", version)), registry)
    for version in ("1", "2"):
        promote(f"{registry}/nuclei@{version}", "production")
    return parse_nightly_spec(nightly_values(tmp_path))


def version(spec) -> str:
    return show_model(f"{spec.registry}/nuclei").aliases["production"].version


def judged(spec, state, lower=0.01):
    return judgement(lower, against=state.against)


def test_the_better_one_is_promoted_and_the_judgement_was_kept_before(spec):
    kept = []

    def announce(result):
        kept.append((result.outcome, version(spec)))

    result = judge_and_promote(spec, "3", lambda state: judged(spec, state), announce)
    assert result.outcome == "promoted"
    assert kept == [("promoting", "2")]
    assert version(spec) == "3"
    made = decision(outcome="promoting", judgement=result.judgement)
    digest = show_model(f"{spec.registry}/nuclei").aliases["production"].digest
    made = made.model_copy(update={"candidate": made.candidate.model_copy(update={"digest": digest})})
    assert was_promoted(made, production_alias(spec)), "a night that died here knows that it had moved the alias"
    assert not was_promoted(decision(outcome="promoting", judgement=result.judgement), production_alias(spec))


@pytest.mark.parametrize(("lower", "shadow", "outcome"), [(-0.01, False, "kept"), (0.01, True, "would_promote")])
def test_the_others_are_not(spec, lower, shadow, outcome):
    spec = spec.model_copy(update={"shadow": shadow})
    result = judge_and_promote(spec, "3", lambda state: judged(spec, state, lower), lambda _: pytest.fail("moved"))
    assert (result.outcome, version(spec)) == (outcome, "2")


def test_moved_while_it_was_judged_it_is_judged_again_against_what_is_there_now(spec):
    seen = []

    def judge(state):
        seen.append(state.alias[0].version)
        if len(seen) == 1:
            rollback(f"{spec.registry}/nuclei")
        return judged(spec, state)

    result = judge_and_promote(spec, "3", judge, lambda _: None)
    assert seen == ["2", "1"]
    assert result.outcome == "promoted"
    assert result.judgement.against.version == "1"
    assert "judged again: production was 2" in result.reasons[0]


def test_moved_there_and_back_is_moved(spec):
    def judge(state):
        if len(seen) == 0:
            rollback(f"{spec.registry}/nuclei")
            promote(f"{spec.registry}/nuclei@2", "production")
        seen.append(state.alias[0].version)
        return judged(spec, state)

    seen = []
    assert judge_and_promote(spec, "3", judge, lambda _: None).outcome == "promoted"
    assert seen == ["2", "2"]


def test_moved_again_and_again_it_gives_up(spec):
    def judge(state):
        other = "1" if state.alias[0].version == "2" else "2"
        promote(f"{spec.registry}/nuclei@{other}", "production")
        return judged(spec, state)

    with pytest.raises(ModelError, match="was moved 3 times while it was judged; nothing was changed"):
        judge_and_promote(spec, "3", judge, lambda _: None)
    assert version(spec) in ("1", "2")


def test_what_was_asked_of_a_person_and_done_is_a_promotion(spec):
    digest = show_model(f"{spec.registry}/nuclei").aliases["production"].digest
    made = decision().candidate.model_copy(update={"digest": digest, "version": "2"})
    asked = decision(outcome="no_production", judgement=None, candidate=made, reasons=("figure", "promote it"))
    done = settled(asked, production_alias(spec))
    assert done.outcome == "promoted"
    assert done.reasons == ("figure", "2 was promoted by a person; the next night begins with it")
    assert settled(asked, None) is None
    another = asked.model_copy(update={"candidate": made.model_copy(update={"digest": "e" * 64})})
    assert settled(another, production_alias(spec)) is None
    assert settled(done, production_alias(spec)) is None, "there is nothing open"


def test_nights_since_the_last_promotion_are_counted(spec):
    state = production_state(spec)
    assert state.against.promotion == 2

    def of(night, promotion):
        made = judgement(against=state.against.model_copy(update={"promotion": promotion}))
        return decision(night, judgement=made)

    found = [of("2026-11-20", 1), of("2026-11-21", 2), of("2026-11-22", 2)]
    found.append(decision("2026-11-23", "too_little", judgement=None))
    assert nights_judged(found, "2026-11-24", "another", state) == 3
    assert nights_judged(found, "2026-11-22", "another", state) == 2, "a night that is taken up again counts once"
    assert nights_judged(found, "2026-11-24", "q", state) == 1, "the same question once more is no other chance"
    # A rollback is no promotion: whoever was judged before it had a chance as well.
    rollback(f"{spec.registry}/nuclei")
    assert nights_judged(found, "2026-11-24", "another", production_state(spec)) == 3
    promote(f"{spec.registry}/nuclei@3", "production")
    assert nights_judged(found, "2026-11-24", "another", production_state(spec)) == 1
