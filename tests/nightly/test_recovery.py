"""A night that dies at any of its writes, is stopped, or fails: what the same night makes of it, and what the next."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from e2e.made import LOCAL, markers
from nightly.nuclei import nightly_values
from train.made import picture, write_pairs, write_png

from encdec_batch.errors import EncdecError, SpecError
from encdec_batch.models.registry import promote, show_model
from encdec_batch.nightly.records import read_decision
from encdec_batch.nightly.run import Night, run_night
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.store.local import LocalStore
from encdec_batch.store.open import open_store

pytestmark = pytest.mark.integration

NIGHT, NEXT = "2026-11-28", "2026-11-29"
VERSION = "2026.11.28"
TOLD = f"decisions/{NIGHT}.json"
ALIAS = "nuclei/aliases/production.json"


class Killed(BaseException):
    """What ends a process leaves nobody to catch it."""


@contextmanager
def killed_at(number: int | None):
    """Nothing is written any more from the write of this number on; gives the paths of the writes before.

    Left alone are the lease, which a dead process does not hold, and the archive's own output.
    """
    writes: list[str] = []

    def fatal(real):
        def write(self, path, *arguments, **options):
            if ".encdec/" in str(path) or self.uri.endswith("/out"):
                return real(self, path, *arguments, **options)
            if number is not None and len(writes) >= number:
                raise Killed
            writes.append(str(path))
            return real(self, path, *arguments, **options)

        return write

    with pytest.MonkeyPatch.context() as patch:
        for name in ("create", "put", "replace"):
            patch.setattr(LocalStore, name, fatal(getattr(LocalStore, name)))
        yield writes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Production is of one step; what is labelled since makes a better one. An archive of two images waits."""
    folder = tmp_path_factory.mktemp("nights") / "made"
    write_pairs(folder, 24, height=48, width=48)
    write_png(folder / "in/a.png", picture(100, 48, 48))
    job = {
        "source": {"kind": "prefix", "uri": str(folder / "in")},
        "model": {"package": f"{folder}/registry/nuclei@production"},
        "output": {"uri": str(folder / "out"), "files": [{"kind": "cog"}]},
        "tiling": {"core": 64},
        "compute": LOCAL,
    }
    (folder / "archive.yaml").write_text(yaml.safe_dump(job))
    assert live(folder, "2026-11-27", train__learn__steps=1).decision.outcome == "no_production"
    promote(f"{folder}/registry/nuclei@candidate", "production")
    write_pairs(folder, 12, first=24, height=48, width=48)
    shutil.copytree(folder, folder.with_name("before"))
    with killed_at(None) as writes:
        live(folder)
    # As it was when everything was trained: what comes then is quickly done.
    restored(folder, "before")
    with pytest.raises(Killed), killed_at(writes.index("nuclei/aliases/candidate.json")):
        live(folder)
    shutil.copytree(folder, folder.with_name("trained"))
    with killed_at(None) as writes:
        ended = live(folder)
    assert ended.decision.outcome == "promoted"
    return folder, ended, writes


def spec_of(folder: Path, **changes):
    values = {
        "new_scenes": 4,
        "split": {"held_out": 0.3, "audit": 0.1, "audit_scenes": 2},
        "judge": {"least_scenes": 4, "confidence": 0.8, "resamples": 500, "pictures": 2},
        "archive": {"spec": str(folder / "archive.yaml"), "policy": "all"},
        "train__learn__steps": 30,
        "train__checkpoint_every": 30,
        "train__data__sampling": {"crop": 32, "weight": "scene", "samples": 64},
    }
    return parse_nightly_spec(nightly_values(folder, **values | changes))


def live(folder: Path, night: str = NIGHT, **changes) -> Night:
    return run_night(spec_of(folder, **changes), night, wait_s=0)


def restored(folder: Path, what: str) -> Path:
    """As it was then, under the same names and with the same times."""
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name(what), folder)
    return folder


def production(folder: Path) -> str:
    return show_model(f"{folder}/registry/nuclei").aliases["production"].version


def page(folder: Path, night: str = NIGHT) -> str:
    return (folder / f"nights/nights/{night}/index.html").read_text()


def listed(folder: Path) -> list[str]:
    """Rows of the list of nights."""
    return [row for row in (folder / "nights/index.html").read_text().split("<tr>") if "index.html" in row]


def test_killed_at_any_write_after_its_training_the_same_night_ends_as_if_nothing_had_been(made):
    folder, whole, writes = made
    assert {ALIAS, TOLD, "index.html", f"nights/{NIGHT}/index.html", "archive/2.json"} <= set(writes)
    for number in range(len(writes)):
        restored(folder, "trained")
        with pytest.raises(Killed), killed_at(number):
            live(folder)
        ended, where = live(folder), f"before write {number}, {writes[number]}"
        assert ended.decision.judgement == whole.decision.judgement, where
        assert (production(folder), ended.decision.outcome) == (VERSION, "promoted"), where
        text = page(folder)
        assert all(f"{row.candidate:.4f}" in text for row in ended.decision.judgement.overall), where
        assert text.count('src="data:image/') == 2 * 4, where
        assert ended.archive in text, where
        assert f"computed by {VERSION}, 1 are there" in ended.archive, where
        assert 'class="chip promoted"' in listed(folder)[0], where
        assert {one.summary["model"] for one in markers(folder / "out").values()} == {f"nuclei {VERSION}"}, where


