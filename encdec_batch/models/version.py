"""One version in a registry: `<name>/versions/<version>.json`, whose creation makes the version visible.

It names the package by digest, and says of its lineage what the card does not. Never changed; deleted by `retire.py`
alone, and never while an alias names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from encdec_batch.errors import ModelError, ObjectMissing, SpecError
from encdec_batch.models.card import CardModel
from encdec_batch.models.reference import ALIASES, NAME, VERSION
from encdec_batch.store.store import Store

FORMAT_VERSION = 1
"""Of the objects of a registry but the packages, whose cards have one of their own."""
MAX_SPEC_BYTES = 1 << 20
_MAX_RECORD_BYTES = 4 * MAX_SPEC_BYTES
_CONCURRENT_READS = 16

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
R = TypeVar("R", bound=BaseModel)


class Version(CardModel):
    """What a registry says of one version; data, metrics and parent are in the card that it names."""

    format_version: Literal[1] = 1
    name: str
    version: str
    digest: Sha256
    """Of the package: sha256 of its card.json."""
    size_bytes: Annotated[int, Field(ge=0)]
    """All files of the package together."""
    added: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Seconds since 1970, by the store's clock."""
    spec: Annotated[str, Field(max_length=MAX_SPEC_BYTES)] = ""
    """The text of the training spec that the network was made by; empty where it was not given."""

    @property
    def folder(self) -> str:
        """Of the package's files, below the registry."""
        return package_folder(self.name, self.digest)


def package_folder(name: str, digest: str) -> str:
    """Where the files of a package lie: named by what is in them, so that two attempts never share a folder unless they
    write the same bytes.
    """
    return f"{name}/packages/{digest}"


def version_path(name: str, version: str) -> str:
    return f"{name}/versions/{version}.json"


def read_version(store: Store, name: str, version: str) -> Version | None:
    """The record of a version; None: there is no such version, or it is not completely there yet.

    Raises:
        ModelError: the record is damaged, or of a newer program.
    """
    path = version_path(name, version)
    try:
        data = get_record(store, path)
    except ObjectMissing:
        return None
    found = parse_record(Version, data, where=f"{store.uri}/{path}")
    if (found.name, found.version) != (name, version):
        raise ModelError(
            f"{store.uri}/{path}: is the record of {found.name}@{found.version}",
            hint="records must not be renamed, and a file system must tell upper from lower case",
        )
    return found


def expect_version(store: Store, name: str, version: str) -> Version:
    """The record of a version that must be there.

    Raises:
        ModelError: there is none; the message names those that there are.
    """
    found = read_version(store, name, version)
    if found is None:
        there = [one for model, one in version_names(store, f"{name}/versions/") if model == name]
        hint = f"there are {', '.join(there[-8:])}" if there else f"{name} has no version here: see `models list`"
        raise ModelError(f"{store.uri}: {name} has no version {version}", hint=hint)
    return found


def version_names(store: Store, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and version of every record below a prefix, by one listing; reads none of them."""
    for info in store.list(prefix):
        match info.path.split("/"):
            case [name, "versions", file] if file.endswith(".json"):
                version = file.removesuffix(".json")
                if NAME.fullmatch(name) and VERSION.fullmatch(version):
                    yield name, version


def read_versions(store: Store, names: list[tuple[str, str]]) -> list[Version]:
    """The records of these versions, many at a time; in the order in which they were added."""
    with ThreadPoolExecutor(_CONCURRENT_READS) as pool:
        found = pool.map(lambda pair: read_version(store, *pair), names)
    return sorted((one for one in found if one), key=lambda one: (one.name, one.added, one.version))


def check_not_an_alias(version: str) -> None:
    """A reference must not have two meanings.

    Raises:
        SpecError: the version is called by an alias.
    """
    if version in ALIASES:
        raise SpecError(f"a version must not be called {version!r}, which is an alias", hint="say another in the card")


def get_record(store: Store, path: str) -> bytes:
    """The bytes of a record.

    Raises:
        ObjectMissing: there is none.
        ModelError: it is too large for one.
    """
    if store.info(path).size > _MAX_RECORD_BYTES:
        raise ModelError(f"{store.uri}/{path}: is larger than {_MAX_RECORD_BYTES:,} bytes", hint="this is no record")
    return store.get(path)


def parse_record(kind: type[R], data: bytes, *, where: str) -> R:
    """The record in these bytes.

    Raises:
        ModelError: it is damaged, or of a newer program, which must not be overwritten.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        if _newer(data):
            raise ModelError(
                f"{where}: is of a newer format than {FORMAT_VERSION}", hint="update encdec-batch"
            ) from error
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "record"
        raise ModelError(f"{where}: is damaged ({place}: {first['msg']})", hint="restore it from a copy") from error


def record_bytes(record: BaseModel) -> bytes:
    """The canonical JSON of a record."""
    return (json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _newer(data: bytes) -> bool:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return False
    version = said.get("format_version") if isinstance(said, dict) else None
    return isinstance(version, int) and version > FORMAT_VERSION
