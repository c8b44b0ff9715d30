"""The command line: parse, call, print. Results go to stdout, talk to stderr."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from encdec_batch import __version__, console
from encdec_batch.cli_models import models
from encdec_batch.cli_nightly import nightly
from encdec_batch.cli_submit import cancel, logs, show_job, submit
from encdec_batch.cli_train import evaluate, train
from encdec_batch.command import COULD_NOT_RUN, IN_QUARANTINE
from encdec_batch.command import as_json as _as_json
from encdec_batch.command import command as _command
from encdec_batch.command import parse_options as _parse_options
from encdec_batch.command import storage as _storage
from encdec_batch.command import verbose as _verbose
from encdec_batch.errors import SpecError

STAGES = ("plan", "read", "statistics", "predict", "write", "commit")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="encdec-batch")
def main() -> None:
    """Archives of scenes through encoder-decoder networks: exact, resumable, in bounded memory.

    Exit codes: 0 complete, 1 could not run, stopped or held a removal back, 2 the command or spec is wrong, 3 complete
    but with something set aside.
    """


main.add_command(models)
main.add_command(train)
main.add_command(evaluate)
main.add_command(nightly)
main.add_command(submit)
main.add_command(logs)
main.add_command(cancel)

_spec_file = click.argument("spec_file", type=click.Path(dir_okay=False, path_type=Path))
_output_uri = click.argument("uri")
_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the spec; paths count from the current folder.",
)
_options = _storage("output")


@main.command()
@_spec_file
@_overrides
@_as_json
@_verbose
@_command
def plan(*, spec_file: Path, overrides: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Say what `run` would do: scenes, blocks, bytes, halo tax, memory. Writes nothing."""
    del verbose
    from encdec_batch.console_plan import print_plan
    from encdec_batch.job.plan import build_plan, projected_bytes, projected_helpers, to_dict
    from encdec_batch.spec.load import load_spec

    spec = load_spec(spec_file, overrides)
    with console.now_and_then(console.stderr(), "objects looked into") as told:
        made = build_plan(spec, told)
    if as_json:
        click.echo(json.dumps(to_dict(made)))
    else:
        print_plan(console.stdout(), made, projected_bytes(made), projected_helpers(made))
    return IN_QUARANTINE if made.set_aside else 0


