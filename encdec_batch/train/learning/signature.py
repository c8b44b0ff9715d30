"""What a network takes and gives: as the spec says, and as follows from the data."""

from __future__ import annotations

from typing import Any

from encdec_batch.errors import SpecError, together
from encdec_batch.models.card import Card, ClassCard, ClassesOutput, Code, ImageOutput, Output, PercentileNormalization
from encdec_batch.plan.fit import bands_said, bands_to_name
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_target import (
    HighResolutionTarget,
    ImageTarget,
    LabelsInput,
    MaskClass,
    MaskTarget,
    Target,
)
from encdec_batch.train.material import Facts

_RANGES = {"uint8": (0.0, 255.0), "int16": (-32768.0, 32767.0), "uint16": (0.0, 65535.0)}


def num_channels(spec: TrainSpec, facts: Facts) -> int:
    """Of the network's output, where `network.arguments` does not say it."""
    if isinstance(spec.data.target, MaskTarget):
        return len(spec.data.target.classes)
    # A target that is made from the image is of the slice itself, not of its neighbours.
    return facts.target_bands or facts.num_bands // (2 * spec.data.context_slices + 1)


def arguments_of(spec: TrainSpec, facts: Facts) -> dict[str, Any]:
    """The constructor's arguments: what the spec says, and what follows from the data."""
    known: dict[str, Any] = {"in_channels": facts.num_bands, "out_channels": num_channels(spec, facts)}
    if isinstance(spec.data.target, HighResolutionTarget):
        known["scale"] = spec.data.target.scale
    return known | spec.network.arguments


def check_numbers(spec: TrainSpec, num_bands: int, num_samples: int) -> None:
    """That a spec fits the data, as far as two numbers say it.

    Args:
        spec: of the training.
        num_bands: that the network sees.
        num_samples: of an epoch.

    Raises:
        SpecError: other bands are named than it sees; an epoch is less than a step. Both are said at once.
    """
    together(lambda: check_bands(spec, num_bands), lambda: _check_samples(spec, num_samples))


def _check_samples(spec: TrainSpec, num_samples: int) -> None:
    if num_samples < spec.learn.batch:
        raise SpecError(
            f"an epoch has {num_samples} samples, a step wants {spec.learn.batch}",
            hint="label more, lower learn.batch, or raise data.sampling.samples",
        )


def check_bands(spec: TrainSpec, num_bands: int, parent: Card | None = None) -> None:
    """That all that is said of the network's bands is said of as many as it sees.

    Args:
        spec: of the training.
        num_bands: that the network sees.
        parent: card of the package that it begins with.

    Raises:
        SpecError: the card names others, or the network or its parent takes others; what to do is said.
    """
    others: list[tuple[str, str, int]] = []
    if spec.card.bands is not None:
        named = len(spec.card.bands)
        others.append(("card.bands", f"card.bands names {bands_said(named)} ({', '.join(spec.card.bands)})", named))
    if isinstance(asked := spec.network.arguments.get("in_channels"), int):
        option = "network.arguments.in_channels"
        others.append((option, f"{option} is {asked}", asked))
    if parent is not None:
        names = ", ".join(band.name for band in parent.bands)
        said = f"{parent.name} {parent.version}, which it begins with, takes {bands_said(parent.num_bands)} ({names})"
        others.append(("what it begins with", said, parent.num_bands))
    wrong = [one for one in others if one[2] != num_bands]
    if not wrong:
        return
    hint = f"or correct {', '.join(option for option, _, _ in wrong)}"
    if isinstance(spec.data.input, LabelsInput):
        cause, hint = "by the classes of data.input", f"correct data.input, {hint}"
    else:
        cause = "as that is what is read of the images"
        hint = f"say {bands_to_name(num_bands, wrong[0][2])} in data.train.bands (and in data.split.pairs), {hint}"
    raise SpecError(f"{'; '.join(said for _, said, _ in wrong)}; the network sees {num_bands}, {cause}", hint=hint)


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
    scale, offset = 1.0, 0.0
    if (constants := _units_of_input(spec, facts)) is not None:
        offset, scale = constants
        own = facts.num_bands // (2 * spec.data.context_slices + 1)
        if facts.target_bands not in (0, own):
            raise SpecError(
                f"the target has {bands_said(facts.target_bands)} and the image {own}: other units",
                hint="leave out data.target.to: input, or choose bands (data.train.bands, data.target.bands)",
            )
    return ImageOutput(
        kind="image",
        band_names=names,
        dtype=spec.card.dtype,
        range=_range(spec, facts),
        scale=scale,
        offset=offset,
    )


def _units_of_input(spec: TrainSpec, facts: Facts) -> tuple[float, float] | None:
    """Mean and standard deviation, the same for all bands, where the network gives its normalised input back."""
    target, normalization = spec.data.target, facts.normalization
    if isinstance(target, MaskTarget) or isinstance(normalization, PercentileNormalization):
        return None
    if isinstance(target, ImageTarget) and not target.in_units_of_input:
        return None
    return normalization.mean[0], normalization.std[0]


def _class_card(one: MaskClass) -> ClassCard:
    code, category = (Code(**term.model_dump()) if term else None for term in (one.code, one.category))
    return ClassCard(id=one.id, name=one.name, color=one.color, code=code, category=category)


def _range(spec: TrainSpec, facts: Facts) -> tuple[float, float]:
    if spec.card.range is not None:
        return spec.card.range
    target = spec.data.target
    if isinstance(target, ImageTarget) and not isinstance(target.to, str):
        return target.to
    normalization, ends = facts.normalization, [_RANGES.get(dtype) for dtype in facts.dtypes]
    if isinstance(target, ImageTarget):
        ends = [target.range]
    elif spec.data.values == "physical":
        ends = [None]
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
    faults, hint = [], ""
    if card.num_bands != num_bands:
        faults.append(f"it takes {bands_said(card.num_bands)}, the scenes have {num_bands}")
        hint = f"say {bands_to_name(num_bands, card.num_bands)} in data.train.bands, or take another package"
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
        raise SpecError(f"{card.name} is no package of this task: {'; '.join(faults)}", hint=hint)
