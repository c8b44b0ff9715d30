"""How a command ends, whatever it ends by."""

from __future__ import annotations

import pytest

from encdec_batch.command import COULD_NOT_RUN, WRONG_SPEC, command
from encdec_batch.errors import EncdecError, SpecError, together

GOES_ON = "interrupted; the same command goes on where this one was"


def noted(error: BaseException, *notes: str) -> BaseException:
    for note in notes:
        error.add_note(note)
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), COULD_NOT_RUN, GOES_ON),
        (
            noted(KeyboardInterrupt(), "it begins again", "page x"),
            COULD_NOT_RUN,
            "interrupted; it begins again\npage x",
        ),
        (noted(KeyboardInterrupt("stopped by SIGTERM"), "page x"), COULD_NOT_RUN, "stopped by SIGTERM\npage x"),
        (noted(EncdecError("no", hint="do"), "page x"), COULD_NOT_RUN, "error: no; do\npage x"),
        (SpecError("no"), WRONG_SPEC, "error: no"),
    ],
)
def test_an_end_is_said_with_what_was_noted_on_the_way(capsys, error, code, said):
    @command
    def call(**_):
        raise error

    with pytest.raises(SystemExit) as ended:
        call()
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{said}\n")


def test_several_checks_are_one_error_and_one_is_itself():
    def fails(said):
        def check():
            raise fault

        fault = SpecError(said, hint="mend it")
        return check

    assert together(lambda: 1, lambda: "b") == (1, "b")
    with pytest.raises(SpecError, match=r"^a; mend it$"):
        together(lambda: 1, fails("a"))
    with pytest.raises(SpecError) as both:
        together(fails("a"), lambda: 1, fails("b"))
    assert str(both.value) == "2 things are to be corrected:\n  a; mend it\n  b; mend it"
