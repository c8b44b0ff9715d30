"""What is in production when a night looks, and what the last promoted version knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from encdec_batch.models.alias import Alias, read_alias
from encdec_batch.models.lineage import read_lineage
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.reference import Reference
from encdec_batch.nightly.records import Against
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.open import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Production at one moment; every byte of its package was checked."""

    alias: tuple[Alias, str] | None
    """The alias and its etag: what a move is conditional on. None: it was never set."""
    package: Package | None
    known: Mapping[str, str] = field(default_factory=dict)
    """Labelled scenes that the last promoted version knew, by key to fingerprint: also where it was rolled back since,
    for what made it is no news. Where nothing was promoted yet, those of the candidate."""

    by_night: bool = False
    """A night made what is in production."""

    @property
    def against(self) -> Against | None:
        """For the record of a decision."""
        if self.alias is None:
            return None
        state, etag = self.alias
        promoted = next((move.number for move in reversed(state.moves) if move.kind == "promote"), 0)
        return Against(
            version=state.version, digest=state.digest, etag=etag, move=state.moves[-1].number, promotion=promoted
        )


def reference_of(spec: NightlySpec, wanted: str) -> Reference:
    """A version, or what an alias names, of the model that this job trains."""
    return Reference(registry=spec.registry.rstrip("/"), name=spec.train.card.name, wanted=wanted)


def standing_of(spec: NightlySpec) -> Standing:
    """Production now.

    Raises:
        ModelError: the alias names a version that is not there, or whose files are damaged.
    """
    store, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    read = read_alias(store, name, "production")
    if read is None:
        candidate = read_alias(store, name, "candidate")
        lineage = read_lineage(store, name, candidate[0].digest) if candidate else None
        return Standing(alias=None, package=None, known=lineage.scenes if lineage else {})
    package = load_package(str(reference_of(spec, "production")), spec.registry_storage)
    promoted = next((move.digest for move in reversed(read[0].moves) if move.kind == "promote"), read[0].digest)
    own = read_lineage(store, name, read[0].digest)
    lineage = (own if promoted == read[0].digest else read_lineage(store, name, promoted)) or own
    known = lineage.scenes if lineage else {}
    return Standing(alias=read, package=package, known=known, by_night=own is not None)
