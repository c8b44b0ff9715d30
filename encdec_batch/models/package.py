"""A model package as files on a store: verified when read, complete when visible.

    card.json             the card; its sha256 is the package's digest, as it names the digests of the others
    weights.safetensors   the network's state, by the names of its parameters; of architecture `onnx` instead
    model.onnx            the whole network (models/onnx_checks.py), and files that its weights lie in
    golden.safetensors    an input and the output that belongs to it, replayed wherever the network is loaded

No torch here, and no format that runs code when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import PurePosixPath

from encdec_batch.errors import CardError, DigestMismatch, ModelError, ObjectMissing, PreconditionFailed
from encdec_batch.models.alias import resolve
from encdec_batch.models.card import (
    GOLDEN_NAME,
    WEIGHTS_NAME,
    Card,
    Declared,
    GeometryCard,
    MemoryCard,
    ToleranceCard,
    card_bytes,
    parse_card,
)
from encdec_batch.models.reference import Reference, parse_reference
from encdec_batch.store.open import open_store
from encdec_batch.store.secrets import Options
from encdec_batch.store.store import Store

CARD_NAME = "card.json"
_MAX_CARD_BYTES = 4 * 2**20
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
PICKLED = frozenset({".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".pt2"})
"""Endings of files that run code when they are loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A verified package in memory; plain bytes, so it travels to workers."""

    card: Card
    digest: str
    """sha256 of card.json, hex: names the package and all of its bytes."""
    weights: bytes
    """weights.safetensors or model.onnx."""
    golden: bytes
    uri: str
    """Of its folder; of a registered one the reference by its version, never by an alias."""
    folder: str = field(default="", compare=False)
    """Where its files lay when they were read; empty for one that was made here."""
    card_data: bytes = b""
    """card.json as it lay there."""
    others: Mapping[str, bytes] = field(default_factory=dict)
    """By name, the other files that the card names."""

    @property
    def files(self) -> dict[str, bytes]:
        """Every file of the package by its name; the card, which makes it complete, comes last."""
        named = {self.card.weights_name: self.weights, GOLDEN_NAME: self.golden}
        return {**named, **self.others, CARD_NAME: self.card_data}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What models/publish.py found out about a network and wants in its card."""

    geometry: GeometryCard
    tolerance: Mapping[str, ToleranceCard]
    memory: MemoryCard


def load_package(uri: str, options: Options | None = None) -> Package:
    """The package in the folder `uri`, or the one that `REGISTRY/NAME@VERSION` or `REGISTRY/NAME@ALIAS` names; every
    byte checked against the digests of its card.

    Raises:
        ModelError: there is no package, or its weights are not safetensors.
        CardError: its card is wrong.
        DigestMismatch: a file is not the one that its card names, or the card not the one that the registry names.
        StoreError: the store did not answer.
    """
    reference = parse_reference(uri)
    return _load_folder(uri, options) if reference is None else _load_registered(reference, options)


def _load_registered(reference: Reference, options: Options | None) -> Package:
    """The alias is looked up here, once: what comes back is named by its version."""
    store = open_store(reference.registry, options)
    store.now()
    version = resolve(store, reference)
    where = f"{reference.registry}/{version.folder}"
    package = _load_folder(where, options)
    if package.digest != version.digest or (package.card.name, package.card.version) != (version.name, version.version):
        raise DigestMismatch(
            f"{where}: the package is not the one that {version.name}@{version.version} names",
            hint="it was changed by hand: restore the folder from a copy, or add the version anew elsewhere",
            uri=where,
        )
    return replace(package, uri=str(reference.pinned(version.version)))


def _load_folder(uri: str, options: Options | None) -> Package:
    _refuse_single_file(uri)
    store = open_store(uri, options)
    # First contact has a short patience of its own: a mistyped endpoint is said in seconds, not after every retry.
    store.now()
    try:
        if store.info(CARD_NAME).size > _MAX_CARD_BYTES:
            raise CardError(f"{uri}: {CARD_NAME} is larger than {_MAX_CARD_BYTES} bytes", hint="this is not a card")
        data = store.get(CARD_NAME)
    except ObjectMissing as error:
        raise ModelError(
            f"{uri}: no model package here ({CARD_NAME} is missing)",
            hint="name the folder that holds card.json; a package without it was not completed",
            uri=uri,
        ) from error
    card = parse_card(data, where=f"{uri}/{CARD_NAME}")
    files = {name: _get_verified(store, name, digest, uri) for name, digest in sorted(card.files.items())}
    for name in {WEIGHTS_NAME, GOLDEN_NAME} & files.keys():
        check_safetensors(files[name], where=f"{uri}/{name}")
    return _package_of(card, data, files, uri)


