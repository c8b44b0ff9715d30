"""The commands that train and judge. What they do is in encdec_batch/train."""

from __future__ import annotations

import json
from pathlib import Path

import click

from encdec_batch import console
from encdec_batch.command import as_json as _as_json
from encdec_batch.command import command as _command
from encdec_batch.command import verbose as _verbose
from encdec_batch.console_train import TrainLine, print_evaluation, print_trained

_spec_file = click.argument("spec_file", type=click.Path(dir_okay=False, path_type=Path))
_overrides = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key of the spec; paths count from the current folder.",
)


@click.command()
@_spec_file
@_overrides
@_as_json
@_verbose
@_command
def train(*, spec_file: Path, overrides: tuple[str, ...], as_json: bool, verbose: bool) -> int:
    """Train a network to a model package; after a kill, go on where it was.

    jobs/train.yaml has every option of a spec with a comment.
    """
    from encdec_batch.predict.heap import keep_freed_memory

    # Before any thread starts; what a training without Ray computes, it computes here.
    keep_freed_memory()
    from encdec_batch.spec.load_train import load_train_spec
    from encdec_batch.train.running.collect import collect
    from encdec_batch.train.running.run import train as train_network

    spec = load_train_spec(spec_file, overrides)
    with TrainLine(console.stderr()).shown() as line:
        summary = train_network(spec, lambda: collect(spec), report=line, verbose=verbose)
    if as_json:
        click.echo(json.dumps(summary.to_dict()))
    else:
        print_trained(console.stdout(), summary)
    return 0


@click.command()
@_spec_file
@_overrides
@click.option("--package", default="", metavar="URI", help="Another package than the one that the spec trains.")
@_as_json
@_verbose
@_command
def evaluate(*, spec_file: Path, overrides: tuple[str, ...], package: str, as_json: bool, verbose: bool) -> int:
    """Judge a package on the validation scenes of a training spec, predicted as the main job predicts them."""
    del verbose
    from encdec_batch.models.package import load_package
    from encdec_batch.spec.load_train import load_train_spec
    from encdec_batch.train.evaluation.evaluate import evaluate as judge
    from encdec_batch.train.running.collect import examples_for

    spec = load_train_spec(spec_file, overrides)
    try:
        judged = load_package(package or spec.output.package, {} if package else spec.output.package_storage)
        found = judge(judged, examples_for(judged.card, spec))
    except KeyboardInterrupt as error:
        error.add_note("nothing is kept of an evaluation: the same command begins again")
        raise
    if as_json:
        click.echo(json.dumps({"package": judged.uri, "digest": judged.digest, **found.to_dict()}))
    else:
        print_evaluation(console.stdout(), judged, found)
    return 0
