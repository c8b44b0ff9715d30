"""The archive after a promotion: all of it, what is new, or where the two models differ."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from e2e.made import LOCAL, classes_package, markers, write_tiff
from nightly.judgements import against, decision, judgement
from nightly.nuclei import nightly_values

from encdec_batch.errors import SpecError
from encdec_batch.job.run import run
from encdec_batch.models.package import load_package
from encdec_batch.models.registry import add_package, promote
from encdec_batch.nightly.archive import check_archive, rerun, rerun_of
from encdec_batch.predict.array import predict_array
from encdec_batch.spec.load_nightly import parse_nightly_spec
from encdec_batch.store.open import open_store

pytestmark = pytest.mark.integration


GREY, SHARE = 45, 0.1
"""Of a scene of this grey fewer pixels come out otherwise by the second network than this, of noise more."""


def test_the_two_networks_are_as_the_others_here_take_them():
    one, other = (load_package(classes_package(seed=seed)) for seed in (0, 1))
    noise = np.random.default_rng(0).integers(0, 255, (1, 96, 96), np.uint8)
    grey = np.full((1, 96, 96), GREY, np.uint8)
    assert np.mean(predict_array(one, grey) != predict_array(other, grey)) < SHARE / 2
    assert np.mean(predict_array(one, noise) != predict_array(other, noise)) > 1.5 * SHARE


@pytest.fixture
def archive(tmp_path):
    """Two folders done by version 0; version 1 is promoted, and a scene is new."""
    registry = str(tmp_path / "registry")
    for seed in (0, 1):
        add_package(classes_package(seed=seed), registry)
    promote(f"{registry}/classes@0", "production")
    rng = np.random.default_rng(0)
    for name in ("noise/a", "noise/b"):
        write_tiff(tmp_path / f"in/{name}.tif", rng.integers(0, 255, (1, 96, 96), np.uint8))
    for name in ("grey/a", "grey/b"):
        write_tiff(tmp_path / f"in/{name}.tif", np.full((1, 96, 96), GREY, np.uint8))
    job = {
        "source": {"kind": "prefix", "uri": str(tmp_path / "in")},
        "model": {"package": f"{registry}/classes@production"},
        "output": {"uri": str(tmp_path / "out"), "files": [{"kind": "cog"}]},
        "tiling": {"core": 64},
        "compute": LOCAL,
    }
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(job))
    made = spec(tmp_path, "all")
    run(check_archive(made))
    promote(f"{registry}/classes@1", "production")
    write_tiff(tmp_path / "in/grey/new.tif", np.full((1, 96, 96), 3, np.uint8))
    return tmp_path


def spec(folder, policy):
    values = nightly_values(
        folder, archive={"spec": str(folder / "archive.yaml"), "policy": policy, "window": 64, "share": SHARE}
    )
    values["train"]["card"]["name"] = "classes"
    return parse_nightly_spec(values)


def promoted():
    made = decision(outcome="promoted", judgement=judgement(against=against("0")))
    return made.model_copy(update={"candidate": made.candidate.model_copy(update={"version": "1"})})


@pytest.mark.parametrize(
    ("policy", "again", "said"),
    [
        ("all", {"grey/a", "grey/b", "grey/new", "noise/a", "noise/b"}, "5 scenes computed by 1, 5 are there"),
        ("new", {"grey/new"}, "1 scenes computed by 1, 5 are there"),
        ("where_they_differ", {"grey/new", "noise/a", "noise/b"}, "differ in 1 of 2 folders"),
    ],
)
def test_what_is_computed_again(archive, policy, again, said):
    made, store = spec(archive, policy), open_store(str(archive / "nights"))
    before = markers(archive / "out")
    found = rerun(made, check_archive(made), store, promoted(), verbose=False)
    assert said in found.words
    assert rerun_of(store, "1") == found
    after = markers(archive / "out")
    done = {one.input.uri for name, one in after.items() if before.get(name) != one}
    assert {uri.rpartition("in/")[2].removesuffix(".tif") for uri in done} == again
    assert len(after) == 5
    # The same once more finds nothing to do.
    rerun(made, check_archive(made), store, promoted(), verbose=False)
    assert markers(archive / "out") == after


@pytest.mark.parametrize("policy", ["new", "where_they_differ"])
def test_a_file_that_was_replaced_is_computed_again_whatever_the_policy(archive, policy):
    write_tiff(archive / "in/grey/a.tif", np.full((1, 96, 96), GREY + 1, np.uint8))
    made, store = spec(archive, policy), open_store(str(archive / "nights"))
    before = markers(archive / "out")
    rerun(made, check_archive(made), store, promoted(), verbose=False)
    after = markers(archive / "out")
    again = {one.input.uri.rpartition("in/")[2] for name, one in after.items() if before.get(name) != one}
    assert "grey/a.tif" in again
    assert "grey/b.tif" not in again


def test_the_archive_must_be_of_production(archive):
    text = (archive / "archive.yaml").read_text()
    (archive / "archive.yaml").write_text(text.replace("@production", "@0"))
    with pytest.raises(SpecError, match="this job promotes"):
        check_archive(spec(archive, "all"))
