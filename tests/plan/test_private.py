"""What was set aside before its name was hidden."""

from __future__ import annotations

from plan.recipes import order

from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.expand import Expanded
from encdec_batch.plan.private import veiled
from encdec_batch.plan.public_spec import public_spec, source_name
from encdec_batch.privacy import Pseudonyms
from encdec_batch.spec.source import ListSource, TableSource

NAMES = Pseudonyms("a key of some length")


def test_scenes_that_share_an_id_are_set_aside_without_it():
    listed = ListSource(kind="list", uris=("s3://a/Doe Jane.dcm", "s3://b/Doe Jane.dcm", "s3://b/other.dcm"))
    found = find_scenes(listed)
    hidden = veiled(Expanded(candidates=tuple(found.candidates), set_aside=tuple(found.unnamed)), NAMES, listed)
    assert len(hidden.set_aside) == 2
    assert all("2 scenes have the id" in one.reason for one in hidden.set_aside)
    said = repr(hidden.set_aside)
    assert "Doe" not in said
    assert "Jane" not in said


def test_a_table_that_is_private_is_not_named_where_a_row_of_it_is_refused(tmp_path):
    table = tmp_path / "Doe_Jane.csv"
    table.write_text("uri\na.dcm\nftp://host/b.dcm\n")
    source = TableSource(kind="table", uri=str(table))
    found = find_scenes(source)
    [one] = found.unnamed
    assert "Doe_Jane" in one.reason
    [hidden] = veiled(Expanded(candidates=(), set_aside=tuple(found.unnamed)), NAMES, source).set_aside
    assert "a row of private:" in hidden.reason
    assert "Doe" not in repr(hidden)
    assert str(tmp_path) not in repr(hidden)


def test_a_private_source_is_named_nowhere(monkeypatch):
    monkeypatch.setenv("ENCDEC_PRIVACY_KEY", "a key of some length")
    spec = order(source={"kind": "prefix", "uri": "s3://pacs/Doe_Jane"}).spec
    private = spec.model_copy(update={"privacy": spec.privacy.model_copy(update={"hide": "on"})})
    assert source_name(spec) == "s3://pacs/Doe_Jane"
    assert "Doe" not in source_name(private)
    assert "Doe" not in repr(public_spec(private))
