"""What a card's normalisation wants to know of a whole scene: taken once for each version of it, and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import product
from typing import Protocol

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
from encdec_batch.window import Window

STATISTICS_PREFIX = ".encdec/statistics/"
_FORMAT = 1
_SIDE = 2048
"""Of windows, where no plan says how the scene is cut."""


class Version(Protocol):
    """What statistics are of; a `ScenePlan` is one."""

    @property
    def uri(self) -> str: ...
    @property
    def etag(self) -> str: ...
    @property
    def bands(self) -> tuple[int, ...]: ...


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
        return _measure(card, wanted, _blocks(scene), scene.bands, reader)
    path = f"{STATISTICS_PREFIX}{_key(card, wanted, scene)}/value-range.json"
    with as_output_errors("the scene's statistics cannot be looked up"), suppress(ObjectMissing):
        return _read(output.get(path))
    found = _measure(card, wanted, _blocks(scene), scene.bands, reader)
    # Suppressed: another worker came to the same numbers.
    with as_output_errors("the scene's statistics cannot be kept"), suppress(PreconditionFailed):
        output.create(path, canonical_json({"value_range": found}))
    return found


def value_range_again(card: Card, version: Version, reader: Reader, output: Store) -> ValueRange | None:
    """The same for whoever only looks: as it is kept, else counted anew; nothing is written.

    Raises:
        SceneError, StoreError: as `Reader.read`.
    """
    wanted = card.normalization
    if not isinstance(wanted, PercentileNormalization):
        return None
    with suppress(ObjectMissing):
        return _read(output.get(f"{STATISTICS_PREFIX}{_key(card, wanted, version)}/value-range.json"))
    header = reader.header
    spans = [[(at, min(at + _SIDE, side)) for at in range(0, side, _SIDE)] for side in (header.height, header.width)]
    windows = [Window.from_bounds(rows, cols) for rows, cols in product(*spans)]
    return _measure(card, wanted, windows, version.bands, reader)


def value_range_in(card: Card, image: Patch) -> ValueRange | None:
    """The same of a scene that is in memory as a whole."""
    wanted = card.normalization
    if not isinstance(wanted, PercentileNormalization):
        return None
    return _percentiles(wanted, lambda: [image], image.pixels.dtype.name, len(image.pixels))


def _measure(
    card: Card, wanted: PercentileNormalization, windows: Sequence[Window], bands: Sequence[int], reader: Reader
) -> ValueRange:
    """Of windows that cover each pixel once."""

    def patches() -> Iterator[Patch]:
        for window in windows:
            yield reader.read(window, bands, rule=card.nodata.rule, nan_is_nodata=card.nodata.nan == "nodata")

    return _percentiles(wanted, patches, reader.header.dtype, len(bands))


def _blocks(scene: ScenePlan) -> list[Window]:
    return [block.window for block in scene.grid().blocks()]


def _percentiles(
    wanted: PercentileNormalization, patches: Callable[[], Iterable[Patch]], dtype: str, num_bands: int
) -> ValueRange:
    found = scene_percentiles(patches, dtype, num_bands, (wanted.lower, wanted.upper))
    return tuple((low, high) for low, high in found)


def _key(card: Card, wanted: PercentileNormalization, scene: Version) -> str:
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
