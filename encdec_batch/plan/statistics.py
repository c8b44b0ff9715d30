"""What a card's normalisation wants to know of a whole scene: taken once for each version of it, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from encdec_batch.errors import ObjectMissing, PreconditionFailed
from encdec_batch.models.card import Card, PercentileNormalization
from encdec_batch.plan.item import is_small
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.open import as_output_errors
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.read.statistics import ValueRange, scene_percentiles
from encdec_batch.store.store import Store

STATISTICS_PREFIX = ".encdec/statistics/"
_FORMAT = 1


def value_range_of(card: Card, scene: ScenePlan, reader: Reader, output: Store) -> ValueRange | None:
    """The percentiles that the card asks for, of all valid pixels of the scene; None: it asks for none.

    Those of a scene of several blocks lie in the output, by the scene's etag: no worker that comes later reads it for
    them again. A scene of one block is at hand.

    Raises:
        SceneError, StoreError: as `Reader.read`.
    """
    wanted = card.normalization
    if not isinstance(wanted, PercentileNormalization):
        return None
    if is_small(scene):
        return _measure(card, wanted, scene, reader)
    path = f"{STATISTICS_PREFIX}{_key(card, wanted, scene)}/value-range.json"
    with as_output_errors("the scene's statistics cannot be looked up"), suppress(ObjectMissing):
        return _read(output.get(path))
    found = _measure(card, wanted, scene, reader)
    # Suppressed: another worker came to the same numbers.
    with as_output_errors("the scene's statistics cannot be kept"), suppress(PreconditionFailed):
        output.create(path, canonical_json({"value_range": found}))
    return found


def value_range_in(card: Card, image: Patch) -> ValueRange | None:
    """The same of a scene that is in memory as a whole."""
    wanted = card.normalization
    if not isinstance(wanted, PercentileNormalization):
        return None
    return _percentiles(wanted, lambda: [image], image.pixels.dtype.name, len(image.pixels))


def _measure(card: Card, wanted: PercentileNormalization, scene: ScenePlan, reader: Reader) -> ValueRange:
    def patches() -> Iterator[Patch]:
        for block in scene.grid().blocks():
            yield reader.read(
                block.window, scene.bands, rule=card.nodata.rule, nan_is_nodata=card.nodata.nan == "nodata"
            )

    return _percentiles(wanted, patches, scene.header.dtype, len(scene.bands))


def _percentiles(
    wanted: PercentileNormalization, patches: Callable[[], Iterable[Patch]], dtype: str, num_bands: int
) -> ValueRange:
    found = scene_percentiles(patches, dtype, num_bands, (wanted.lower, wanted.upper))
    return tuple((low, high) for low, high in found)


def _key(card: Card, wanted: PercentileNormalization, scene: ScenePlan) -> str:
    fields = {
        "format": _FORMAT,
        "uri": scene.uri,
        "etag": scene.etag,
        "bands": scene.bands,
        "percentages": (wanted.lower, wanted.upper),
        "nodata": (card.nodata.rule, card.nodata.nan),
    }
    return hashlib.sha256(canonical_json(fields)).hexdigest()[:32]


def _read(data: bytes) -> ValueRange:
    return tuple((float(low), float(high)) for low, high in json.loads(data)["value_range"])
