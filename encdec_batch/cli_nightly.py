"""The command that retrains every night. What it does is in encdec_batch/nightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from encdec_batch import console
from encdec_batch.command import as_json as _as_json
from encdec_batch.command import command as _command
from encdec_batch.command import verbose as _verbose
from encdec_batch.console_train import TrainLine

if TYPE_CHECKING:
    from encdec_batch.nightly.run import Night


@click.command()
@click.argument("spec_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--night", default=None, metavar="YYYY-MM-DD", help="Which; by default that which it is, noon to noon UTC."
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the spec; paths count from the current folder.",
)
@_as_json
@_verbose
@_command
def nightly(*, spec_file: Path, night: str | None, overrides: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Retrain from new labelled scenes, judge against production, promote what is better, and say so on a page.

    After a kill the same night goes on. jobs/nightly.yaml has every option of a spec with a comment. Exit code 0 also
    where nothing was promoted.
    """
    from encdec_batch.predict.heap import keep_freed_memory

    # Before any thread starts; what a night computes without Ray, it computes here.
    keep_freed_memory()
    from encdec_batch.nightly.run import run_night
    from encdec_batch.spec.load_nightly import load_nightly_spec
    from encdec_batch.stream.deadline import own_process

    own_process()
    spec = load_nightly_spec(spec_file, overrides)
    with TrainLine(console.stderr()).shown() as line:
        ended = run_night(spec, night, report=line, verbose=verbose)
    if as_json:
        decision = ended.decision.model_dump(mode="json")
        said = {"page": ended.page, "archive": ended.archive, "already": ended.already}
        click.echo(json.dumps(decision | said))
    else:
        _print(console.stdout(), ended)
    return 0


def _print(out: Console, ended: Night) -> None:
    from encdec_batch.nightly.page import WORDS

    decision = ended.decision
    before = " (decided before)" if ended.already else ""
    out.print(f"night {decision.night}: {WORDS[decision.outcome]}{before}", highlight=False, soft_wrap=True)
    for reason in (*decision.reasons, *filter(None, [ended.archive])):
        out.print(f"  {reason}", highlight=False, soft_wrap=True)
    out.print(f"page     {ended.page}", highlight=False, soft_wrap=True)
