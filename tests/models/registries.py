"""Registries for tests, and packages that take no time to make: the shipped one under other names and versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from servers import S3Server

from encdec_batch.models.card import card_bytes
from encdec_batch.models.package import Package, load_package
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store

SHIPPED = Path(__file__).parents[2] / "jobs" / "packages" / "nuclei"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a registry is to be."""

    uri: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return open_store(self.uri, self.options)

    def names(self) -> list[str]:
        return [info.path for info in self.store.list()]


@contextmanager
def place_of(kind: str, folder: Path, server: S3Server | None) -> Iterator[Place]:
    if server is None:
        yield Place(uri=f"{'file://' if kind == 'file' else ''}{folder}/registry")
    else:
        yield Place(uri=f"s3://{server.make_bucket()}/models", options=server.options)


@cache
def shipped() -> Package:
    return load_package(str(SHIPPED))


def package_folder(where: Path, version: str = "1", **changes: object) -> Path:
    """A package in a folder of its own, sealed."""
    package = shipped()
    card = package.card.model_copy(update={"version": version} | changes)
    number = len(list(where.iterdir())) if where.exists() else 0
    folder = where / f"{card.name}-{version}-{number}"
    folder.mkdir(parents=True)
    for name, data in (package.files | {"card.json": card_bytes(card)}).items():
        (folder / name).write_bytes(data)
    return folder
