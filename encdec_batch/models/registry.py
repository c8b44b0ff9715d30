"""A registry: model packages below one URI, by name and version, with aliases that can be moved (docs/registry.md).

    <name>/versions/<version>.json       makes a version visible, after all its files; never changed
    <name>/packages/<digest>/...         a package as it is anywhere else, in the folder of its own digest
    <name>/aliases/<alias>.json          which version is in production, and which were
    <name>/lineage/<digest>.json         of a version that a night made: the labelled scenes that were there
    <name>/retired/<version>.json        the record of a version that is being taken out

There is no server, no index and no lock: five kinds of objects, and the store's conditional writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from encdec_batch.errors import DigestMismatch, ModelError, PreconditionFailed, SpecError
from encdec_batch.models.alias import Alias, move_alias, read_alias
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.reference import ALIASES, Reference, expect_reference, split_model
from encdec_batch.models.version import (
    Version,
    check_not_an_alias,
    expect_version,
    package_folder,
    read_version,
    read_versions,
    record_bytes,
    version_names,
    version_path,
)
from encdec_batch.store.open import open_store
from encdec_batch.store.secrets import Options
from encdec_batch.store.store import Store

_LEFT_OVER_S = 86_400.0
"""An upload older than this has nobody who goes on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """All versions of one name, and what is said of them."""

    name: str
    versions: tuple[Version, ...]
    """In the order in which they were added."""
    aliases: dict[str, Alias]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One version with all of its lineage."""

    version: Version
    package: Package
    parent: Version | None
    """The version that it was trained from, where that is one of this model here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A version that is there now."""

    reference: Reference
    version: Version
    new: bool
    """False: it was there before, of the same bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where an alias is now."""

    alias: Alias
    moved: bool
    """False: it was there already."""


def add_package(
    uri: str,
    registry: str,
    options: Options | None = None,
    *,
    package_options: Options | None = None,
    spec: str = "",
) -> Added:
    """Bring the package in the folder `uri` into a registry, as the version that its card says.

    After an interruption the same call goes on. The version is seen by others when it is complete, and not before.

    Args:
        uri: of a package, e.g. a folder of this machine, or a version of another registry.
        registry: URI; made if nothing is there.
        options: of the registry's store.
        package_options: of the package's.
        spec: text of the training spec, to be kept with the version.

    Raises:
        ModelError: the package cannot be used, or the registry has other bytes under this version.
        SpecError: the store overwrites what must not be, or the version is called by an alias.
        StoreError: the store did not do it.
    """
    package = load_package(uri, package_options)
    card, store = package.card, open_store(registry, options)
    check_not_an_alias(card.version)
    present = read_version(store, card.name, card.version)
    version, new = (present, False) if present else _make_visible(store, package, spec)
    if version.digest != package.digest:
        raise ModelError(
            f"{store.uri}: {card.name} has a version {card.version} already, of other bytes ({version.digest[:16]}...)",
            hint="versions are never changed: give this one a new `version` in its card",
        )
    reference = Reference(registry=registry.rstrip("/"), name=card.name, wanted=card.version)
    return Added(reference=reference, version=version, new=new)


def list_models(registry: str, options: Options | None = None) -> list[Model]:
    """Every model of a registry, by name.

    Raises:
        ModelError: a record is damaged.
    """
    store = open_store(registry, options)
    store.now()
    versions = read_versions(store, list(version_names(store)))
    names = sorted({version.name for version in versions})
    return [_model(store, name, [one for one in versions if one.name == name]) for name in names]


def show_model(uri: str, options: Options | None = None) -> Model:
    """One model: `REGISTRY/NAME`.

    Raises:
        ModelError: there is none of this name.
    """
    registry, name = split_model(uri)
    store = open_store(registry, options)
    store.now()
    versions = read_versions(store, list(version_names(store, f"{name}/versions/")))
    if not versions:
        raise ModelError(f"{registry}: no model {name} is here", hint=f"`models list {registry}` shows those that are")
    return _model(store, name, versions)


def show_version(reference: Reference, options: Options | None = None) -> Shown:
    """One version, its package with every byte checked, and where it came from.

    Raises:
        ModelError: it is not there, or its package cannot be used.
    """
    version, package = _load(reference, options)
    parent = None
    if package.card.parent is not None:
        store = open_store(reference.registry, options)
        siblings = read_versions(store, list(version_names(store, f"{reference.name}/versions/")))
        parent = next((one for one in siblings if one.digest == package.card.parent), None)
    return Shown(version=version, package=package, parent=parent)


def promote(reference: str, alias: str, options: Options | None = None) -> Moved:
    """Let an alias name a version.

    Args:
        reference: `REGISTRY/NAME@VERSION`, or by another alias.
        alias: `production` or `candidate`.
        options: of the registry's store.

    Raises:
        ModelError: there is no such version, its files are damaged, or somebody else moved the alias meanwhile.
        SpecError: the alias is not one of the two, or the store cannot compare.
    """
    wanted = expect_reference(reference)
    _check_alias(alias)
    return promote_over(wanted, alias, read_alias(open_store(wanted.registry, options), wanted.name, alias), options)


def promote_over(
    wanted: Reference, alias: str, read: tuple[Alias, str] | None, options: Options | None = None
) -> Moved:
    """Let an alias name a version, where it still is what it was when the decision was made.

    Args:
        wanted: a version.
        alias: `production` or `candidate`.
        read: the alias and its etag as they were read before the decision; None: it was not there.
        options: of the registry's store.

    Raises:
        ModelError: as `promote`; an alias that was moved since has `context["alias"]`.
        SpecError: the store cannot compare.
    """
    store = open_store(wanted.registry, options)
    # Nothing that would be refused by a job is put into production: every byte is read.
    version, _ = _load(wanted, options)
    if read is not None and read[0].version == version.version:
        return Moved(alias=read[0], moved=False)
    _check_store(store, if_match=True)
    return Moved(alias=move_alias(store, alias, version, "promote", read), moved=True)


def rollback(uri: str, alias: str = "production", options: Options | None = None) -> Moved:
    """Let an alias name the version again that it named before; a second time, the one before that.

    Args:
        uri: `REGISTRY/NAME`.
        alias: `production` or `candidate`.
        options: of the registry's store.

    Raises:
        ModelError: there is none before, its files are damaged, or somebody else moved the alias meanwhile.
    """
    registry, name = split_model(uri)
    _check_alias(alias)
    store = open_store(registry, options)
    read = read_alias(store, name, alias)
    before = read[0].before if read else None
    if read is None or before is None:
        there = f"is {read[0].version}, and was none before" if read else "was never set"
        raise ModelError(f"{registry}: {alias} of {name} {there}", hint=f"say which one: models promote {uri}@VERSION")
    version, _ = _load(Reference(registry=registry, name=name, wanted=before), options)
    _check_store(store, if_match=True)
    return Moved(alias=move_alias(store, alias, version, "rollback", read), moved=True)


def _load(reference: Reference, options: Options | None) -> tuple[Version, Package]:
    package = load_package(str(reference), options)
    store = open_store(reference.registry, options)
    return expect_version(store, package.card.name, package.card.version), package


def _model(store: Store, name: str, versions: list[Version]) -> Model:
    found = {alias: read_alias(store, name, alias) for alias in ALIASES}
    return Model(
        name=name, versions=tuple(versions), aliases={alias: state[0] for alias, state in found.items() if state}
    )


def _make_visible(store: Store, package: Package, spec: str) -> tuple[Version, bool]:
    """All files, then the record; the record that is there in the end, and whether it is this call's."""
    _check_store(store, if_match=False)
    card = package.card
    size_bytes = _upload(store, package)
    record = Version(
        name=card.name,
        version=card.version,
        digest=package.digest,
        size_bytes=size_bytes,
        added=store.now(),
        spec=spec,
    )
    try:
        store.create(version_path(card.name, card.version), record_bytes(record))
    except PreconditionFailed:
        return expect_version(store, card.name, card.version), False
    return record, True


