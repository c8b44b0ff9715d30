"""The archive, kept up: all of it, what is new, or where what is in production differs from what lies there."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from e2e.made import LOCAL, classes_package, markers, write_tiff
from nightly.nuclei import nightly_values

from encdec_batch.errors import SpecError
from encdec_batch.job.run import run
from encdec_batch.models.package import load_package
from encdec_batch.models.registry import add_package, promote, rollback
from encdec_batch.nightly.archive import archive_run, keep_up
from encdec_batch.nightly.check import check_archive
from encdec_batch.nightly.production import production_state
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


def night(folder, policy) -> tuple[str, set[str]]:
    """Keeps the archive up once: what is said of it, and the scenes that were computed."""
    made, before = spec(folder, policy), markers(folder / "out")
    store = open_store(str(folder / "nights"))
    words = keep_up(made, check_archive(made), store, production_state(made), verbose=False)
    after = markers(folder / "out")
    done = {one.input.uri for name, one in after.items() if before.get(name) != one}
    return words, {uri.rpartition("in/")[2].removesuffix(".tif") for uri in done}


@pytest.mark.parametrize(
    ("policy", "again", "said"),
    [
        ("all", {"grey/a", "grey/b", "grey/new", "noise/a", "noise/b"}, "5 scenes computed by 1, 5 are there"),
        ("new", {"grey/new"}, "1 scenes computed by 1, 5 are there"),
        ("where_they_differ", {"grey/new", "noise/a", "noise/b"}, "differ in 1 of 2 folders"),
    ],
)
def test_what_is_computed_again(archive, policy, again, said):
    words, done = night(archive, policy)
    assert said in words
    assert done == again
    assert archive_run(open_store(str(archive / "nights")), 2).words == words
    assert len(markers(archive / "out")) == 5
    assert night(archive, policy)[1] == set(), "the same once more finds nothing to do"


@pytest.mark.parametrize("policy", ["all", "new", "where_they_differ"])
def test_every_night_does_what_is_new_though_nothing_was_promoted(archive, policy):
    night(archive, policy)
    write_tiff(archive / "in/grey/newer.tif", np.full((1, 96, 96), 4, np.uint8))
    words, done = night(archive, policy)
    assert done == {"grey/newer"}
    assert "1 scenes computed by 1, 6 are there" in words


def test_a_rollback_is_followed_as_well(archive):
    night(archive, "all")
    rollback(f"{archive}/registry/classes")
    words, done = night(archive, "all")
    assert len(done) == 5
    assert "5 scenes computed by 0" in words


def test_what_the_first_production_finds_is_computed_and_without_one_nothing(archive):
    (archive / "registry/classes/aliases/production.json").unlink()
    write_tiff(archive / "in/grey/newer.tif", np.full((1, 96, 96), 4, np.uint8))
    assert night(archive, "new") == ("", set())
    promote(f"{archive}/registry/classes@1", "production")
    assert night(archive, "new")[1] == {"grey/new", "grey/newer"}


def test_small_changes_of_one_version_after_another_add_up(archive):
    """What lies there is of version 0, and 1 never came to it. 2 says what 1 says, and not what lies there."""
    night(archive, "new")
    add_package(classes_package(seed=1, version="2"), f"{archive}/registry")
    promote(f"{archive}/registry/classes@2", "production")
    words, done = night(archive, "where_they_differ")
    assert done == {"noise/a", "noise/b"}
    assert "differ in 1 of 2 folders" in words


def test_a_folder_whose_model_is_gone_is_done_again(archive):
    for path in (archive / "registry/classes/versions").glob("0*"):
        path.unlink()
    assert night(archive, "where_they_differ")[1] == {"grey/a", "grey/b", "grey/new", "noise/a", "noise/b"}


@pytest.mark.parametrize("policy", ["new", "where_they_differ"])
def test_a_file_that_was_replaced_is_computed_again_whatever_the_policy(archive, policy):
    write_tiff(archive / "in/grey/a.tif", np.full((1, 96, 96), GREY + 1, np.uint8))
    done = night(archive, policy)[1]
    assert "grey/a" in done
    assert "grey/b" not in done


def test_the_archive_must_be_of_production(archive):
    text = (archive / "archive.yaml").read_text()
    (archive / "archive.yaml").write_text(text.replace("@production", "@0"))
    with pytest.raises(SpecError, match="this job promotes"):
        check_archive(spec(archive, "all"))
