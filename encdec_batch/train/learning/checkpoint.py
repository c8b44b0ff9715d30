"""States of a training on a store: from which it goes on after a kill.

    checkpoints/<step>-<id>.safetensors    all tensors of a state; create-only, never changed
    newest.json                            which files count, newest last, with their digests and all that is no tensor

A checkpoint becomes visible by one small write, that of newest.json, which names the etag it replaces: of two
trainings that write at once, one is told so. Until then what it replaces stays as it was, also when the disk is full.
No format that runs code when it is read.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from encdec_batch.errors import CheckpointError, ModelError, ObjectMissing, PreconditionFailed
from encdec_batch.models.package import check_safetensors
from encdec_batch.plan.keys import canonical_json
from encdec_batch.spec.text import parse_json
from encdec_batch.store.store import Store

NEWEST = "newest.json"
FOLDER = "checkpoints/"
FORMAT_VERSION = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A training after `step` steps."""

    step: int
    """With the seed it says which samples come next, and with which random numbers."""
    tensors: Mapping[str, Tensor]
    """Networks, moving average, optimisers."""
    values: Mapping[str, Any]
    """Whatever else, as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    step: int
    path: str
    sha256: str
    values: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one training; one process writes them.

    Args:
        store: of the training's folder.
        keep: how many stay.
    """

    def __init__(self, store: Store, *, keep: int = 2) -> None:
        self._store, self._keep = store, keep
        self._entries: tuple[_Entry, ...] = ()
        self._etag: str | None = None

    def newest(self) -> State | None:
        """The newest state that is whole; None where the training has not come to its first.

        Raises:
            CheckpointError: there is none that can be read, though there should be.
            StoreError: the store did not answer.
        """
        try:
            data, info = self._store.get_with_info(NEWEST)
        except ObjectMissing:
            return None
        self._entries, self._etag = _parse(data, f"{self._store.uri}/{NEWEST}"), info.etag
        for entry in reversed(self._entries):
            try:
                return self._read(entry)
            except (CheckpointError, ObjectMissing) as error:
                log.warning("train.checkpoint_unusable", extra={"step": entry.step, "error": str(error)})
        raise CheckpointError(
            f"{self._store.uri}: none of the checkpoints that {NEWEST} names can be read",
            hint="restore the folder, or train anew into another one",
        )

    def save(self, state: State) -> None:
        """Write a state and make it the newest; older ones than are kept are deleted.

        Raises:
            CheckpointError: another training has written here meanwhile.
            StoreError: the store did not take it; the last one is still the newest.
        """
        data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()})
        path = f"{FOLDER}{state.step:09d}-{uuid.uuid4().hex[:8]}.safetensors"
        self._store.create(path, data)
        entry = _Entry(step=state.step, path=path, sha256=sha256(data).hexdigest(), values=dict(state.values))
        entries = (*[one for one in self._entries if one.step < state.step], entry)[-self._keep :]
        self._point_to(entries)
        self._entries = entries
        self._clean()

    def _point_to(self, entries: tuple[_Entry, ...]) -> None:
        data = canonical_json({"format_version": FORMAT_VERSION, "checkpoints": [asdict(entry) for entry in entries]})
        try:
            if self._etag is None:
                info = self._store.create(NEWEST, data)
            else:
                info = self._store.replace(NEWEST, data, etag=self._etag)
        except PreconditionFailed as error:
            raise CheckpointError(
                f"{self._store.uri}: another process has written checkpoints of this training meanwhile",
                hint="let one of them end; the same command then goes on where it was",
            ) from error
        self._etag = info.etag

    def _clean(self) -> None:
        """Delete what is no longer named, a file that a dead process left among it."""
        named = {entry.path for entry in self._entries}
        self._store.delete([info.path for info in self._store.list(FOLDER) if info.path not in named])

    def _read(self, entry: _Entry) -> State:
        where = f"{self._store.uri}/{entry.path}"
        data = self._store.get(entry.path)
        if sha256(data).hexdigest() != entry.sha256:
            raise CheckpointError(f"{where}: its sha256 is not the one that {NEWEST} names", hint="it was damaged")
        try:
            check_safetensors(data, where=where)
            tensors = load(data)
        except (ModelError, SafetensorError, ValueError) as error:
            raise CheckpointError(f"{where}: no checkpoint: {error}", hint="it was damaged") from error
        return State(step=entry.step, tensors=tensors, values=entry.values)


def newest_step(store: Store) -> int:
    """Of the newest checkpoint, which is not read; 0: there is none yet.

    Raises:
        CheckpointError: the record of the checkpoints is damaged.
        StoreError: the store did not answer.
    """
    try:
        data = store.get(NEWEST)
    except ObjectMissing:
        return 0
    return max((entry.step for entry in _parse(data, f"{store.uri}/{NEWEST}")), default=0)


def _parse(data: bytes, where: str) -> tuple[_Entry, ...]:
    try:
        values = parse_json(data.decode())
        if values["format_version"] > FORMAT_VERSION:
            raise CheckpointError(f"{where}: written by a newer version", hint="update encdec-batch")
        entries = tuple(_Entry(**one) for one in values["checkpoints"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{where}: damaged: {error}", hint="restore it, or train anew into another folder"
        ) from error
    if not all(one.path.startswith(FOLDER) and ".." not in one.path and isinstance(one.step, int) for one in entries):
        raise CheckpointError(f"{where}: damaged: it names files outside {FOLDER}", hint="restore it")
    return entries
