"""The commands that talk to a cluster. What they do is in encdec_batch/submit."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from encdec_batch.command import COULD_NOT_RUN
from encdec_batch.command import command as _command
from encdec_batch.command import verbose as _verbose
from encdec_batch.console_submit import file_lines, job_lines, left_out, parcel_lines, silent_line

if TYPE_CHECKING:
    from encdec_batch.submit.cluster import Cluster
    from encdec_batch.submit.job import Job
    from encdec_batch.submit.parcel import Parcel

_spec_file = click.argument("spec_file", type=click.Path(dir_okay=False, path_type=Path))
_submission_id = click.argument("submission_id", metavar="ID")
_address = click.option("--address", required=True, metavar="URL", help="Of the cluster's dashboard: http://HOST:8265.")


@click.command()
@_spec_file
@_address
@click.option(
    "--wheel",
    default="",
    metavar="WHEEL",
    help="Path or URI of the package to send along, or `none` where the nodes have it; else it is that of here.",
)
@click.option(
    "--id",
    "submission_id",
    default="",
    metavar="ID",
    help="Do nothing if a job of this id runs or has succeeded; without it, each submission is a new job.",
)
@click.option("--follow", is_flag=True, help="Show the job's log to its end, and end as it does.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, with -v file by file; ask no cluster.")
@_verbose
@_command
def submit(  # noqa: PLR0913  (one parameter an option)
    *, spec_file: Path, address: str, wheel: str, submission_id: str, follow: bool, dry_run: bool, verbose: bool
) -> int:
    """Run a spec on a Ray cluster, or train by one; prints the job's id.

    Sent are the spec, the package and, where the spec names a path, the model: nothing else. A job that was cancelled
    or died is submitted again, and goes on. With --follow, exit codes are those of `run`, and 1 for a cancelled job.
    """
    from encdec_batch.submit.cluster import check_id
    from encdec_batch.submit.parcel import make_parcel
    from encdec_batch.submit.send import new_id
    from encdec_batch.submit.spec import load_for_cluster

    parcel = make_parcel(load_for_cluster(spec_file), wheel=wheel)
    wanted = submission_id or new_id(parcel.kind, time.time())
    check_id(wanted)
    if dry_run:
        click.echo("\n".join(parcel_lines(parcel, wanted)))
        if verbose:
            click.echo("\n".join(file_lines(parcel)))
        return 0
    if parcel.left_out:
        click.echo(f"not sent: {left_out(parcel)}", err=True)
    cluster = _connect(address)
    name, before = _submit(cluster, parcel, wanted)
    if follow:
        return _follow(cluster, name, to_stderr=True, whole=before is None)
    return _code_of(cluster, before) if before else 0


def _submit(cluster: Cluster, parcel: Parcel, wanted: str) -> tuple[str, Job | None]:
    """The id of the job, which is said before anything is sent, and the job if it was there before."""
    from encdec_batch.submit.send import send, turn_of

    turn = turn_of(cluster, parcel, wanted)
    click.echo(turn.submission_id)
    before = turn.job or send(cluster, parcel, turn.submission_id)
    if before:
        click.echo(f"{before.submission_id}: submitted before ({before.state}); nothing was sent", err=True)
    return turn.submission_id, before


def _code_of(cluster: Cluster, job: Job) -> int:
    """What a job ended with; 0 as long as it runs."""
    from encdec_batch.submit.follow import ended, exit_code_in

    return ended(job, exit_code_in(cluster.log(job.submission_id))).exit_code if job.is_over else 0


@click.command()
@_submission_id
@_address
@click.option(
    "--follow",
    is_flag=True,
    help="Go on to the end of the job, and end as it does; of one that had ended, show the last lines.",
)
@_command
def logs(*, submission_id: str, address: str, follow: bool) -> int:
    """Show what a submitted job has said so far."""
    cluster = _connect(address)
    if follow:
        return _follow(cluster, submission_id, to_stderr=False)
    job, text = cluster.job(submission_id), cluster.log(submission_id)
    click.echo(text, nl=False)
    if not text:
        click.echo(silent_line(job, time.time()), err=True)
    return 0


@click.command()
@_submission_id
@_address
@_command
def cancel(*, submission_id: str, address: str) -> int:
    """Stop a submitted job, and wait until it has given back what it holds.

    What is committed stays; submitted again the job goes on.
    """
    from encdec_batch.submit.cancel import cancel as cancel_job

    job, was_running = cancel_job(_connect(address), submission_id)
    if not was_running:
        click.echo(f"{submission_id}: had ended before ({job.state})")
        return 0
    if not job.is_over:
        click.echo(f"{submission_id}: still {job.state}; it is stopped as soon as it can be", err=True)
        return COULD_NOT_RUN
    click.echo(f"{submission_id}: {job.state}")
    return 0


def show_job(submission_id: str, address: str, *, as_json: bool) -> int:
    """`status --address`."""
    job = _connect(address).job(submission_id)
    click.echo(json.dumps(job.to_dict()) if as_json else "\n".join(job_lines(job, time.time())))
    return 0


def _connect(address: str) -> Cluster:
    from encdec_batch.submit.cluster import connect

    return connect(address)


def _follow(cluster: Cluster, submission_id: str, *, to_stderr: bool, whole: bool = False) -> int:
    from encdec_batch.submit.follow import follow as follow_log

    out = sys.stderr if to_stderr else sys.stdout

    def show(text: str) -> None:
        out.write(text)
        out.flush()

    try:
        ended = follow_log(cluster, submission_id, show, tell=lambda line: click.echo(line, err=True), whole=whole)
    except KeyboardInterrupt:
        more = f"{submission_id} --address {cluster.address}"
        click.echo(
            f"no longer followed; the job goes on: encdec-batch logs {more} --follow, or cancel {more}", err=True
        )
        return COULD_NOT_RUN
    if ended.state != "succeeded":
        why = f": {ended.message}" if ended.message else ""
        click.echo(f"{submission_id} {ended.state}{why}", err=True)
    return ended.exit_code
