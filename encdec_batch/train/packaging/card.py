"""What the card of a trained network says, as far as spec and data know it; the rest is measured."""

from __future__ import annotations

from collections.abc import Sequence

from encdec_batch.models.card import BandCard, Declared, NodataRule, TrainingCard
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_target import LabelsInput
from encdec_batch.train.learning.signature import arguments_of, check_bands, output_of
from encdec_batch.train.material import Facts

_SCALED = ("float32", "int16", "uint16")


def declare(
    spec: TrainSpec,
    facts: Facts,
    *,
    metrics: dict[str, object] | None = None,
    procedure: str = "",
    parent: str | None = None,
) -> Declared:
    """The card, as far as its author writes it.

    Args:
        spec: of the training.
        facts: of its data.
        metrics: scores by data set.
        procedure: how it was trained.
        parent: digest of the package that it began with.

    Raises:
        SpecError: another number of bands is named than the network sees.
    """
    check_bands(spec, facts.num_bands)
    notes = [spec.card.notes, facts.leak_note]
    return Declared(
        name=spec.card.name,
        version=spec.card.version,
        description=spec.card.description,
        task=spec.card.task,
        architecture=spec.network.architecture,
        arguments=arguments_of(spec, facts),
        bands=_bands(spec, facts),
        dtypes=_dtypes(spec, facts),  # type: ignore[arg-type]  # pydantic checks them
        normalization=facts.normalization,
        nodata=_nodata(spec),
        output=output_of(spec, facts),
        training=TrainingCard(
            data=f"{spec.card.data} (digest {facts.digest[:16]})",
            licence=spec.card.licence,
            split=facts.split_note,
            procedure=procedure,
            notes=" ".join(note for note in notes if note),
        ),
        metrics=metrics or {},
        parent=parent,
    )


def _dtypes(spec: TrainSpec, facts: Facts) -> tuple[str, ...]:
    """Of physical values it does not matter how they are stored: one scanner writes int16 and another uint16."""
    return tuple(sorted({*facts.dtypes, *(_SCALED if spec.data.values == "physical" else ())}))


def _bands(spec: TrainSpec, facts: Facts) -> tuple[BandCard, ...]:
    seen = spec.data.input
    names: Sequence[str] = [f"band{number}" for number in range(1, facts.num_bands + 1)]
    if spec.card.bands is not None:
        names = spec.card.bands
    elif isinstance(seen, LabelsInput) and seen.code == "one_hot":
        names = [one.name for one in seen.classes]
    physical = spec.data.values == "physical"
    return tuple(BandCard(name=name, unit="scaled" if physical else "raw") for name in names)


def _nodata(spec: TrainSpec) -> NodataRule:
    return NodataRule(**spec.data.nodata.model_dump())
