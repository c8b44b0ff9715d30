"""What a network takes and gives: as the spec says, and as follows from the data."""

from __future__ import annotations

from typing import Any

from encdec_batch.errors import SpecError
from encdec_batch.models.card import Card, ClassCard, ClassesOutput, Code, ImageOutput, Output, PercentileNormalization
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_target import HighResolutionTarget, ImageTarget, MaskClass, MaskTarget, Target
from encdec_batch.train.material import Facts

_RANGES = {"uint8": (0.0, 255.0), "int16": (-32768.0, 32767.0), "uint16": (0.0, 65535.0)}


def num_channels(spec: TrainSpec, facts: Facts) -> int:
    """Of the network's output, where `network.arguments` does not say it."""
    if isinstance(spec.data.target, MaskTarget):
        return len(spec.data.target.classes)
    return facts.target_bands or facts.num_bands


def arguments_of(spec: TrainSpec, facts: Facts) -> dict[str, Any]:
    """The constructor's arguments: what the spec says, and what follows from the data."""
    known: dict[str, Any] = {"in_channels": facts.num_bands, "out_channels": num_channels(spec, facts)}
    if isinstance(spec.data.target, HighResolutionTarget):
        known["scale"] = spec.data.target.scale
    return known | spec.network.arguments


def output_of(spec: TrainSpec, facts: Facts) -> Output:
    """What the card says of the network's output.

    Raises:
        SpecError: the range of an image is not known and not said.
    """
    target, channels = spec.data.target, int(arguments_of(spec, facts)["out_channels"])
    if isinstance(target, MaskTarget):
        classes = tuple(_class_card(one) for one in target.classes)
        if channels != len(classes) and not (channels == 1 and len(classes) == 2):
            raise SpecError(f"network.arguments.out_channels is {channels}, the target has {len(classes)} classes")
        return ClassesOutput(kind="classes", activation="sigmoid" if channels == 1 else "softmax", classes=classes)
    names = tuple(f"band{number}" for number in range(1, channels + 1))
    return ImageOutput(kind="image", band_names=names, dtype=spec.card.dtype, range=_range(spec, facts))


def _class_card(one: MaskClass) -> ClassCard:
    code, category = (Code(**term.model_dump()) if term else None for term in (one.code, one.category))
    return ClassCard(id=one.id, name=one.name, color=one.color, code=code, category=category)


def _range(spec: TrainSpec, facts: Facts) -> tuple[float, float]:
    if spec.card.range is not None:
        return spec.card.range
    if isinstance(spec.data.target, ImageTarget):
        return spec.data.target.to
    normalization, ends = facts.normalization, [_RANGES.get(dtype) for dtype in facts.dtypes]
    if isinstance(normalization, PercentileNormalization) or None in ends:
        raise SpecError(
            f"the range of the output is not known for {', '.join(facts.dtypes)} images",
            hint="set card.range to the network's values of the least and greatest output",
        )
    known = [end for end in ends if end is not None]
    mean, std = normalization.mean[0], normalization.std[0]
    return (min(low for low, _ in known) - mean) / std, (max(high for _, high in known) - mean) / std


def check_fits(card: Card, target: Target, wanted: Output, *, num_bands: int) -> None:
    """That a package can be judged by the targets of a training.

    Args:
        card: of the package.
        target: of the training.
        wanted: as its own packages have it.
        num_bands: of its images.

    Raises:
        SpecError: its bands, classes, scale or range are others.
    """
    found = card.output
    scale = target.scale if isinstance(target, HighResolutionTarget) else 1
    faults = []
    if card.num_bands != num_bands:
        faults.append(f"it takes {card.num_bands} bands, the scenes have {num_bands}")
    if card.geometry.scale != scale:
        faults.append(f"its scale is {card.geometry.scale}, that of the targets {scale}")
    if isinstance(wanted, ClassesOutput):
        theirs = [one.id for one in found.classes] if isinstance(found, ClassesOutput) else None
        if theirs != [one.id for one in wanted.classes]:
            faults.append("its classes are others")
    elif not isinstance(found, ImageOutput) or found.num_channels != wanted.num_channels:
        faults.append(f"it makes no images of {wanted.num_channels} bands")
    elif isinstance(target, ImageTarget) and found.range != wanted.range:
        faults.append(f"its range is {found.range}, that of the targets {wanted.range}")
    if faults:
        raise SpecError(f"{card.name} is no package of this task: {'; '.join(faults)}")
