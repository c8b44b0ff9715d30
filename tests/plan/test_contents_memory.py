"""What was seen in objects, for the next run."""

from __future__ import annotations

import pytest
from fakes import FakeStore

from encdec_batch.errors import SpecError
from encdec_batch.plan.contents_memory import read_contents, write_contents
from encdec_batch.plan.private_map import PrivateMap
from encdec_batch.privacy import Pseudonyms
from encdec_batch.read.contents import Contents

KEY, OTHER = (Pseudonyms(f"{which} key of some length") for which in ("one", "another"))
KNOWN = {("s3://pacs/a.dcm", "1"): Contents(medical=True)}


def test_private_contents_are_read_with_their_key_and_refused_with_another():
    store = FakeStore()
    private = PrivateMap(store=store, prefix=".encdec/private/")
    write_contents(store, "as asked", KNOWN, KEY, private)
    assert read_contents(store, "as asked", KEY, private) == KNOWN
    with pytest.raises(SpecError, match="made with another key, or is damaged") as caught:
        read_contents(store, "as asked", OTHER, private)
    assert "another output.uri" in caught.value.hint


def test_what_was_found_otherwise_is_not_used():
    store = FakeStore()
    private = PrivateMap(store=store, prefix=".encdec/private/")
    write_contents(store, "as asked", KNOWN, None, private)
    assert read_contents(store, "as asked", None, private) == KNOWN
    assert read_contents(store, "otherwise", None, private) == {}
