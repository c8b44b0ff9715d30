"""Versions that are taken out of a registry, and the moments at which somebody dies or promotes."""

from __future__ import annotations

import pytest
from models.registries import Place, package_folder

from encdec_batch.errors import ModelError, ObjectMissing
from encdec_batch.models.lineage import Lineage, lineage_path, read_lineage, write_lineage
from encdec_batch.models.package import load_package
from encdec_batch.models.registry import add_package, promote, show_model
from encdec_batch.models.retire import retire, retired_path, sweep
from encdec_batch.models.version import read_version, record_bytes, version_path


@pytest.fixture
def place(tmp_path):
    found = Place(uri=str(tmp_path / "registry"))
    for version in ("1", "2"):
        digest = add_package(str(package_folder(tmp_path / "made", version)), found.uri).version.digest
        write_lineage(found.store, Lineage(name="nuclei", digest=digest, night="2026-11-28", scenes={"a": "1"}))
    promote(f"{found.uri}/nuclei@1", "production")
    return found


def version(place, name="2"):
    return read_version(place.store, "nuclei", name)


def test_a_retired_version_is_found_by_nobody_and_its_files_go_later(place):
    retired = version(place)
    retire(place.store, retired)
    with pytest.raises(ModelError, match="nuclei has no version 2"):
        load_package(f"{place.uri}/nuclei@2")
    assert [one.version for one in show_model(f"{place.uri}/nuclei").versions] == ["1"]
    assert sweep(place.store, "nuclei") == ()
    assert place.store.get(f"{retired.folder}/card.json")
    assert sweep(place.store, "nuclei", grace_s=0) == ("2",)
    left = place.names()
    assert not [path for path in left if retired.digest in path or "retired" in path]
    assert load_package(f"{place.uri}/nuclei@production").card.version == "1"
    assert read_lineage(place.store, "nuclei", version(place, "1").digest).scenes == {"a": "1"}


def test_who_was_about_to_name_it_gets_it_back(place):
    """Found before the record was deleted, named after: an alias with a name for nothing, until the next sweep."""
    retired = version(place)
    copy = (place.store.get(version_path("nuclei", "2")), retired)
    retire(place.store, retired)
    place.store.create(version_path("nuclei", "2"), copy[0])
    promote(f"{place.uri}/nuclei@2", "candidate")
    place.store.delete([version_path("nuclei", "2")])
    assert sweep(place.store, "nuclei", grace_s=0) == ()
    assert load_package(f"{place.uri}/nuclei@candidate").card.version == "2"
    assert sweep(place.store, "nuclei", grace_s=0) == ()
    assert version(place) == retired


def test_a_death_between_copy_and_deletion_is_made_good(place):
    retired = version(place)
    place.store.create(retired_path(retired), record_bytes(retired))
    assert sweep(place.store, "nuclei", grace_s=0) == ()
    assert version(place) is None
    assert load_package(f"{place.uri}/{retired.folder}/").card.version == "2", "its files have their time from now on"
    assert sweep(place.store, "nuclei", grace_s=0) == ("2",)


def test_a_death_among_the_files_is_made_good(place):
    retired = version(place)
    retire(place.store, retired)
    place.store.delete([f"{retired.folder}/card.json"])
    assert sweep(place.store, "nuclei", grace_s=0) == ("2",)
    with pytest.raises(ObjectMissing):
        place.store.info(lineage_path("nuclei", retired.digest))


def test_what_was_added_anew_stays(place):
    retired = version(place)
    retire(place.store, retired)
    anew = retired.model_copy(update={"added": retired.added + 1})
    place.store.create(version_path("nuclei", "2"), record_bytes(anew))
    assert sweep(place.store, "nuclei", grace_s=0) == ()
    assert version(place) == anew
    assert sweep(place.store, "nuclei", grace_s=0) == ()
    assert load_package(f"{place.uri}/nuclei@2")


def test_a_lineage_is_written_once(place):
    lineage = read_lineage(place.store, "nuclei", version(place).digest)
    write_lineage(place.store, lineage)
    with pytest.raises(ModelError, match="another lineage lies there"):
        write_lineage(place.store, lineage.model_copy(update={"night": "2026-11-29"}))
