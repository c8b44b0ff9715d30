"""Whole scenes to validate on, as the main job would get them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from encdec_batch.models.card import Normalization
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_target import CleanTarget, HighResolutionTarget, MaskTarget
from encdec_batch.train.batch import Example
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.dataset.normalization import units_of
from encdec_batch.train.pairs.reader import PairReader
from encdec_batch.train.samples.targets import pose


class SceneExamples:
    """`Examples` of some scenes, each read when its turn comes.

    Noise is that of the scene's name: the same in every epoch and process.
    """

    def __init__(self, scenes: Sequence[Inspected], data: DataSpec, normalization: Normalization) -> None:
        self._scenes, self._data, self._normalization = tuple(scenes), data, normalization

    def __len__(self) -> int:
        return len(self._scenes)

    def __iter__(self) -> Iterator[Example]:
        return (self._example(scene) for scene in self._scenes)

    def _example(self, scene: Inspected) -> Example:
        data, name = self._data, scene.pair.image.name
        with PairReader(scene.pair, data, num_bands=len(scene.bands), version=scene.version) as reader:
            raw = reader.read(scene.region)
        # Slices of one volume are of one scene.
        whose = f"{scene.pair.scene} {name}" if scene.pair.is_slice else scene.pair.scene
        seed = int.from_bytes(hashlib.sha256(whose.encode()).digest()[:8])
        units = units_of(self._normalization, scene.value_range)
        posed = pose(raw, data, units, scene.value_dtype, np.random.default_rng(seed))
        target = data.target
        as_file = isinstance(target, CleanTarget | HighResolutionTarget) and target.quantise
        return Example(
            name=name,
            pixels=posed.seen.astype(scene.value_dtype) if as_file else posed.seen,
            valid_mask=posed.valid,
            target=posed.target.astype(np.int64) if isinstance(target, MaskTarget) else posed.target,
            target_valid=posed.counts,
            noise_level=posed.level,
        )
