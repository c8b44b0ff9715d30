"""Opening the files of a pair, by the readers and within the limits of the main job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from encdec_batch.errors import SceneUnreadable, SpecError, UnsupportedScene
from encdec_batch.plan.confine import confined
from encdec_batch.plan.open import as_scene_errors, limits_of
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import open_reader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.spec.job import LimitsSpec
from encdec_batch.spec.train_data import NodataSpec
from encdec_batch.store.open import locate
from encdec_batch.train.pairs.pair import File
from encdec_batch.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read."""

    limits: Limits
    nodata: NodataSpec

    @classmethod
    def of(cls, limits: LimitsSpec, nodata: NodataSpec) -> Reading:
        return cls(limits=limits_of(limits), nodata=nodata)

    def patch(self, reader: Reader, window: Window, bands: Sequence[int], uri: str) -> Patch:
        """Pixels of a window, and which are valid by the rule for nodata.

        Raises:
            SceneError: as `Reader.read`.
            UnsupportedScene: NaN, and the spec refuses it.
        """
        as_nodata = self.nodata.nan == "nodata"
        patch = reader.read(window, bands, rule=self.nodata.rule, nan_is_nodata=as_nodata)
        if not as_nodata and patch.pixels.dtype.kind == "f" and bool(np.isnan(patch.pixels[:, patch.valid_mask]).any()):
            raise UnsupportedScene(
                f"{uri}: NaN among its pixels", hint="set data.nodata.nan: nodata, if it means that", uri=uri
            )
        return patch


def open_held(file: File, reading: Reading, *, etag: str = "") -> Reader:
    """A reader of the file, of the version that `etag` names where it is not empty; the caller closes it.

    Raises:
        SceneError: missing, damaged, replaced, beyond the limits.
        TransientStoreError: the store, not the file.
    """
    with as_scene_errors(file.uri):
        try:
            store, path = locate(file.uri, file.source.storage)
            store = confined(store, file.source, file.uri)
        except SpecError as error:
            raise SceneUnreadable(error.message, hint=error.hint, uri=file.uri) from error
        return open_reader(store, path, etag=etag or None, limits=reading.limits, whole=True)


def bands_to_read(header: SceneHeader, asked: Sequence[int] | None, wanted: int | None, *, uri: str) -> tuple[int, ...]:
    """Band numbers, counted from 1.

    Args:
        header: of the image.
        asked: by the spec or the table; None: all.
        wanted: how many there are to be, where one band may stand for them all; None: it may not.
        uri: for messages.

    Raises:
        UnsupportedScene: a band is asked for that is not there.
    """
    bands = tuple(asked) if asked is not None else tuple(range(1, header.num_bands + 1))
    if wanted is not None and header.num_bands == 1:
        return (1,) * wanted
    absent = [band for band in bands if band > header.num_bands]
    if absent:
        raise UnsupportedScene(
            f"{uri}: it has {header.num_bands} bands, not {absent[0]}", hint="correct the bands asked for", uri=uri
        )
    return bands
