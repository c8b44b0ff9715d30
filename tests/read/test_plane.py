"""The text of a plane is its name in ids, keys and tables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.read.plane import WHOLE, Plane

PLANES = st.dictionaries(st.sampled_from(["t", "z", "frame", "slice"]), st.integers(0, 10**6)).map(
    lambda indices: Plane.of(**indices)
)


@given(PLANES)
def test_its_text_names_it(plane: Plane):
    assert Plane.parse(str(plane)) == plane


def test_an_object_that_is_one_image_has_no_indices():
    assert str(WHOLE) == ""
    assert Plane.of(t=3, z=12)["z"] == 12


@pytest.mark.parametrize("text", ["z", "z=", "z=-1", "=3", "z=1,", ",z=1", "z=1;t=2", "z=1,,t=2", " z=1"])
def test_another_text_is_none(text: str):
    with pytest.raises(ValueError, match="no plane"):
        Plane.parse(text)
