"""Which night a moment belongs to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.errors import SpecError
from encdec_batch.nightly.night import checked_night, night_of


@pytest.mark.parametrize(
    ("moment", "night"),
    [
        ("2026-11-28T23:59", "2026-11-28"),
        ("2026-11-29T01:30", "2026-11-28"),
        ("2026-11-29T11:59", "2026-11-28"),
        ("2026-11-29T12:00", "2026-11-29"),
        ("2028-03-01T03:00", "2028-02-29"),
        ("2027-01-01T00:00", "2026-12-31"),
    ],
)
def test_a_night_is_from_noon_to_noon(moment, night):
    assert night_of(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) == night
    assert checked_night(night) == night


@given(seconds=st.floats(0, 4e9), later=st.floats(0, 86_400 * 3))
def test_nights_follow_each_other(seconds, later):
    assert night_of(seconds) <= night_of(seconds + later)
    assert night_of(seconds) != night_of(seconds + 86_400)


@pytest.mark.parametrize("text", ["2026-13-01", "2026-1-1", "20261128", "yesterday", "", "2026-11-28T01", "2026-W01-1"])
def test_what_is_no_date_is_said(text):
    with pytest.raises(SpecError, match="is no date"):
        checked_night(text)
