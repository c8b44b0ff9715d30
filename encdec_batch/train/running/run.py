"""A training from spec to package, as one process sees it: claim the folder, train, publish, say that it is finished.

training.json    what is trained here; a spec that asks for something else is refused
finished.json    package, scores, curve's end: the same command says them again and does nothing; asked for another
                 package, card or registry it publishes the same weights once more
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from encdec_batch.commit.holder import HolderInfo
from encdec_batch.commit.lease import acquire_lease
from encdec_batch.errors import (
    CheckpointError,
    EncdecError,
    ObjectMissing,
    PreconditionFailed,
    TrainingError,
    together,
)
from encdec_batch.models.package import CARD_NAME
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.public_spec import public_data
from encdec_batch.spec.source import IMAGE_SUFFIXES, SCENE_SUFFIXES
from encdec_batch.spec.text import parse_json
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.train.material import Facts, Material
from encdec_batch.train.tracking.mlflow import check_mlflow
from encdec_batch.train.tracking.progress import Report
from encdec_batch.uri import public_values

IDENTITY, FINISHED = "training.json", "finished.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """How a training ended."""

    package: str
    """URI."""
    digest: str
    """Of the package."""
    registered: str
    """`REGISTRY/NAME@VERSION`; empty where no registry was asked for."""
    step: int
    """Whose weights these are."""
    steps: int
    scores: Mapping[str, float | None]
    """Of the evaluation of these weights; empty where nothing was validated on."""
    already: bool = False
    """It had finished before; nothing was done."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def train(
    spec: TrainSpec,
    load: Callable[[], Material],
    *,
    report: Report = lambda _: None,
    verbose: bool = False,
    wait_s: float | None = None,
) -> TrainSummary:
    """Train, or go on with it, or say that it is done.

    Args:
        spec: what is asked for.
        load: the data, looked through; called once, and not for a finished training.
        report: is told how far it is.
        verbose: let Ray talk.
        wait_s: how long to wait for another process that trains here; None: fail at once.

    Raises:
        EncdecError: it cannot begin or go on; the same call goes on from the newest checkpoint.
    """
    if spec.output.mlflow:
        check_mlflow()
    store = open_store(spec.output.uri, spec.output.storage)
    _check_store(store)
    if finished := _finished(store, spec):
        return finished
    with acquire_lease(store, HolderInfo.current("train"), wait_s=wait_s), _stopped(store):
        material = load()
        spec = spec.with_privacy(private=material.facts.private)
        _check(spec, material)
        _claim(store, spec, material.facts)
        stream = spec.compute.stream
        if not _at_its_end(store, spec):
            if isinstance(stream, RayTraining):
                from encdec_batch.train.running.ray_train import train_on_ray

                train_on_ray(spec, stream, material, report=report, verbose=verbose)
            else:
                _train_here(spec, material, report)
        return _publish(store, spec, material)


@contextmanager
def _stopped(store: Store) -> Iterator[None]:
    """Whoever stops a training is told from which step it will go on: what came after is done again."""
    from encdec_batch.train.learning.checkpoint import newest_step

    try:
        yield
    except KeyboardInterrupt as stop:
        with suppress(EncdecError):
            step = newest_step(store)
            from_where = f"goes on from its newest checkpoint, that of step {step}" if step else "begins again"
            stop.add_note(f"started once more the training {from_where}")
        raise


def _check(spec: TrainSpec, material: Material) -> None:
    """What is wrong with the spec is said before a worker is started for it."""
    from encdec_batch.train.learning.build import build_network, margin_of
    from encdec_batch.train.learning.signature import check_numbers
    from encdec_batch.train.packaging.card import declare

    facts = material.facts
    check_numbers(spec, facts.num_bands, material.batches.num_samples)
    together(lambda: margin_of(build_network(spec, facts), spec, facts), lambda: declare(spec, facts))


def _at_its_end(store: Store, spec: TrainSpec) -> bool:
    """Only the package is missing: nothing is started for it."""
    from encdec_batch.train.learning.checkpoint import Checkpoints

    state = Checkpoints(store).newest()
    return state is not None and state.step >= spec.learn.steps


def _train_here(spec: TrainSpec, material: Material, report: Report) -> None:
    import torch

    from encdec_batch.predict.device import choose_device
    from encdec_batch.train.learning.all_reduce import TeamOfOne
    from encdec_batch.train.running.session import Session

    torch.set_num_threads(spec.compute.threads)
    device = torch.device(choose_device(spec.compute.device, "auto", 1).torch_name)
    Session(spec, material, team=TeamOfOne(), device=device, report=report).run()


