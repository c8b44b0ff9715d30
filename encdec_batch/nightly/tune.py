"""The training of a night, and its package in the registry. Each step finds what an earlier try of the night left."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import yaml

from encdec_batch.errors import ModelError
from encdec_batch.models.card import ConstantNormalization
from encdec_batch.models.lineage import Lineage, read_lineage, write_lineage
from encdec_batch.models.package import Package, load_package
from encdec_batch.models.registry import add_package
from encdec_batch.models.version import read_version
from encdec_batch.nightly.find import Labels, key_of
from encdec_batch.nightly.plan import NightPlan
from encdec_batch.nightly.production import reference_of
from encdec_batch.nightly.split import AUDIT, HELD_OUT, TRAINING
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.public_spec import public_data, public_train_spec
from encdec_batch.spec.nightly import NightlySpec
from encdec_batch.spec.train import CardSpec, NetworkSpec, TrainOutputSpec, TrainSpec
from encdec_batch.spec.train_data import EstimateNormalization, GivenNormalization
from encdec_batch.spec.train_target import LabelsInput
from encdec_batch.store.object import join_uri
from encdec_batch.store.open import open_store
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.dataset.prepare import Prepared, prepare
from encdec_batch.train.dataset.split import Sides
from encdec_batch.train.learning.signature import check_numbers
from encdec_batch.train.running.collect import material_of
from encdec_batch.train.running.run import train
from encdec_batch.train.tracking.progress import Report
from encdec_batch.uri import public_values

_WAIT_S = 60.0
"""For the lease of a training whose process died elsewhere: it is free 45 s after its last renewal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NightDataset:
    """What one night trains on, and how."""

    plan: NightPlan
    labels: Labels
    """As planned."""
    spec: TrainSpec
    prepared: Prepared
    audit: frozenset[str]
    """Keys of the scenes of the audit."""

    @property
    def held_out(self) -> tuple[Inspected, ...]:
        """The scenes that decide."""
        return tuple(one for one in self.prepared.val if key_of(one.pair) not in self.audit)


def version_of(night: str) -> str:
    """The version that a night makes."""
    return night.replace("-", ".")


def prepare_dataset(spec: NightlySpec, plan: NightPlan, labels: Labels, audit: frozenset[str]) -> NightDataset:
    """Looks through the data of a night.

    Args:
        spec: of the nightly job.
        plan: of this night.
        labels: as planned.
        audit: keys of the audit scenes that are reported on.

    Raises:
        SpecError: too many files cannot be used, or none is left.
        ModelError: the version to begin with is not there.
    """
    parent = load_package(str(reference_of(spec, plan.parent)), spec.registry_storage) if plan.parent else None
    training = training_of(spec, plan, labels, parent)
    judged = [*labels.of(HELD_OUT), *(one for one in labels.of(AUDIT) if one.key in audit)]
    sides = Sides(
        train=[one.pair for one in labels.of(TRAINING)],
        val=[one.pair for one in judged],
        aside=list(labels.aside),
        note=f"held out for the nightly job by a hash of the {spec.split.by}",
        private=labels.names is not None,
    )
    prepared = prepare(training.data, sides=sides, leave_out=True, check=partial(check_numbers, training))
    return NightDataset(plan=plan, labels=labels, spec=training, prepared=prepared, audit=audit)


def made_before(spec: NightlySpec, night: str) -> Package | None:
    """The package that an earlier try of this night has put into the registry.

    Raises:
        ModelError: the night's version is there, and somebody else's.
    """
    store, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    version = read_version(store, name, version_of(night))
    if version is None:
        return None
    lineage = read_lineage(store, name, version.digest)
    if lineage is None or lineage.night != night:
        raise ModelError(
            f"{reference_of(spec, version.version)} is there, and no night made it",
            hint="versions that are dates are the nightly job's; name another night by --night",
        )
    return load_package(str(reference_of(spec, version.version)), spec.registry_storage)