def test_a_candidate_that_was_to_be_promoted_is_taken_up_by_the_next_night(made):
    folder, whole, writes = made
    restored(folder, "trained")
    with pytest.raises(Killed), killed_at(writes.index(ALIAS)):
        live(folder)
    assert read_decision(open_store(f"{folder}/nights"), NIGHT).outcome == "promoting"
    ended = live(folder, NEXT).decision
    assert (ended.outcome, ended.candidate.version, production(folder)) == ("promoted", VERSION, VERSION)
    assert ended.judgement.overall == whole.decision.judgement.overall
    assert ended.judgement.bound == whole.decision.judgement.bound, "no other chance, and no other bound"
    assert "judged again" in ended.reasons[0]
    assert not list((folder / f"nights/nights/{NEXT}").glob("training-*"))


def test_a_promotion_whose_night_died_is_recorded_by_the_next_night(made):
    folder, _, writes = made
    restored(folder, "trained")
    with pytest.raises(Killed), killed_at(writes.index(ALIAS) + 1):
        live(folder)
    store = open_store(f"{folder}/nights")
    assert (read_decision(store, NIGHT).outcome, production(folder)) == ("promoting", VERSION)
    ended = live(folder, NEXT)
    assert ended.decision.outcome == "too_little"
    assert read_decision(store, NIGHT).outcome == "promoted"
    assert 'class="chip promoted"' in page(folder)
    assert len(listed(folder)) == 3
    assert f"1 scenes computed by {VERSION}" in ended.archive, "the archive follows production, whoever moved it"


def test_what_was_better_in_shadow_is_promoted_when_the_shadow_ends(made):
    folder, _, _ = made
    restored(folder, "before")
    assert live(folder, shadow=True).decision.outcome == "would_promote"
    assert live(folder, NEXT, shadow=True).decision.outcome == "asked_before"
    ended = live(folder, "2026-11-30").decision
    assert (ended.outcome, production(folder)) == ("promoted", VERSION)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a wheel came off")])
def test_a_night_that_is_stopped_or_fails_unforeseen_says_so_on_its_page(made, error):
    folder, _, _ = made
    restored(folder, "before")
    live(folder, train__learn__steps=1, new_scenes=30)
    before = page(folder)

    def report(_):
        raise error

    with pytest.raises(type(error)) as raised:
        run_night(spec_of(folder), NIGHT, report=report, wait_s=0)
    text = page(folder)
    *_, said, where = raised.value.__notes__
    assert said.startswith(f"night {NIGHT}: production was not changed; --night {NIGHT} goes on where this try was")
    assert said.partition(": ")[2] in text
    assert where == f"page     file://{folder}/nights/nights/{NIGHT}/index.html"
    assert text != before
    assert 'class="chip failed"' in text
    assert ("a wheel came off" if isinstance(error, RuntimeError) else "SIGTERM") in text
    assert live(folder).decision.outcome == "promoted"


def test_what_cannot_be_cleared_up_is_said_and_fails_no_night(made):
    folder, _, _ = made
    restored(folder, "trained")
    (folder / "registry/nuclei/versions/broken.json").write_text("{")
    ended = live(folder)
    assert ended.decision.outcome == "promoted"
    assert "what is old could not be deleted" in page(folder)
    assert ended.archive in page(folder)


def test_the_archive_is_kept_up_by_a_night_that_finds_too_little_and_by_one_that_fails(made):
    folder, _, _ = made
    restored(folder, "before")
    ended = live(folder, new_scenes=30)
    assert (ended.decision.outcome, ended.archive.count("1 scenes computed")) == ("too_little", 1)
    write_png(folder / "in/b.png", picture(101, 48, 48))
    with pytest.raises(SpecError, match="fixed for ever"):
        live(folder, NEXT, split__held_out=0.5)
    assert len(markers(folder / "out")) == 2
    assert "2 are there" in page(folder, NEXT)


def test_an_archive_that_cannot_be_run_fails_the_night_after_its_decision(made):
    folder, _, _ = made
    restored(folder, "before")
    shutil.rmtree(folder / "in")
    with pytest.raises(EncdecError) as raised:
        live(folder, new_scenes=30)
    assert (
        f"night {NIGHT}: too few new scenes, which holds; the next night runs the archive" in raised.value.__notes__[0]
    )
    assert "the archive could not be run" in page(folder)
    assert "too few new scenes" in page(folder)
