"""From the last checkpoint to a package whose card says what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from encdec_batch.errors import CheckpointError
from encdec_batch.models.package import Package
from encdec_batch.models.publish import publish_package
from encdec_batch.plan.public_spec import public_train_spec
from encdec_batch.spec.train import TrainSpec
from encdec_batch.store.store import Store
from encdec_batch.train.learning.build import build_network, digest_of_parent
from encdec_batch.train.learning.checkpoint import Checkpoints, State
from encdec_batch.train.material import Material
from encdec_batch.train.packaging.card import declare
from encdec_batch.train.packaging.draft import detached


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The weights that are published."""

    step: int
    prefix: str
    """Of their tensors in the state."""
    scores: Mapping[str, float | None]
    precision: str
    """In which they were found; empty where nothing was validated on."""


def publish_result(store: Store, spec: TrainSpec, material: Material) -> tuple[Chosen, Package, str]:
    """The weights of the last checkpoint as a package, in a registry too where that is asked for.

    Returns:
        What was chosen, the package, and its reference in the registry or "".

    Raises:
        CheckpointError: the last step was not reached.
        ModelError: the network cannot be measured, or another package lies there.
    """
    state = Checkpoints(store).newest()
    if state is None or state.step < spec.learn.steps:
        raise CheckpointError(
            f"{store.uri}: the training ended without its last checkpoint",
            hint="the same command goes on from the newest, or begins again where there is none",
        )
    chosen = choose(state)
    network = build_network(spec, material.facts)
    weights = {
        name.removeprefix(chosen.prefix): t for name, t in state.tensors.items() if name.startswith(chosen.prefix)
    }
    network.load_state_dict(weights)
    declared = declare(
        spec,
        material.facts,
        metrics={"val": dict(chosen.scores), "val_precision": chosen.precision} if chosen.scores else {},
        procedure=procedure_of(spec, chosen),
        parent=digest_of_parent(spec),
    )
    package = publish_package(
        spec.output.package, detached(network), declared, material.sample, spec.output.package_storage
    )
    return chosen, package, _register(spec)


def choose(state: State) -> Chosen:
    """The best weights where the state has them, else the last ones; of the moving average where there is one."""
    evaluations: list[dict[str, Any]] = state.values.get("evaluations", [])
    if best := state.values.get("best"):
        step, prefix = best["step"], "best/"
    else:
        has_average = any(name.startswith("ema/") for name in state.tensors)
        step, prefix = state.step, "ema/" if has_average else "network/"
    found: dict[str, Any] = next((one for one in evaluations[::-1] if one["step"] == step), {})
    return Chosen(step=step, prefix=prefix, scores=found.get("overall", {}), precision=found.get("precision", ""))


def procedure_of(spec: TrainSpec, chosen: Chosen) -> str:
    """For the card: how it was trained, in a sentence."""
    learn, sampling = spec.learn, spec.data.sampling
    losses = " + ".join(f"{loss.factor:g} {loss.kind}" if loss.factor != 1 else loss.kind for loss in learn.losses)
    height, width = sampling.sides
    parts = [
        f"seed {learn.seed}, {learn.steps} steps of {learn.batch} windows of {width}x{height} px",
        losses,
        f"{learn.optimizer.kind} at {learn.optimizer.learning_rate:g}, warm-up of {learn.warmup} steps, cosine",
        f"moving average of decay {learn.ema:g}" if learn.ema else "",
        f"weights of step {chosen.step}, the best on the scenes of val" if spec.output.publish == "best" else "",
        "encdec-batch train",
    ]
    return "; ".join(part for part in parts if part)


def _register(spec: TrainSpec) -> str:
    if spec.output.registry is None:
        return ""
    from encdec_batch.models.registry import add_package

    output, text = spec.output, yaml.safe_dump(public_train_spec(spec), sort_keys=False)
    added = add_package(
        output.package,
        spec.output.registry,
        output.registry_storage,
        package_options=output.package_storage,
        spec=text,
    )
    return str(added.reference)
