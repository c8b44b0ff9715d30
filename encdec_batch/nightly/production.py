"""What is in production when a night looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from encdec_batch.models.alias import Alias, read_alias
from encdec_batch.models.lineage import read_lineage
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.reference import Reference
from encdec_batch.nightly.records import Against
from encdec_batch.nightly.watermark import watermark_of
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.store.open import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionState:
    """Production at one moment; every byte of its package was checked."""

    alias: tuple[Alias, str] | None
    """The alias and its etag: what a move is conditional on. None: it was never set."""
    package: Package | None
    known: Mapping[str, str] = field(default_factory=dict)
    """The watermark, by key to fingerprint."""
    by_night: bool = False
    """A night made what is in production."""
    waiting: str = ""
    """Version of the candidate that waits for the first promotion; empty: none does."""

    @property
    def against(self) -> Against | None:
        """For the record of a decision."""
        if self.alias is None:
            return None
        alias, etag = self.alias
        promoted = next((move.number for move in reversed(alias.moves) if move.kind == "promote"), 0)
        return Against(
            version=alias.version, digest=alias.digest, etag=etag, move=alias.moves[-1].number, promotion=promoted
        )


def reference_of(spec: NightlySpec, wanted: str) -> Reference:
    """A version, or what an alias names, of the model that this job trains."""
    return Reference(registry=spec.registry.rstrip("/"), name=spec.train.card.name, wanted=wanted)


def model_of(spec: NightlySpec) -> str:
    """REGISTRY/NAME of the model that this job trains."""
    return f"{spec.registry.rstrip('/')}/{spec.train.card.name}"


def production_alias(spec: NightlySpec) -> Alias | None:
    """The alias as it is now; None: it was never set.

    Raises:
        ModelError: it is damaged.
    """
    read = read_alias(open_store(spec.registry, spec.registry_storage), spec.train.card.name, "production")
    return read[0] if read else None


def production_state(spec: NightlySpec) -> ProductionState:
    """Production now.

    Raises:
        ModelError: the alias names a version that is not there, or whose files are damaged.
    """
    store, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    read = read_alias(store, name, "production")
    known = watermark_of(store, name, read[0] if read else None)
    if read is None:
        candidate = read_alias(store, name, "candidate")
        return ProductionState(alias=None, package=None, known=known, waiting=candidate[0].version if candidate else "")
    package = load_package(str(reference_of(spec, "production")), spec.registry_storage)
    by_night = read_lineage(store, name, read[0].digest) is not None
    return ProductionState(alias=read, package=package, known=known, by_night=by_night)