@main.command()
@_spec_file
@_overrides
@click.option(
    "--prune",
    "prune_gone",
    is_flag=True,
    help="At the end take out scenes whose input is gone, and delete what nothing can name again. Where more than 10 % "
    "of them are gone, none is taken out, and the exit code is 1.",
)
@click.option(
    "--expect",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Stop at the start where the source names fewer scenes than this; else all that is missing is believed gone.",
)
@_as_json
@_verbose
@_command
def run(  # noqa: PLR0913  (one parameter an option)
    *,
    spec_file: Path,
    overrides: tuple[str, ...],
    prune_gone: bool,
    expect: int | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Run the job; after a kill, go on where it was."""
    from encdec_batch.predict.heap import keep_freed_memory

    # Before any thread starts; what a local stream computes, it computes here.
    keep_freed_memory()
    from encdec_batch.job.gone_inputs import Removal
    from encdec_batch.job.run import run as run_job
    from encdec_batch.spec.load import load_spec
    from encdec_batch.stream.deadline import own_process

    own_process()

    spec = load_spec(spec_file, overrides)
    with console.ProgressLine(console.stderr()).shown() as line:
        summary = run_job(spec, show=line, verbose=verbose, removal=Removal(prune=prune_gone, expect=expect))
    if as_json:
        click.echo(json.dumps(summary.to_dict()))
    else:
        console.print_summary(console.stdout(), summary)
    return summary.exit_code


@main.command()
@_output_uri
@_options
@click.option("--address", default="", metavar="URL", help="Of a cluster's dashboard: URI is the id of a job there.")
@_as_json
@_command
def status(*, uri: str, storage: tuple[str, ...], address: str, as_json: bool) -> int:
    """Say how far the newest run on an output is, from any machine; with --address, how a submitted job is."""
    if address:
        if storage:
            raise SpecError("--storage is of an output, and --address of a cluster", hint="say one of them")
        return show_job(uri, address, as_json=as_json)
    from encdec_batch.job.status import status as status_of

    found = status_of(uri, _parse_options(storage))
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    else:
        console.print_status(console.stdout(), found)
    return 0


@main.command()
@_output_uri
@_options
@click.option(
    "--digest",
    "digest_only",
    is_flag=True,
    help="Print the digest of all scenes alone, from the markers; read no file. Volumes do not count in it.",
)
@click.option("--deep", is_flag=True, help="Also compute a sample of windows again from the input, and compare.")
@click.option("--repair", is_flag=True, help="Take scenes with bad files out, so that the next run makes them again.")
@_as_json
@_command
def verify(  # noqa: PLR0913  (one parameter an option)
    *, uri: str, storage: tuple[str, ...], digest_only: bool, deep: bool, repair: bool, as_json: bool
) -> int:
    """Compare every committed file with its marker; print the digest of the output. Writes nothing without --repair.

    Exit code 1: files are missing or are not what their markers say and were not taken out, or windows came out
    otherwise.
    """
    from encdec_batch.job.repair import Repaired, repair_output
    from encdec_batch.job.status import output_digest
    from encdec_batch.job.status import verify as verify_output

    options = _parse_options(storage)
    if digest_only:
        if deep or repair:
            raise SpecError("--digest reads no file, and --deep and --repair do", hint="say one of them")
        digest = output_digest(uri, options)
        click.echo(json.dumps({"digest": digest}) if as_json else digest)
        return 0
    with console.progress_bar(console.stderr(), "verify") as advance:
        verdict = verify_output(uri, options, on_bytes=advance)
    found = None
    if deep:
        from encdec_batch.job.deep import verify_deep

        with console.progress_bar(console.stderr(), "windows") as advance:
            found = verify_deep(uri, options, on_scene=advance)
    repaired = (
        repair_output(uri, verdict.bad_files + verdict.bad_volume_files, options)
        if repair
        else Repaired(taken_out=(), left={})
    )
    if as_json:
        files: dict[str, object] = {"digest": verdict.digest, "files": verdict.files, "bad": verdict.bad}
        files |= {"why": verdict.why, "volume_files": verdict.volume_files, "catalogue": verdict.catalogue}
        more = {"deep": found.to_dict()} if found else {}
        more |= {"repaired": asdict(repaired)} if repair else {}
        click.echo(json.dumps(files | more))
    else:
        console.print_verdict(console.stdout(), verdict, found)
        console.print_repaired(console.stdout(), repaired)
    still_bad = (
        repaired.left or len(verdict.bad) > len(verdict.bad_files + verdict.bad_volume_files) if repair else verdict.bad
    )
    return COULD_NOT_RUN if still_bad or (found and found.differ) else 0


@main.command()
@_output_uri
@_options
@click.option("--stage", type=click.Choice(STAGES), default=None, help="Only what was set aside at this stage.")
@click.option("--reason", default="", metavar="TEXT", help="Only where the reason holds this text, in any case.")
@click.option("--dry-run", is_flag=True, help="Say which scenes these are, change nothing.")
@_as_json
@_command
def retry(  # noqa: PLR0913  (one parameter an option)
    *, uri: str, storage: tuple[str, ...], stage: str | None, reason: str, dry_run: bool, as_json: bool
) -> int:
    """Take scenes out of quarantine once the cause is mended: the next run tries them again.

    Refused while a run goes on; that one would not try them again anyway.
    """
    from encdec_batch.job.maintain import retry_output

    taken = retry_output(uri, _parse_options(storage), stage=stage or "", reason=reason, dry_run=dry_run)
    if as_json:
        ids = [record.scene_id for record in taken]
        click.echo(json.dumps({"taken_out": len(taken), "scenes": ids, "dry_run": dry_run}))
    else:
        console.print_taken(console.stdout(), taken, dry_run=dry_run)
    return 0


@main.command()
@_output_uri
@_options
@click.option(
    "--keep-hours", default=24.0, show_default=True, help="Time that readers of a replaced or removed scene are given."
)
@click.option(
    "--removed",
    type=click.FloatRange(0, 100),
    default=None,
    metavar="PERCENT",
    help="Also take out scenes that the source of the newest run no longer names, if they are at most so many of all; "
    "10 is a wise limit.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, delete nothing.")
@_as_json
@_command
def prune(  # noqa: PLR0913  (one parameter an option)
    *, uri: str, storage: tuple[str, ...], keep_hours: float, removed: float | None, dry_run: bool, as_json: bool
) -> int:
    """Delete what no marker can name again: files of replaced and removed scenes, and work left over for a week.
    Plans and records of old runs go too, as far as nothing needs them.

    What is not of the output is left alone, and said. Refused while a run goes on.
    """
    from encdec_batch.job.maintain import prune_output

    options = _parse_options(storage)
    pruned = prune_output(uri, options, keep_hours=keep_hours, removed_percent=removed, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(asdict(pruned) | {"dry_run": dry_run}))
    else:
        console.print_pruned(console.stdout(), pruned, keep_hours=keep_hours, dry_run=dry_run)
    return 0


@main.command()
@_output_uri
@_options
@click.option("--rebuild", is_flag=True, help="Make page, tables and catalogue anew, though they are there.")
@_as_json
@_command
def report(*, uri: str, storage: tuple[str, ...], rebuild: bool, as_json: bool) -> int:
    """Say where the page of an output is. Where there is none, or with --rebuild, make it anew, and tables and
    catalogue with it: from the markers, and from what the newest run left, also one that was killed.

    Making is refused while a run goes on; that one does the same at its end.
    """
    from encdec_batch.job.maintain import find_report, rebuild_report

    options = _parse_options(storage)
    page = (not rebuild and find_report(uri, options)) or rebuild_report(uri, options)
    click.echo(json.dumps({"report": page}) if as_json else page)
    return 0


if __name__ == "__main__":
    main()
