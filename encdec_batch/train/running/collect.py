"""From a spec to the material of a training: files looked through, and who makes the batches."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import SpecError
from encdec_batch.models.card import Card
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_compute import RayTraining
from encdec_batch.spec.train_target import LabelsInput
from encdec_batch.train.batch import Batches, Examples
from encdec_batch.train.dataset.normalization import units_of
from encdec_batch.train.dataset.prepare import Prepared, prepare
from encdec_batch.train.dataset.split import split_pairs
from encdec_batch.train.learning.signature import check_fits, check_numbers, output_of
from encdec_batch.train.material import Facts, Material
from encdec_batch.train.samples.examples import SceneExamples
from encdec_batch.train.samples.local_batches import LocalBatches
from encdec_batch.train.samples.ray_batches import RayBatches
from encdec_batch.train.samples.synthetic import synthetic

log = logging.getLogger(__name__)

_SAMPLE_SIDE = 1024
"""Pixels of a scene that a golden sample may be cut from: more than the reach of any network here."""


def collect(spec: TrainSpec) -> Material:
    """The material; every file is read once.

    Raises:
        SpecError: there is nothing to learn from, too many files cannot be used, or a leak between the sides.
        StoreError: the store does not answer.
    """
    sides = split_pairs(spec.data, spec.privacy)
    return material_of(prepare(spec.data, sides=sides, check=partial(check_numbers, spec)), spec)


def material_of(prepared: Prepared, spec: TrainSpec) -> Material:
    """The material of data that were looked through."""
    data = spec.data
    if prepared.aside:
        said = {"files": len(prepared.aside), "first": str(prepared.aside[0]), "used": len(prepared.train)}
        log.warning("train.set_aside", extra=said)
    by_ray = isinstance(spec.compute.stream, RayTraining)
    batches: Batches = RayBatches(prepared, data) if by_ray else LocalBatches(prepared, data)
    return Material(
        facts=facts_of(prepared),
        batches=batches,
        examples=SceneExamples(prepared.val, data, prepared.normalization) if prepared.val else None,
        sample=_sample(prepared, spec),
    )


def examples_for(card: Card, spec: TrainSpec) -> Examples:
    """The scenes of a training to judge a package on, in that package's units.

    Raises:
        SpecError: there are none; the package is of another task; or as `collect`.
    """
    prepared = prepare(spec.data, sides=split_pairs(spec.data, spec.privacy))
    if not prepared.val:
        raise SpecError("there is no scene to judge on: data.split leaves none", hint="set data.split")
    facts = facts_of(prepared)
    check_fits(card, spec.data.target, output_of(spec, facts), num_bands=facts.num_bands)
    return SceneExamples(prepared.val, spec.data, card.normalization)


def facts_of(prepared: Prepared) -> Facts:
    aside = f" {len(prepared.aside)} files were set aside." if prepared.aside else ""
    return Facts(
        num_bands=prepared.num_bands,
        dtypes=prepared.dtypes,
        target_bands=prepared.train[0].target_bands,
        normalization=prepared.normalization,
        class_pixels=prepared.class_pixels,
        class_presence=prepared.class_presence,
        split_note=f"{prepared.split_note}: {len(prepared.train)} to train, {len(prepared.val)} to validate.{aside}",
        leak_note=prepared.leak_note,
        digest=prepared.digest,
        private=prepared.private,
    )


def _sample(prepared: Prepared, spec: TrainSpec) -> NDArray[np.generic]:
    """Pixels of the largest training scene, as the network sees them; mirrored on where it is small. Where names are
    private, so are the pixels: made up, of the same units.
    """
    largest = max(prepared.train, key=lambda scene: scene.region.width * scene.region.height)
    if prepared.private:
        units = units_of(prepared.normalization, largest.value_range)
        return synthetic(units, largest.value_dtype, _SAMPLE_SIDE, labels=isinstance(spec.data.input, LabelsInput))
    [example] = SceneExamples([largest], spec.data, prepared.normalization)
    pixels: NDArray[Any] = example.pixels[:, :_SAMPLE_SIDE, :_SAMPLE_SIDE]
    missing = [max(0, _SAMPLE_SIDE - side) for side in pixels.shape[1:]]
    return np.pad(pixels, ((0, 0), (0, missing[0]), (0, missing[1])), mode="symmetric")
