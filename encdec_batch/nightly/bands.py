"""Whether the bands of what is labelled are those that the spec means, by a look at a few files: a night that has not
labels enough opens none, and what is wrong would be told only when there are more.
"""

from __future__ import annotations

from collections.abc import Sequence

from encdec_batch.errors import SceneError, SpecError, StoreError
from encdec_batch.models.card import Card
from encdec_batch.spec.train import TrainSpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.train.dataset.normalization import num_bands_of
from encdec_batch.train.learning.signature import check_bands
from encdec_batch.train.pairs.pair import Pair
from encdec_batch.train.pairs.reader import PairReader

LOOKED_AT = 8
"""Pairs, from the first to the last."""


def check_few(training: TrainSpec, pairs: Sequence[Pair], parent: Card | None) -> None:
    """Does nothing where one of the images fits, or none can be opened: what is wrong with single files is said later.

    Args:
        training: of the night.
        pairs: that are labelled.
        parent: card of what it begins with; None: random weights.

    Raises:
        SpecError: no image that was looked at has as many bands as the spec means.
    """
    step = -(-len(pairs) // LOOKED_AT) or 1
    found = {number for pair in pairs[::step] if (number := _num_bands(pair, training.data)) is not None}
    if training.data.expand_single_band and found:
        found = {max(found)}
    fault: SpecError | None = None
    for number in sorted(found):
        try:
            check_bands(training, number, parent)
        except SpecError as error:
            fault = error
        else:
            return
    if fault is not None:
        raise fault


def _num_bands(pair: Pair, data: DataSpec) -> int | None:
    try:
        with PairReader(pair, data) as reader:
            return num_bands_of(data, reader.bands)
    except (SceneError, StoreError):
        return None
