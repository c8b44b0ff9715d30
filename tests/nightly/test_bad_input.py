"""What is wrong is one line, and no night begins with it."""

from __future__ import annotations

import pytest
import yaml
from e2e.made import command
from models.registries import package_folder
from nightly.nuclei import nightly_values
from train.made import write_pairs

from encdec_batch.models.alias import alias_path
from encdec_batch.models.registry import add_package, promote
from encdec_batch.models.version import version_path
from encdec_batch.store.open import open_store

NIGHT = ("--night", "2026-11-28")


@pytest.fixture
def folder(tmp_path):
    write_pairs(tmp_path, 12)
    return tmp_path


def nightly(folder, *more, **changes):
    path = folder / "nightly.yaml"
    path.write_text(yaml.safe_dump(nightly_values(folder, **changes)))
    return command("nightly", path, *NIGHT, *more)


def refused(ended, code, *said):
    assert ended.code == code, ended.stderr
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: ")
    assert "Traceback" not in ended.stderr
    for one in said:
        assert one in ended.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train__data__split": {"kind": "hash"}}, "train.data.split"),
        ({"train__card__version": "1"}, "train.card.version: unknown key"),
        ({"train__network__parent": "x"}, "train.network.parent has no effect"),
        ({"judge__metric": "psnr"}, "judge.metric psnr is not for a target of kind mask"),
        ({"judge__metric": "iou/nuclei"}, "judge names the class 'nuclei'; there are background, nucleus"),
        ({"judge__class_guards": {"cell": 0.1}}, "judge names the class 'cell'"),
        ({"judge__groups": {"kind": "column", "column": "x"}}, "needs train.data.train.kind table"),
        ({"split__by": "group"}, "split.by group needs a table"),
        ({"split__held_out": 0.6, "split__audit": 0.5}, "leave nothing to learn from"),
        ({"new_scene": 3}, "new_scene: unknown key, did you mean new_scenes?"),
        ({"judge__confidence": 1.0}, "judge.confidence"),
    ],
)
def test_a_spec_that_is_none(folder, changes, said):
    refused(nightly(folder, **changes), 2, said)
    assert not (folder / "nights").exists()


def test_a_night_that_is_no_date(folder):
    refused(nightly(folder, "--night", "tomorrow"), 2, "is no date", "YYYY-MM-DD")


def test_no_held_out_scene(folder):
    then = "production was not changed; with the spec corrected, --night 2026-11-28 goes on where this try was"
    ended = nightly(folder, split__held_out=0.001)
    refused(ended, 2, "none of 12 labelled scenes is held out", f"night 2026-11-28: {then}")
    path = folder / "nights/nights/2026-11-28/index.html"
    assert ended.stderr.endswith(f"page     file://{path}\n")
    page = path.read_text()
    assert "failed" in page
    assert "none of 12 labelled scenes is held out" in page
    assert f"{then} (until 2026-11-29 12:00 UTC the same command does without it)" in page


def test_too_few_held_out_scenes_are_no_fault(folder):
    ended = nightly(folder, judge__least_scenes=12)
    assert ended.code == 0, ended.stderr
    assert [line.strip() for line in ended.stdout.splitlines()[:-1]] == [
        "night 2026-11-28: not decided",
        "4 held-out scenes can be judged on, 12 are asked for (judge.least_scenes)",
        "5 scenes to learn from are new, 8 are asked for (new_scenes)",
        "nothing was trained",
    ]


def test_bands_that_do_not_fit_are_told_before_there_are_labels_enough(folder):
    ended = nightly(folder, train__card__bands=["red"], train__network__arguments={"width": 4, "in_channels": 2})
    refused(
        ended,
        2,
        "train.card.bands names 1 band (red); train.network.arguments.in_channels is 2; the network sees 3",
        "in train.data.train.bands",
        "And there are not labels enough: 4 held-out scenes can be judged on, 6 are asked for",
        "8 are asked for (new_scenes)",
    )
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no image")
    assert nightly(folder, train__card__bands=["red"]).code == 0, "of files that cannot be opened nothing is known"


def test_a_guard_of_a_group_that_is_not_there(folder):
    ended = nightly(folder, judge__group_guards={"north": 0.01})
    refused(ended, 2, "no labelled scene is of the group 'north'")


def test_labels_that_are_not_there(folder):
    refused(nightly(folder, train__data__train__images=str(folder / "nowhere")), 2, "nowhere")


def test_an_alias_that_names_a_version_which_is_not_there(folder):
    registry = str(folder / "registry")
    add_package(str(package_folder(folder / "made", "1")), registry)
    promote(f"{registry}/nuclei@1", "production")
    store = open_store(registry)
    store.delete([version_path("nuclei", "1")])
    refused(nightly(folder, judge__least_scenes=2), 1, "nuclei has no version 1")
    store.put(alias_path("nuclei", "production"), b"{")
    refused(nightly(folder, judge__least_scenes=2), 1, "production.json: is damaged")


def test_another_split_than_that_of_the_first_night(folder):
    assert nightly(folder, judge__least_scenes=12).code == 0
    refused(nightly(folder, split__held_out=0.5), 2, "held_out was 0.3, is 0.5", "fixed for ever")


@pytest.mark.parametrize(
    ("package", "said"), [("packages/nuclei", "its model is"), ("REGISTRY/nuclei@1", "this job promotes")]
)
def test_an_archive_of_another_model(folder, package, said):
    job = {
        "source": {"kind": "prefix", "uri": "images"},
        "model": {"package": package.replace("REGISTRY", str(folder / "registry"))},
        "output": {"uri": "out"},
    }
    (folder / "archive.yaml").write_text(yaml.safe_dump(job))
    ended = nightly(folder, archive={"spec": "archive.yaml"})
    refused(ended, 2, "archive.spec", said, f"{folder}/registry/nuclei@production")


def test_an_archive_that_is_no_job(folder):
    (folder / "archive.yaml").write_text("source: {kind: prefix}\n")
    refused(nightly(folder, archive={"spec": "archive.yaml"}), 2, "archive.yaml is not a job", "source.uri")
    refused(nightly(folder, archive={"spec": "archiv.yaml"}), 2, "cannot read the spec")