def _package_of(card: Card, card_data: bytes, files: Mapping[str, bytes], uri: str) -> Package:
    own = {card.weights_name, GOLDEN_NAME}
    return Package(
        card=card,
        digest=sha256(card_data).hexdigest(),
        weights=files[card.weights_name],
        golden=files[GOLDEN_NAME],
        uri=uri,
        folder=uri,
        card_data=card_data,
        others={name: data for name, data in files.items() if name not in own},
    )


def create_package(store: Store, declared: Declared, measured: Measured, *, weights: bytes, golden: bytes) -> Package:
    """Write a package of a network of ours: see `write_package`.

    Raises:
        ModelError: another package lies there, or the weights are not safetensors.
        StoreError: the store did not do it.
    """
    return write_package(store, declared, measured, {WEIGHTS_NAME: weights, GOLDEN_NAME: golden})


def write_package(store: Store, declared: Declared, measured: Measured, files: Mapping[str, bytes]) -> Package:
    """Write a package into a store's folder; the card comes last, so that what is visible is complete.

    Writing the same package again is fine.

    Args:
        store: its folder.
        declared: what its author says of it.
        measured: what was found out about it.
        files: by name, all but the card.

    Raises:
        ModelError: another package lies there, or the weights are not safetensors.
        StoreError: the store did not do it.
    """
    for name in {WEIGHTS_NAME, GOLDEN_NAME} & files.keys():
        check_safetensors(files[name], where=name)
    card = Card(
        **declared.model_dump(),
        format_version=1,
        geometry=measured.geometry,
        tolerance=dict(measured.tolerance),
        memory=measured.memory,
        files={name: sha256(data).hexdigest() for name, data in files.items()},
    )
    for name, data in (*files.items(), (CARD_NAME, card_bytes(card))):
        try:
            store.create(name, data)
        except PreconditionFailed as error:
            if store.get(name) != data:
                raise ModelError(
                    f"{store.uri}: another {name} lies here already",
                    hint="a package is never changed: name a new folder",
                ) from error
    return _package_of(card, card_bytes(card), files, store.uri)


def check_safetensors(data: bytes, *, where: str) -> None:
    """Raise ModelError unless the bytes begin like a safetensors file, and say so plainly for a pickle."""
    if data[:4] == _ZIP or (data[:1] == _PICKLE and data[8:9] != b"{"):
        raise ModelError(
            f"{where}: this is a pickle (a file of torch.save), which runs code when it is loaded; it was not opened",
            hint="save the weights with safetensors.torch.save_file",
        )
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or length > len(data) - 8 or not isinstance(json.loads(data[8 : 8 + length]), dict):
            raise ValueError("no header")
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{where}: not a safetensors file", hint="make the package anew") from error


def _get_verified(store: Store, name: str, digest: str, uri: str) -> bytes:
    try:
        data = store.get(name)
    except ObjectMissing as error:
        raise ModelError(f"{uri}: {name}, which the card names, is missing", hint="copy the whole folder") from error
    found = sha256(data).hexdigest()
    if found != digest:
        raise DigestMismatch(
            f"{uri}/{name}: sha256 is {found[:16]}..., the card says {digest[:16]}...",
            hint="the file was changed or damaged: copy the package anew",
            uri=uri,
            file=name,
        )
    return data


def _refuse_single_file(uri: str) -> None:
    suffix = PurePosixPath(uri.rstrip("/")).suffix.lower()
    if suffix in PICKLED:
        raise ModelError(
            f"{uri}: a {suffix} file is a pickle, which runs code when it is loaded; it was not opened",
            hint="name the folder of a model package (card.json, weights.safetensors, golden.safetensors)",
            uri=uri,
        )
    if suffix in {".safetensors", ".onnx", ".json"}:
        raise ModelError(f"{uri}: this is a file", hint="name the folder that holds card.json", uri=uri)
