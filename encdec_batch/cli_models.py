"""The commands on model packages and their registry. What they do is in encdec_batch/models."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from encdec_batch import console
from encdec_batch.command import as_json as _as_json
from encdec_batch.command import command as _command
from encdec_batch.command import parse_options as _parse_options
from encdec_batch.command import storage as _storage
from encdec_batch.errors import ModelError, SpecError
from encdec_batch.report.page import format_bytes

if TYPE_CHECKING:
    from encdec_batch.models.alias import Alias
    from encdec_batch.models.card import Card
    from encdec_batch.models.package import Package
    from encdec_batch.models.registry import Model, Moved, Shown
    from encdec_batch.models.version import Version

_WEIGHTS = {".pth", ".pt", ".ckpt", ".safetensors"}
"""Endings of published weights: tensors alone are taken from them."""
_options = _storage("registry")
_alias = click.option(
    "--alias", default="production", show_default=True, metavar="NAME", help="Which: production or candidate."
)


@click.group()
def models() -> None:
    """Model packages in a registry: versions that never change, and which of them is in production.

    A registry is a URI, local or S3 (docs/registry.md). A job takes a version from it by `model.package:
    REGISTRY/NAME@VERSION`, `...@production` or `...@candidate`.
    """


@models.command("list")
@click.argument("registry")
@_options
@_as_json
@_command
def list_(*, registry: str, storage: tuple[str, ...], as_json: bool) -> int:
    """List the models of a registry, their versions and what is in production."""
    from encdec_batch.models.registry import list_models

    found = list_models(registry, _parse_options(storage))
    if as_json:
        click.echo(json.dumps({"models": [_model(model) for model in found]}))
        return 0
    out = console.stdout()
    if not found:
        out.print(f"{registry}: no models", highlight=False, soft_wrap=True)
    for model in found:
        _print_versions(model)
    return 0


@models.command()
@click.argument("model")
@_options
@_as_json
@_command
def show(*, model: str, storage: tuple[str, ...], as_json: bool) -> int:
    """Show REGISTRY/NAME with the history of its aliases, or one version of it: REGISTRY/NAME@VERSION or @ALIAS."""
    from encdec_batch.models.reference import expect_reference
    from encdec_batch.models.registry import show_model, show_version

    options = _parse_options(storage)
    if "@" in model.rpartition("/")[2]:
        shown = show_version(expect_reference(model), options)
        if as_json:
            parent = shown.parent.version if shown.parent else None
            card = shown.package.card.model_dump(mode="json")
            click.echo(json.dumps(_version(shown.version) | {"parent": parent, "card": card}))
        else:
            _print_version(shown)
        return 0
    found = show_model(model, options)
    if as_json:
        click.echo(json.dumps(_model(found)))
    else:
        _print_versions(found)
        for alias in found.aliases.values():
            _print_history(alias)
    return 0


@models.command()
@click.argument("package")
@click.argument("registry")
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The training spec that made it, to be kept with the version.",
)
@_options
@_as_json
@_command
def add(*, package: str, registry: str, spec_file: Path | None, storage: tuple[str, ...], as_json: bool) -> int:
    """Bring a model package into a registry, as the version that its card says: a folder, or REGISTRY/NAME@VERSION of
    another registry.

    After an interruption the same command goes on. A version that is there already is never changed.
    """
    from encdec_batch.models.registry import add_package

    spec = _text_of(spec_file) if spec_file else ""
    added = add_package(package, registry, _parse_options(storage), spec=spec)
    if as_json:
        click.echo(json.dumps({"reference": str(added.reference), "new": added.new} | _version(added.version)))
    else:
        console.stdout().print(
            f"{added.reference}{'' if added.new else ' was there already'}", highlight=False, soft_wrap=True
        )
    return 0


@models.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("out")
@click.option(
    "--card",
    "card_file",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML: what the network takes and gives (docs/onnx.md).",
)
@click.option(
    "--trusted",
    is_flag=True,
    help="FILE is a .pt2 of torch.export from a source that I would run a program of: opening it runs what is in it.",
)
@_as_json
@_command
def import_(*, file: Path, out: str, card_file: Path, trusted: bool, as_json: bool) -> int:
    """Make a model package of an ONNX file, or of published weights of restoration (.pth, .pt, .ckpt, .safetensors), in
    the new folder OUT; what tiles must respect is measured.

    Of weights files nothing is run: what holds more than tensors is refused (docs/extras.md). A file of torch.export is
    converted to ONNX first, with --trusted alone.
    """
    from encdec_batch.models.package import PICKLED

    if trusted and file.suffix != ".pt2":
        raise SpecError(f"--trusted is for files of torch.export, {file} is none", hint="leave it out")
    if file.suffix.lower() in PICKLED - _WEIGHTS and not trusted:
        raise SpecError(
            f"{file}: a {file.suffix} file holds pickles, which run code when they are loaded; it was not opened",
            hint="of torch.export and your own? say --trusted. Else export the network to ONNX where it comes from",
        )
    package = _imported(file, card_file, out, trusted=trusted)
    card = package.card
    if as_json:
        click.echo(json.dumps({"package": out, "digest": package.digest, "card": card.model_dump(mode="json")}))
    else:
        said = f"{out}: {card.name} {card.version}, {_geometry(card)}"
        console.stdout().print(said, highlight=False, soft_wrap=True)
    return 0


@models.command()
@click.argument("reference")
@_alias
@_options
@_as_json
@_command
def promote(*, reference: str, alias: str, storage: tuple[str, ...], as_json: bool) -> int:
    """Let an alias name a version: REGISTRY/NAME@VERSION, or @candidate. Every byte of it is checked before.

    Where somebody else moves the alias at the same time, one of the two is told so, and exits with 1.
    """
    from encdec_batch.models import registry

    return _moved(registry.promote(reference, alias, _parse_options(storage)), as_json=as_json)


@models.command()
@click.argument("model")
@_alias
@_options
@_as_json
@_command
def rollback(*, model: str, alias: str, storage: tuple[str, ...], as_json: bool) -> int:
    """Let an alias of REGISTRY/NAME name the version that it named before."""
    from encdec_batch.models import registry

    return _moved(registry.rollback(model, alias, _parse_options(storage)), as_json=as_json)


def _moved(moved: Moved, *, as_json: bool) -> int:
    alias = moved.alias
    if as_json:
        click.echo(json.dumps(_alias_state(alias) | {"name": alias.name, "alias": alias.alias, "moved": moved.moved}))
    else:
        said = "is now" if moved.moved else "was already"
        console.stdout().print(f"{alias.alias} of {alias.name} {said} {alias.version}", highlight=False, soft_wrap=True)
    return 0


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "versions": [_version(version) for version in model.versions],
        "aliases": {name: _alias_state(alias) for name, alias in model.aliases.items()},
    }


def _version(version: Version) -> dict[str, Any]:
    return version.model_dump(mode="json", exclude={"format_version"})


def _alias_state(alias: Alias) -> dict[str, Any]:
    return {
        "version": alias.version,
        "digest": alias.digest,
        "before": alias.before,
        "history": [move.model_dump(mode="json") for move in alias.moves],
    }


def _print_versions(model: Model) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), title=model.name, title_justify="left")
    for title in ("version", "added", "size", "digest", ""):
        table.add_column(title, no_wrap=True)
    for one in model.versions:
        named = ", ".join(name for name, alias in model.aliases.items() if alias.version == one.version)
        table.add_row(one.version, _when(one.added), format_bytes(one.size_bytes), one.digest[:16], named)
    console.stdout().print(table)


def _print_version(shown: Shown) -> None:
    version, card = shown.version, shown.package.card
    rows = {
        "model": f"{card.name} {card.version}",
        "package": f"sha256 {version.digest}",
        "added": _when(version.added),
        "task": card.task,
        "network": f"{card.architecture}, {card.memory.parameters:,} parameters",
        "bands": ", ".join(band.name for band in card.bands),
        "geometry": _geometry(card),
        "trained on": f"{card.training.data} ({card.training.licence})",
        "parent": f"{shown.parent.version}  {card.parent}" if shown.parent else card.parent or "-",
        "metrics": json.dumps(card.metrics) if card.metrics else "-",
        "spec": f"{len(version.spec.splitlines())} lines, in --json" if version.spec else "-",
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(name, value)
    console.stdout().print(table)


def _print_history(alias: Alias) -> None:
    out = console.stdout()
    for move in alias.moves:
        line = f"{alias.alias}  {move.number}  {_when(move.time)}  {move.kind}  {move.version}"
        out.print(line, highlight=False, soft_wrap=True)


def _geometry(card: Card) -> str:
    found = card.geometry
    margin = f", margin {found.margin}" if found.margin else ""
    return f"{found.exactness}: reach {found.reach}, stride {found.stride}, scale {found.scale}{margin}"


def _imported(file: Path, card_file: Path, out: str, *, trusted: bool) -> Package:
    from encdec_batch.models.card import ONNX
    from encdec_batch.models.given import read_declared

    if file.suffix.lower() in _WEIGHTS:
        return _imported_weights(file, card_file, out)
    try:
        from encdec_batch.models.onnx_import import Source, import_onnx, read_source
    except ModuleNotFoundError as error:
        raise ModelError(
            f"ONNX files need {error.name}, which is not installed", hint="pip install 'encdec-batch[onnx]'"
        ) from error
    declared = read_declared(card_file, ONNX)
    if not trusted:
        return import_onnx(read_source(file), declared, out)
    if not file.is_file():
        raise SpecError(f"cannot read {file}")
    from encdec_batch.models.exported import convert_exported

    return import_onnx(Source(data=convert_exported(file), others={}, where=str(file)), declared, out)


def _imported_weights(file: Path, card_file: Path, out: str) -> Package:
    from encdec_batch.models.architectures import cannot_import
    from encdec_batch.models.given import read_declared

    try:
        from encdec_batch.models.published import SPANDREL, import_published
    except (ImportError, RuntimeError) as error:  # torchvision that is not of this torch raises the latter
        raise cannot_import("spandrel", error) from error
    return import_published(file, read_declared(card_file, SPANDREL), out)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _text_of(path: Path) -> str:
    from encdec_batch.models.version import MAX_SPEC_BYTES

    try:
        with path.open("rb") as file:
            data = file.read(MAX_SPEC_BYTES + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the spec {path}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if len(data) > MAX_SPEC_BYTES:
        raise SpecError(f"{path} is larger than {MAX_SPEC_BYTES:,} bytes", hint="this is no spec")
    return text