def registered(spec: NightlySpec, version: str, digest: str) -> Package | None:
    """A version of the registry, if it is still there and what it was.

    Raises:
        ModelError: its files are damaged.
    """
    store, name = open_store(spec.registry, spec.registry_storage), spec.train.card.name
    found = read_version(store, name, version)
    if found is None or found.digest != digest:
        return None
    return load_package(str(reference_of(spec, version)), spec.registry_storage)


def tune(spec: NightlySpec, dataset: NightDataset, *, report: Report, verbose: bool) -> Package:
    """Train, or go on with it; then lineage and package into the registry.

    Raises:
        EncdecError: it cannot begin or go on; the same night goes on from the newest checkpoint.
    """

    def load() -> Any:
        # What is held out is judged on once, at the end: weights are not chosen by it.
        return replace(material_of(dataset.prepared, dataset.spec), examples=None)

    train(dataset.spec, load, report=report, verbose=verbose, wait_s=_WAIT_S)
    return _register(spec, dataset)


def _register(spec: NightlySpec, dataset: NightDataset) -> Package:
    output = dataset.spec.output
    package = load_package(output.package, output.package_storage)
    lineage = Lineage(
        name=package.card.name,
        digest=package.digest,
        night=dataset.plan.night,
        scenes=dataset.labels.fingerprints(),
    )
    # Before the version that names it: a version of a night is never without its lineage.
    write_lineage(open_store(spec.registry, spec.registry_storage), lineage)
    add_package(
        output.package,
        spec.registry,
        spec.registry_storage,
        package_options=output.package_storage,
        spec=yaml.safe_dump(public_train_spec(dataset.spec), sort_keys=False),
    )
    reference = reference_of(spec, package.card.version)
    return load_package(str(reference), spec.registry_storage)


def training_of(spec: NightlySpec, plan: NightPlan, labels: Labels, parent: Package | None) -> TrainSpec:
    """The training spec of this night. Its folder is named by what is learned from: files that were replaced while a
    night was interrupted make it another training, which begins anew beside the first.
    """
    said, night, storage = spec.train, plan.night, spec.output.storage
    identity = {"scenes": labels.fingerprints(), "parent": plan.parent_digest, "learn": _learnt(spec)}
    digest = hashlib.sha256(canonical_json(identity)).hexdigest()[:8]

    def below(what: str) -> str:
        return join_uri(spec.output.uri, f"nights/{night}/{what}-{digest}")

    network: NetworkSpec = said.network
    if parent is not None:
        update = {"parent": str(reference_of(spec, plan.parent)), "storage": spec.registry_storage}
        network = network.model_copy(update=update)
    return TrainSpec(
        data=said.data.model_copy(update=_constants(spec, parent)),
        network=network,
        learn=said.learn,
        card=CardSpec(**said.card.model_dump(), version=version_of(night)),
        output=TrainOutputSpec(
            uri=below("training"),
            storage=storage,
            package=below("package"),
            package_storage=storage,
            checkpoint_every=said.checkpoint_every,
        ),
        compute=said.compute,
        privacy=spec.privacy,
    )


def _learnt(spec: NightlySpec) -> Any:
    # A table whose link is signed anew is the same table.
    learnt = public_values(spec.train.model_dump(mode="json", include={"network", "learn"}))
    return {"data": public_data(spec.train.data, spec.privacy), **learnt}


def _constants(spec: NightlySpec, parent: Package | None) -> dict[str, GivenNormalization]:
    """Weights are fine-tuned in the units that they were trained in, whatever tonight's scenes would give."""
    data = spec.train.data
    if (
        parent is None
        or isinstance(data.input, LabelsInput)
        or not isinstance(data.normalization, EstimateNormalization)
    ):
        return {}
    found = parent.card.normalization
    if not isinstance(found, ConstantNormalization):
        return {}
    return {"normalization": GivenNormalization(kind="constants", mean=found.mean, std=found.std)}