def _upload(store: Store, package: Package) -> int:
    """The files of a package into the folder of its digest, the card last; how many bytes they are."""
    folder = package_folder(package.card.name, package.digest)
    store.abort_uploads(f"{package.card.name}/packages/", before=store.now() - _LEFT_OVER_S)
    for name, data in package.files.items():
        path = f"{folder}/{name}"
        try:
            store.create(path, data)
        except PreconditionFailed as error:
            # Of an attempt that was interrupted; the folder's name says which bytes these must be.
            if sha256(store.get(path)).digest() != sha256(data).digest():
                raise DigestMismatch(
                    f"{store.uri}/{path}: is not what its folder's name says",
                    hint="it was damaged or changed by hand: delete it and say the same again",
                ) from error
    return sum(map(len, package.files.values()))


def _check_store(store: Store, *, if_match: bool) -> None:
    """Tried out, since some stores take conditions and ignore them."""
    able = store.probe()
    if not able.create_only or (if_match and not able.if_match):
        which = "If-None-Match" if not able.create_only else "If-Match"
        raise SpecError(
            f"{store.uri}: this store overwrites what must not be (it ignores {which})",
            hint="keep the registry in a store with conditional writes",
        )


def _check_alias(alias: str) -> None:
    if alias not in ALIASES:
        raise SpecError(f"there is no alias {alias!r}", hint=f"say one of {', '.join(ALIASES)}")
