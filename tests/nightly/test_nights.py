"""Nights on real nuclei that arrive in portions: too few, poisoned, better, killed, rolled back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from nightly.nuclei import NUCLEI, deliver, nightly_values

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.errors import LeaseHeld
from encdec_batch.models.lineage import read_lineage
from encdec_batch.models.package import load_package
from encdec_batch.models.registry import promote, rollback, show_model
from encdec_batch.nightly.find import find_labels
from encdec_batch.nightly.run import Night, run_night
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.store.open import open_store

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not NUCLEI.exists(), reason="../shared/data/dsb2018_nuclei is not there"),
]
MODEL = "registry/nuclei"
BETTER = "2026-11-27"


@dataclass
class Lived:
    """Some nights, and what was there after each of them."""

    folder: Path
    nights: dict[str, Night] = field(default_factory=dict)
    production: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    weights: bytes = b""
    """Of what the better night made."""

    def live(self, what: str, night: str, **changes) -> Night:
        spec = parse_nightly_spec(nightly_values(self.folder, **changes))
        ended = self.nights[what] = run_night(spec, night, wait_s=0)
        self.production[what] = version_in(self.folder)
        self.pages[what] = (self.folder / f"nights/nights/{night}/index.html").read_text()
        return ended


def version_in(folder: Path, alias: str = "production") -> str:
    found = show_model(f"{folder}/{MODEL}").aliases
    return found[alias].version if alias in found else ""


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Lived:
    made = Lived(folder=tmp_path_factory.mktemp("nights"))
    folder = made.folder
    deliver(folder, "monday", 0, 40)
    made.live("first", "2026-11-23", train__learn__steps=20)
    promote(f"{folder}/{MODEL}@candidate", "production")
    made.live("first again", "2026-11-23", train__learn__steps=20)
    deliver(folder, "tuesday", 40, 3)
    made.live("too little", "2026-11-24")
    deliver(folder, "wednesday", 43, 30, poisoned=True)
    made.live("poisoned", "2026-11-25")
    made.live("poisoned still", "2026-11-26")
    # The labels are corrected, and there are more.
    deliver(folder, "wednesday", 43, 60)
    shutil.copytree(folder, folder.with_name("before"))
    made.live("better", BETTER)
    made.weights = load_package(f"{folder}/{MODEL}@production").weights
    made.live("better again", BETTER)
    return made


def test_without_a_production_the_candidate_waits_for_a_person(lived):
    ended, page = lived.nights["first"].decision, lived.pages["first"]
    assert ended.outcome == "no_production"
    assert "models promote" in ended.reasons[-1]
    assert lived.production["first"] == ""
    # By what a person sees of it.
    assert 0 < ended.alone.overall[0].candidate < 1
    assert all(f"{row.candidate:.4f}" in page for row in (*ended.alone.overall, *ended.alone.classes))
    assert page.count('src="data:image/') == 4 * 3


def test_the_same_night_goes_on_from_the_promotion_that_it_asked_for(lived):
    asked, again = lived.nights["first"].decision, lived.nights["first again"]
    assert (again.decision.outcome, again.already) == ("promoted", True)
    assert again.decision.alone == asked.alone
    assert "was promoted by a person" in again.decision.reasons[-1]
    assert "models promote" not in lived.pages["first again"]
    assert "models rollback" not in lived.pages["first again"], "there is none before it"


def test_too_little_is_said_and_nothing_is_trained(lived):
    ended = lived.nights["too little"]
    assert ended.decision.outcome == "too_little"
    assert ended.decision.counts.new < 8
    assert "are new since the last promotion, 8 are asked for" in lived.pages["too little"]
    assert not list((lived.folder.with_name("before") / "nights/nights/2026-11-24").glob("training-*"))


def test_poisoned_labels_are_not_promoted(lived):
    """Among themselves they gain, as what is held out of them is as wrong; on the scenes that were there before they
    lose more than they may.
    """
    decision = lived.nights["poisoned"].decision
    assert decision.outcome == "kept"
    assert lived.production["poisoned"] == lived.production["too little"] == "2026.11.23"
    rows = {row.name: row for row in decision.judgement.groups}
    assert rows["wednesday"].candidate > rows["wednesday"].production
    assert rows["(there at the last promotion)"].broken
    assert any("(there at the last promotion) falls from" in reason for reason in decision.reasons)
    assert version_in(lived.folder.with_name("before"), "candidate") == "2026.11.25"


def test_the_same_question_is_not_asked_twice(lived):
    ended = lived.nights["poisoned still"].decision
    assert ended.outcome == "asked_before"
    assert "night of 2026-11-25" in ended.reasons[0]


def test_a_better_one_is_promoted(lived):
    decision = lived.nights["better"].decision
    assert decision.outcome == "promoted"
    assert lived.production["better"] == decision.candidate.version == "2026.11.27"
    bound = decision.judgement.bound
    # A second night since the promotion is asked for more.
    assert (bound.nights, bound.level) == (2, pytest.approx(0.975))
    assert 0 < bound.lower <= bound.observed <= bound.upper
    again = lived.nights["better again"]
    assert again.already
    assert again.decision == decision


def test_the_page_shows_what_was_decided(lived):
    page, decision = lived.pages["better"], lived.nights["better"].decision
    assert "Content-Security-Policy" in page
    assert all(f"{row.candidate:.4f}" in page for row in decision.judgement.overall)
    assert page.count('src="data:image/') == 4 * 4
    assert decision.candidate.digest in page
    assert "encdec-batch models rollback" in page
    assert decision.judgement.audit_scenes > 0
    overview = (lived.folder.with_name("before") / "nights/index.html").read_text()
    assert overview.index("2026-11-26") < overview.index("2026-11-23")


def restored(lived) -> Path:
    """As it was before the night in which the better one is made, under the same names and with the same times."""
    shutil.rmtree(lived.folder)
    shutil.copytree(lived.folder.with_name("before"), lived.folder)
    return lived.folder


def killed(folder: Path, number: int, when: str, night: str) -> None:
    spec = folder / "nightly.yaml"
    spec.write_text(yaml.safe_dump(nightly_values(folder)))
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), str(number), when]
    words = [*program, "nightly", str(spec), "--night", night]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


WRITES = 51
"""Of such a night, but for its lease."""
KILLS = sorted(random.Random(2026).sample(range(1, WRITES + 1), 2))


@pytest.mark.parametrize(("number", "when"), [(KILLS[0], "after"), (KILLS[1], "before")])
def test_killed_anywhere_the_same_night_goes_on_to_the_same_decision(lived, number, when):
    folder, wanted = restored(lived), lived.nights["better"].decision
    killed(folder, number, when, BETTER)
    assert version_in(folder) in ("2026.11.23", wanted.candidate.version)
    load_package(f"{folder}/{MODEL}@production")
    ended = run_night(parse_nightly_spec(nightly_values(folder)), BETTER, wait_s=0)
    assert ended.decision.outcome == "promoted"
    assert load_package(f"{folder}/{MODEL}@production").weights == lived.weights
    assert ended.decision.judgement.overall == wanted.judgement.overall
    assert version_in(folder) == wanted.candidate.version
    page = Path(ended.page.removeprefix("file://")).read_text()
    assert all(f"{row.candidate:.4f}" in page for row in wanted.judgement.overall)
    assert page.count('src="data:image/') == 4 * 4
    assert BETTER in (folder / "nights/index.html").read_text()


def test_a_night_that_is_given_up_leaves_production_and_the_next_night_clean(lived):
    """Killed among its checkpoints, and never taken up again. Then: promoted, rolled back, and a quiet night."""
    folder = restored(lived)
    killed(folder, 8, "before", BETTER)
    assert list((folder / f"nights/nights/{BETTER}").glob("training-*/checkpoints/*"))
    assert version_in(folder) == "2026.11.23"
    spec = parse_nightly_spec(nightly_values(folder))
    ended = run_night(spec, "2026-11-28", wait_s=0)
    assert ended.decision.outcome == "promoted"
    # Another version, of the same weights.
    theirs = lived.nights["better"].decision
    assert ended.decision.judgement.overall == theirs.judgement.overall
    assert ended.decision.judgement.bound.nights == 2

    moved = rollback(f"{folder}/{MODEL}")
    assert moved.alias.version == version_in(folder) == "2026.11.23"
    quiet = run_night(spec, "2026-11-29", wait_s=0).decision
    assert (quiet.outcome, quiet.counts.new) == ("too_little", 0), "what was rolled back is not made once more"
    assert version_in(folder) == "2026.11.23"


def test_a_held_out_scene_that_is_labelled_anew_never_drifts_into_training(lived):
    """Every scene that any version learned from was on the training side in the first night too."""
    folder = restored(lived)
    decision = lived.nights["first"].decision
    lineage = read_lineage(open_store(f"{folder}/registry"), "nuclei", decision.candidate.digest)
    spec = parse_nightly_spec(nightly_values(folder))

    def sides():
        return {one.key: (one.side, one.fingerprint) for one in find_labels(spec).scenes}

    before = sides()
    assert lineage.scenes.keys() <= before.keys()
    deliver(folder, "monday", 0, 40, poisoned=True)
    after = sides()
    assert {key: side for key, (side, _) in before.items()} == {key: side for key, (side, _) in after.items()}
    changed = {key for key in before if before[key] != after[key]}
    assert len(changed) == 40


def test_two_nights_do_not_overlap(lived):
    folder = restored(lived)
    spec = parse_nightly_spec(nightly_values(folder))
    with (
        acquire_lease(open_store(spec.output.uri), HolderInfo.current("night-2026-11-26")),
        pytest.raises(LeaseHeld, match="is being written by run night-2026-11-26"),
    ):
        run_night(spec, BETTER, wait_s=0)


def test_a_shadow_decides_and_moves_nothing(lived):
    folder = restored(lived)
    aliases = {path.name: path.read_bytes() for path in (folder / f"{MODEL}/aliases").iterdir()}
    ended = run_night(parse_nightly_spec(nightly_values(folder, shadow=True)), BETTER, wait_s=0)
    assert ended.decision.outcome == "would_promote"
    assert {path.name: path.read_bytes() for path in (folder / f"{MODEL}/aliases").iterdir()} == aliases
    assert "shadow: no alias is moved" in Path(ended.page.removeprefix("file://")).read_text()
