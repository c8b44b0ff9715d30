"""The logical night: a name that every try of one night has, and no other night."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from encdec_batch.errors import SpecError

_FORM = re.compile(r"\d{4}-\d\d-\d\d")


def night_of(seconds: float) -> str:
    """The night that a moment belongs to: from noon UTC to noon, named by the day on which it begins.

    Half past one in the morning of the 29th is the night of the 28th, and so is a second try at eleven.
    """
    return (datetime.fromtimestamp(seconds, UTC) - timedelta(hours=12)).date().isoformat()


def next_try(night: str) -> str:
    """How another try of this night is begun, in words: for after noon the same command is of another one."""
    noon = date.fromisoformat(night) + timedelta(days=1)
    return f"--night {night} goes on where this try was (until {noon} 12:00 UTC the same command does without it)"


def checked_night(text: str) -> str:
    """The night that somebody named.

    Raises:
        SpecError: it is no date.
    """
    try:
        if _FORM.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise SpecError(f"--night {text}: is no date", hint="write YYYY-MM-DD, the day on which the night begins")
