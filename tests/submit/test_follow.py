"""A log that is read again from its start is shown once; how a job ended is said as `run` would."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.submit.follow import Log, ended

TEXT = st.text(alphabet="ab\n", max_size=40)


@given(text=TEXT, data=st.data())
def test_a_log_is_shown_once_however_often_its_connection_breaks(text, data):
    shown = []
    log = Log(shown.append)
    for _ in range(data.draw(st.integers(0, 4))):
        log.begin()
        read, end = 0, data.draw(st.integers(0, len(text)))
        while read < end:
            piece = data.draw(st.integers(1, end - read))
            log.add(text[read : read + piece])
            read += piece
    log.begin()
    log.add(text)
    assert "".join(shown) == text


@pytest.mark.parametrize(
    ("text", "code"),
    [("a\nexit code 3\n", 3), ("exit code 0\n", 0), ("exit code 3\nexit code 0\n", 0), ("said exit code 3\n", None)],
)
def test_the_driver_says_last_what_run_would_end_with(text, code):
    log = Log(lambda text: None)
    for letter in text:
        log.add(letter)
    assert log.exit_code == code


def info(status: str, *, code: int | None = None, message: str = "", error_type: str = "") -> SimpleNamespace:
    return SimpleNamespace(
        status=SimpleNamespace(value=status), driver_exit_code=code, message=message, error_type=error_type
    )


@pytest.mark.parametrize(
    ("given_info", "said", "code", "why"),
    [
        (info("SUCCEEDED", code=0), 0, 0, ""),
        (info("SUCCEEDED", code=0), 3, 3, ""),
        (info("SUCCEEDED", code=0), None, 0, ""),
        (info("STOPPED"), None, 1, "cancelled"),
        (info("FAILED", code=2, message="x\nerror: source.uri is wrong\nexit code 2\n"), 2, 2, "source.uri is wrong"),
        (
            info("FAILED", code=1, message="No module named encdec_batch.driver"),
            None,
            1,
            "the nodes have no encdec-batch",
        ),
        (info("FAILED", code=127, message="sh: 1: python: not found"), None, 1, "not that of an image of ours"),
        (info("FAILED", code=-9, message="killed", error_type="JOB_X"), None, 1, "JOB_X killed"),
        (info("FAILED", message="gone", error_type="JOB_SUPERVISOR_ACTOR_DIED"), None, 1, "SUPERVISOR_ACTOR_DIED gone"),
    ],
)
def test_how_a_job_ended(given_info, said, code, why):
    made = ended(given_info, said)
    assert made.exit_code == code
    assert why in made.message
    assert bool(made.message) == bool(why)
