"""What is judged: a training's validation scenes, in what units, and where details are found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SpecError
from encdec_batch.models.card import Card, ConstantNormalization, Output
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, ImageTarget, PixelsInput, Target
from encdec_batch.train.batch import Example, Examples
from encdec_batch.train.dataset.normalization import Units, units_of
from encdec_batch.train.dataset.prepare import prepare
from encdec_batch.train.learning.signature import check_fits, output_of
from encdec_batch.train.running.collect import facts_of
from encdec_batch.train.samples.examples import SceneExamples


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Scenes of a training, and what is asked of a network there."""

    target: Target
    output: Output
    """As the card of a package that the spec trains has it."""
    units: Units
    """Of the normalised image: of predictions too, where the target is made from the image."""
    dtype: str
    """Of the images' files."""
    num_bands: int
    class_pixels: tuple[int, ...]
    """Of each class in the training scenes; of no meaning without classes."""
    red: bool
    """The target is one more band of the image itself, whose first band is red: there is a vegetation index."""
    train: Examples
    val: Examples

    @classmethod
    def of(cls, spec: TrainSpec) -> Task:
        """Looks through all data, as a training does before it begins.

        Raises:
            SpecError: as `prepare`; there is nothing to judge on; units that differ from scene to scene.
        """
        data = spec.data
        prepared = prepare(data)
        if not prepared.val:
            raise SpecError("there is no scene to judge on: data.split leaves none", hint="set data.split")
        fixed = isinstance(prepared.normalization, ConstantNormalization)
        made_from_image = isinstance(data.target, CleanTarget | HighResolutionTarget)
        if made_from_image and not fixed:
            raise SpecError(
                "denoised and enlarged images are compared as stored, and percentiles are others in each scene",
                hint="set data.normalization.kind to estimate or constants",
            )
        facts = facts_of(prepared)
        alone = prepared.val[0].pair.target is None
        one_more = isinstance(data.target, ImageTarget) and facts.target_bands == 1 and alone
        return cls(
            target=data.target,
            output=output_of(spec, facts),
            units=units_of(prepared.normalization, None),
            dtype=max(prepared.dtypes, key=lambda name: np.dtype(name).itemsize),
            num_bands=prepared.num_bands,
            class_pixels=prepared.class_pixels,
            red=one_more and isinstance(data.input, PixelsInput),
            train=SceneExamples(prepared.train, data, prepared.normalization),
            val=SceneExamples(prepared.val, data, prepared.normalization),
        )

    def stored(self, values_CHW: NDArray[Any]) -> NDArray[np.float64]:
        """Images in the network's units, as the files have them."""
        if isinstance(self.target, ImageTarget) and not isinstance(self.target.to, str):
            (low, high), (first, last) = self.target.range, self.target.to
            return (values_CHW.astype(np.float64) - first) * ((high - low) / (last - first)) + low
        spread, centre = (one.reshape(-1, 1, 1) for one in (self.units.spread, self.units.centre))
        return values_CHW.astype(np.float64) * spread + centre

    def labelled(self) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
        """Training scenes: image, target, and where it is known."""
        for one in self.train:
            yield one.pixels, one.target, one.target_valid

    def sigma_of(self, example: Example) -> float:
        """Standard deviation of the noise, in stored units."""
        return example.noise_level * float(self.units.spread[0])

    def in_these_units(self, prediction: NDArray[Any], card: Card) -> NDArray[Any]:
        """A package's prediction in the units of this training, whose constants may be others than the card's."""
        if isinstance(self.target, CleanTarget | HighResolutionTarget):
            theirs = units_of(card.normalization, None)
            stored = prediction * theirs.spread.reshape(-1, 1, 1) + theirs.centre.reshape(-1, 1, 1)
            return self.units.normalised(stored)
        return prediction

    def check(self, card: Card) -> None:
        """That this package can be judged here.

        Raises:
            SpecError: bands, classes, scale or range are others, or units differ from scene to scene.
        """
        check_fits(card, self.target, self.output, num_bands=self.num_bands)
        if isinstance(self.target, CleanTarget | HighResolutionTarget) and card.normalization.kind != "constants":
            raise SpecError(f"{card.name} is no package of this task: its units differ from scene to scene")
