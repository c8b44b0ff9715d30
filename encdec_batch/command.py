"""What every command has: its end, its common options, and how its errors are said."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from encdec_batch import log
from encdec_batch.errors import EncdecError, SpecError, unexpected

COULD_NOT_RUN, WRONG_SPEC, IN_QUARANTINE = 1, 2, 3


def command(call: Callable[..., int]) -> Callable[..., None]:
    """Ends with the call's exit code; an error of ours is one paragraph, a traceback only with -v."""

    @wraps(call)
    def wrapped(**options: Any) -> None:
        verbose = bool(options.get("verbose"))
        log.set_up(verbose=verbose)
        try:
            code = call(**options)
        except (click.ClickException, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001  (the boundary: no traceback for a user)
            if verbose:
                traceback.print_exc()
            said = error if isinstance(error, EncdecError) else unexpected(error, call.__name__)
            click.echo("\n".join([f"error: {said}", *_notes(error)]), err=True)
            code = WRONG_SPEC if isinstance(error, SpecError) else COULD_NOT_RUN
        except KeyboardInterrupt as error:
            # Whoever raises it for a signal says so (encdec_batch/driver.py); Ctrl-C says nothing. What a command knows
            # better of its end it has noted on the error.
            notes = _notes(error)
            if not (said_so := str(error)):
                first, *notes = notes or ["the same command goes on where this one was"]
                said_so = f"interrupted; {first}"
            click.echo("\n".join([said_so, *notes]), err=True)
            code = COULD_NOT_RUN
        sys.exit(code)

    return wrapped


def _notes(error: BaseException) -> list[str]:
    """Lines that were added to an error on its way."""
    return list(getattr(error, "__notes__", ()))


as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Log events, let Ray talk, show tracebacks.")


def storage(of_what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--storage`, of the store of what is named."""
    said = f"Option of the {of_what}'s store."
    return click.option("--storage", "storage", multiple=True, metavar="KEY=VALUE", help=said)


def parse_options(pairs: tuple[str, ...]) -> dict[str, str | int | float | bool]:
    """The options of a store, as they were given on the command line.

    Raises:
        SpecError: one is not KEY=VALUE.
    """
    parsed: dict[str, str | int | float | bool] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not key:
            raise SpecError(
                f"--storage {pair} is not KEY=VALUE", hint="write --storage endpoint_url=http://127.0.0.1:9000"
            )
        parsed[key] = value
    return parsed
