"""What was set aside before its name was hidden."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from e2e.made import classes_package, write_spec
from plan.recipes import order

from encdec_batch.errors import SpecError, StoreError
from encdec_batch.job.plan import place
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.expand import Expanded
from encdec_batch.plan.private import veiled
from encdec_batch.plan.public_spec import public_spec, source_name
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.load import load_spec
from encdec_batch.spec.source import ListSource, TableSource

NAMES = Pseudonyms("a key of some length")


def test_scenes_that_share_an_id_are_set_aside_without_it():
    listed = ListSource(
        kind="list", uris=("s3://a/Doernbecher Janetta.dcm", "s3://b/Doernbecher Janetta.dcm", "s3://b/other.dcm")
    )
    found = find_scenes(listed)
    hidden = veiled(Expanded(candidates=tuple(found.candidates), set_aside=tuple(found.unnamed)), NAMES, listed)
    assert len(hidden.set_aside) == 2
    assert all("2 scenes have the id" in one.reason for one in hidden.set_aside)
    said = repr(hidden.set_aside)
    assert "Doernbecher" not in said
    assert "Janetta" not in said


def test_a_table_that_is_private_is_not_named_where_a_row_of_it_is_refused(tmp_path):
    table = tmp_path / "Doernbecher_Janetta.csv"
    table.write_text("uri\na.dcm\nftp://host/b.dcm\n")
    source = TableSource(kind="table", uri=str(table))
    found = find_scenes(source)
    [one] = found.unnamed
    assert "Doernbecher_Janetta" in one.reason
    [hidden] = veiled(Expanded(candidates=(), set_aside=tuple(found.unnamed)), NAMES, source).set_aside
    assert "a row of private:" in hidden.reason
    assert "Doernbecher" not in repr(hidden)
    assert str(tmp_path) not in repr(hidden)


def test_a_private_source_is_named_nowhere(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key of some length")
    spec = order(source={"kind": "prefix", "uri": "s3://pacs/Doernbecher_Janetta"}).spec
    private = spec.model_copy(update={"privacy": spec.privacy.model_copy(update={"hide": "on"})})
    assert source_name(spec) == "s3://pacs/Doernbecher_Janetta"
    assert "Doernbecher" not in source_name(private)
    assert "Doernbecher" not in repr(public_spec(private))


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ({"kind": "prefix", "uri": "{}/none"}, (StoreError, SpecError)),
        ({"kind": "prefix", "uri": "{}/empty"}, SpecError),
        ({"kind": "prefix", "uri": "{}/file.txt"}, SpecError),
        ({"kind": "table", "uri": "{}/none.csv"}, SpecError),
        ({"kind": "table", "uri": "{}/file.txt"}, SpecError),
        ({"kind": "table", "uri": "{}/broken.csv"}, SpecError),
        ({"kind": "table", "uri": "{}/other.csv"}, SpecError),
    ],
)
def test_an_error_of_a_private_source_does_not_name_it(source, error, tmp_path, monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key of some length")
    folder = tmp_path / "Doernbecher_Janetta"
    (folder / "empty").mkdir(parents=True)
    (folder / "file.txt").write_text("no table")
    (folder / "broken.csv").write_text("uri,other\na,b\nDoernbecher,Janetta,77\n")
    (folder / "other.csv").write_text("name\na\n")
    package = classes_package(1, ("int16",))
    spec = load_spec(write_spec(tmp_path, source | {"uri": source["uri"].format(folder)}, package, privacy="on"))
    with pytest.raises(error) as raised:
        place(spec)
    said = "".join(traceback.format_exception(raised.value))  # what -v shows
    assert "Doernbecher" not in said
    assert str(tmp_path) not in said.replace(str(Path(__file__).parents[2]), "")


def test_without_a_key_a_private_source_is_not_even_listed(tmp_path, monkeypatch):
    monkeypatch.delenv("ENCDEC_PRIVACY_KEY", raising=False)
    source = {"kind": "prefix", "uri": str(tmp_path / "Doernbecher_Janetta")}
    spec = load_spec(write_spec(tmp_path, source, classes_package(1, ("int16",)), privacy="on"))
    with pytest.raises(SpecError, match="holds no key") as raised:
        place(spec)
    assert "Doernbecher" not in "".join(traceback.format_exception(raised.value))
