"""A model package as files on a store: verified when read, complete when visible.

    card.json             the card; its sha256 is the package's digest, as it names the digests of the others
    weights.safetensors   the network's state, by the names of its parameters
    golden.safetensors    an input and the output that belongs to it, replayed wherever the network is loaded

No torch here, and no format that runs code when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from encdec_batch.errors import CardError, DigestMismatch, ModelError, ObjectMissing, PreconditionFailed
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
from encdec_batch.store.open import open_store
from encdec_batch.store.secrets import Options
from encdec_batch.store.store import Store

CARD_NAME = "card.json"
_MAX_CARD_BYTES = 4 * 2**20
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A verified package in memory; plain bytes, so it travels to workers."""

    card: Card
    digest: str
    """sha256 of card.json, hex: names the package and all of its bytes."""
    weights: bytes
    golden: bytes
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What models/publish.py found out about a network and wants in its card."""

    geometry: GeometryCard
    tolerance: Mapping[str, ToleranceCard]
    memory: MemoryCard


def load_package(uri: str, options: Options | None = None) -> Package:
    """The package in the folder `uri`, every byte checked against the digests of its card.

    Raises:
        ModelError: there is no package, or its weights are not safetensors.
        CardError: its card is wrong.
        DigestMismatch: a file is not the one that its card names.
        StoreError: the store did not answer.
    """
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
    for name in (WEIGHTS_NAME, GOLDEN_NAME):
        check_safetensors(files[name], where=f"{uri}/{name}")
    digest = sha256(data).hexdigest()
    return Package(card=card, digest=digest, weights=files[WEIGHTS_NAME], golden=files[GOLDEN_NAME], uri=uri)


def create_package(store: Store, declared: Declared, measured: Measured, *, weights: bytes, golden: bytes) -> Package:
    """Write a package into a store's folder; the card comes last, so that what is visible is complete.

    Writing the same package again is fine.

    Raises:
        ModelError: another package lies there, or the weights are not safetensors.
        StoreError: the store did not do it.
    """
    files = {WEIGHTS_NAME: weights, GOLDEN_NAME: golden}
    for name, data in files.items():
        check_safetensors(data, where=name)
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
    digest = sha256(card_bytes(card)).hexdigest()
    return Package(card=card, digest=digest, weights=weights, golden=golden, uri=store.uri)


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
    if suffix in {".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".pt2"}:
        raise ModelError(
            f"{uri}: a {suffix} file is a pickle, which runs code when it is loaded; it was not opened",
            hint="name the folder of a model package (card.json, weights.safetensors, golden.safetensors)",
            uri=uri,
        )
    if suffix in {".safetensors", ".onnx", ".json"}:
        raise ModelError(f"{uri}: this is a file", hint="name the folder that holds card.json", uri=uri)
