"""An alias in a registry: `<name>/aliases/<alias>.json`, one small object that says which version, and which before.

It is created create-only and replaced with If-Match on the etag that was read. It holds the number of its moves, so no
two states have the same bytes, hence no two the same etag: who was overtaken is refused, also where an alias came back
to a version that it had before.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.errors import ModelError, ObjectMissing, PreconditionFailed
from encdec_batch.models.card import CardModel
from encdec_batch.models.reference import Reference
from encdec_batch.models.version import Sha256, Version, expect_version, parse_record, record_bytes
from encdec_batch.store.store import Store

KEPT_MOVES = 1000
"""The newest; an alias that moves every night keeps three years of them."""


class Move(CardModel):
    """One move of an alias."""

    number: Annotated[int, Field(ge=1)]
    """From 1, counting on for ever."""
    kind: Literal["promote", "rollback"]
    version: str
    digest: Sha256
    """Of the package."""
    time: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Seconds since 1970, by the store's clock."""


class Alias(CardModel):
    """The state of an alias: the last of its moves is what holds."""

    format_version: Literal[1] = 1
    name: str
    alias: str
    moves: Annotated[tuple[Move, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _counts_on(self) -> Alias:
        first = self.moves[0].number
        if [move.number for move in self.moves] != list(range(first, first + len(self.moves))):
            raise ValueError("the numbers of the moves do not follow one another")
        return self

    @property
    def version(self) -> str:
        return self.moves[-1].version

    @property
    def digest(self) -> str:
        return self.moves[-1].digest

    @property
    def before(self) -> str | None:
        """The version to go back to: promotions pile up, and a rollback takes the uppermost away."""
        pile: list[str] = []
        for move in self.moves:
            if move.kind == "rollback" and len(pile) > 1:
                pile.pop()
            # Of moves that are no longer kept the last rollbacks may go back further than the pile.
            if not pile or pile[-1] != move.version:
                pile.append(move.version)
        return pile[-2] if len(pile) > 1 else None


def alias_path(name: str, alias: str) -> str:
    return f"{name}/aliases/{alias}.json"


def read_alias(store: Store, name: str, alias: str) -> tuple[Alias, str] | None:
    """The alias and its etag; None where it was never set.

    Raises:
        ModelError: it is damaged, or of a newer program.
    """
    path = alias_path(name, alias)
    try:
        data, info = store.get_with_info(path)
    except ObjectMissing:
        return None
    found = parse_record(Alias, data, where=f"{store.uri}/{path}")
    if (found.name, found.alias) != (name, alias):
        raise ModelError(f"{store.uri}/{path}: is {found.alias} of {found.name}", hint="restore it from a copy")
    return found, info.etag


def move_alias(
    store: Store, alias: str, to: Version, kind: Literal["promote", "rollback"], read: tuple[Alias, str] | None
) -> Alias:
    """Let an alias name this version, where it still is what was read.

    Args:
        store: the registry.
        alias: which.
        to: a version that is there.
        kind: of the move.
        read: the alias and its etag as they were read before the decision; None: it was not there.

    Raises:
        ModelError: somebody else moved it meanwhile; nothing was overwritten.
        StoreError: the store does not say whether it was done.
    """
    earlier = read[0].moves if read else ()
    move = Move(
        number=earlier[-1].number + 1 if earlier else 1,
        kind=kind,
        version=to.version,
        digest=to.digest,
        time=store.now(),
    )
    wanted = Alias(name=to.name, alias=alias, moves=(*earlier[-KEPT_MOVES + 1 :], move))
    path, data = alias_path(to.name, alias), record_bytes(wanted)
    try:
        if read is None:
            store.create(path, data)
        else:
            store.replace(path, data, etag=read[1])
    except PreconditionFailed as error:
        now = read_alias(store, to.name, alias)
        # An answer may have been lost, and another have moved it on since: then ours is in its history.
        if now is not None and move in now[0].moves:
            return now[0]
        there = f"names {now[0].version} since" if now else "is gone"
        raise ModelError(
            f"{store.uri}: {alias} of {to.name} was moved by somebody else meanwhile and {there}; nothing was changed",
            hint="look at what it names now (`models show`), and say it again if it is still wanted",
            alias=alias,
            found=now[0].version if now else None,
        ) from error
    return wanted


def resolve(store: Store, reference: Reference) -> Version:
    """The version that a reference means now.

    Raises:
        ModelError: there is none, or a record is damaged.
    """
    if not reference.is_alias:
        return expect_version(store, reference.name, reference.wanted)
    found = read_alias(store, reference.name, reference.wanted)
    if found is None:
        command = f"models promote {reference.registry}/{reference.name}@VERSION --alias {reference.wanted}"
        raise ModelError(
            f"{reference}: {reference.wanted} of {reference.name} was never set", hint=f"encdec-batch {command}"
        )
    version = expect_version(store, reference.name, found[0].version)
    if found[0].digest != version.digest:
        raise ModelError(f"{reference}: names other bytes than {version.version}", hint="restore it from a copy")
    return version