def _publish(store: Store, spec: TrainSpec, material: Material) -> TrainSummary:
    from encdec_batch.train.packaging.publish import publish_result

    state, package, reference = publish_result(store, spec, material)
    summary = TrainSummary(
        package=spec.output.package,
        digest=package.digest,
        registered=reference,
        step=state.step,
        steps=spec.learn.steps,
        scores=state.scores,
    )
    values = {
        "format_version": FORMAT_VERSION,
        "asked": _asked(spec),
        "published": _published(spec),
        "private": material.facts.private,
        **summary.to_dict(),
    }
    store.put(FINISHED, canonical_json(values))
    return summary


def identity_of(spec: TrainSpec, facts: Facts) -> dict[str, Any]:
    """All that decides the result; neither where it is written nor what computes it is among it."""
    return {**_asked(spec), "files": facts.digest}


def _asked(spec: TrainSpec) -> dict[str, Any]:
    asked = {
        "network": spec.network.model_dump(mode="json", exclude={"storage"}),
        "learn": spec.learn.model_dump(mode="json"),
        "data": public_data(spec.data, spec.privacy),
        "publish": spec.output.publish,
    }
    # Credentials and endpoints may change, data may not: those are in the digest of the files. So may a signature.
    shown: dict[str, Any] = parse_json(canonical_json(public_values(asked)))
    return shown


def _published(spec: TrainSpec) -> dict[str, Any]:
    """All that is asked of the package; it takes no training."""
    output = spec.output
    return {"package": output.package, "registry": output.registry, "card": spec.card.model_dump(mode="json")}


def _claim(store: Store, spec: TrainSpec, facts: Facts) -> None:
    """The folder is this training's: because it was, or because it was empty.

    Raises:
        CheckpointError: it is another's.
    """
    wanted = identity_of(spec, facts)
    with suppress(PreconditionFailed):
        store.create(IDENTITY, canonical_json({"format_version": FORMAT_VERSION, **wanted}))
    there = _as_now(_read(store, IDENTITY))
    if changed := differences(there, wanted):
        raise _another(store, changed)


def _finished(store: Store, spec: TrainSpec) -> TrainSummary | None:
    try:
        values = _read(store, FINISHED)
    except ObjectMissing:
        return None
    private = values.pop("private", False)
    if spec.privacy.hide == "auto":
        # Whether names are hidden is known of the files, which nobody looks at again.
        spec = spec.with_privacy(private=private)
    if changed := differences(_as_now(values.pop("asked")), _asked(spec)):
        raise _another(store, changed)
    # Of an older version, which did not say more: only where the package lies can be compared.
    published = values.pop("published", _published(spec) | {"package": values["package"]})
    if published != _published(spec) or not _is_there(spec):
        return None
    del values["format_version"]
    return TrainSummary(**values | {"already": True})


def _is_there(spec: TrainSpec) -> bool:
    """A package that somebody has deleted is written once more, from the last checkpoint."""
    try:
        open_store(spec.output.package, spec.output.package_storage).info(CARD_NAME)
    except ObjectMissing:
        return False
    return True


def _as_now(there: Any) -> Any:
    """What an older version wrote as this one would: it kept signed links of tables, and looked for fewer formats."""
    there = public_values(there)
    split = there["data"]["split"]
    for source in (there["data"]["train"], *([split["pairs"]] if split.get("pairs") else [])):
        if source.get("suffixes") == list(IMAGE_SUFFIXES):
            source["suffixes"] = list(SCENE_SUFFIXES)
    return there


def _another(store: Store, changed: list[str]) -> CheckpointError:
    return CheckpointError(
        f"{store.uri} is of another training: {'; '.join(changed[:3])[:500]}",
        hint="name another output.uri, or say again what that one was asked",
    )


def _read(store: Store, name: str) -> dict[str, Any]:
    data = store.get(name)
    try:
        values = parse_json(data.decode())
        if values["format_version"] > FORMAT_VERSION:
            raise CheckpointError(f"{store.uri}/{name}: written by a newer version", hint="update encdec-batch")
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{store.uri}/{name}: damaged: {error}", hint="train into another folder") from error
    return dict(values)


def differences(there: Any, wanted: Any, place: str = "") -> list[str]:
    """A line for each key whose values differ."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [key for key in dict.fromkeys([*wanted, *there]) if key != "format_version"]
        return [
            line
            for key in keys
            for line in differences(there.get(key), wanted.get(key), f"{place}.{key}" if place else key)
        ]
    if there == wanted:
        return []
    if place == "files":
        return ["its files are not those of then (by name, etag and region)"]
    return [f"{place} was {there!r}, is {wanted!r}"]


def _check_store(store: Store) -> None:
    capabilities = store.probe()
    if not (capabilities.create_only and capabilities.if_match):
        raise TrainingError(
            f"{store.uri}: this store overwrites what must not be overwritten",
            hint="use a store with conditional writes; without them two trainings could mix their checkpoints",
        )
