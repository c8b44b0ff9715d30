"""Opening the files of a pair, by the readers and within the limits of the main job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from encdec_batch.errors import (
    SceneChanged,
    SceneError,
    SceneForbidden,
    SceneUnreadable,
    SpecError,
    UnsupportedScene,
)
from encdec_batch.plan.confine import confined
from encdec_batch.plan.fit import bands_said
from encdec_batch.plan.open import as_image_errors, limits_of, options_of
from encdec_batch.plan.scene import SourceImage
from encdec_batch.read.contents import Contents
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader, version_of
from encdec_batch.read.options import DEFAULT_OPTIONS, ReadOptions
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.spec.source import Reading as SourceReading
from encdec_batch.spec.train_data import DataSpec, NodataSpec
from encdec_batch.store.open import locate
from encdec_batch.store.store import Store
from encdec_batch.train.pairs.pair import File
from encdec_batch.window import Window

_REMEDIES: dict[type[SceneError], str] = {
    SceneChanged: "put it back as it was, or train anew in a folder of its own (a night does so by itself)",
    SceneForbidden: "give the credentials the right to read it, and train again",
}
"""Of a training; a job has others (plan/open.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How files are read: images as their source says, targets as they are."""

    limits: Limits
    nodata: NodataSpec
    physical: bool
    """Numbers as the file means them, in float32."""

    @classmethod
    def of(cls, data: DataSpec) -> Reading:
        return cls(limits=limits_of(data.limits), nodata=data.nodata, physical=data.values == "physical")

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
        if not self.physical:
            return patch
        scales, offsets = (
            np.array([of_file[band - 1] for band in bands], np.float32).reshape(-1, 1, 1)
            for of_file in (reader.header.scales, reader.header.offsets)
        )
        return Patch(pixels=patch.pixels.astype(np.float32) * scales + offsets, valid_mask=patch.valid_mask)


@contextmanager
def as_errors_of(file: File) -> Iterator[None]:
    """What a store says of one object is said of its file, by name: where it is read there is no row that names it.

    Raises:
        SceneError: as `as_image_errors`.
    """
    image = SourceImage(uri=file.uri, etag="", link=file.link)
    try:
        with as_image_errors(image):
            yield
    except SceneError as error:
        said = error.message if file.uri in error.message else f"{file.uri}: {error.message}"
        hint = _REMEDIES.get(type(error), error.hint)
        ours = type(error)(said, hint=hint, **{**error.context, "uri": file.uri})
        # The store's own error names the object.
        raise ours from (None if file.is_private else error)


def options_for(file: File, *, is_target: bool) -> ReadOptions:
    """How a file is read. A target has the pixels of its image already: resampled, labels would be others."""
    options = options_of(file.source) if isinstance(file.source, SourceReading) else DEFAULT_OPTIONS
    return ReadOptions(axis=options.axis) if is_target else options


def open_held(file: File, reading: Reading, *, etag: str = "", is_target: bool = False) -> Reader:
    """A reader of the file, of the version that `etag` names where it is not empty; the caller closes it.

    Raises:
        SceneError: missing, damaged, replaced, beyond the limits.
        TransientStoreError: the store, not the file.
    """
    with as_errors_of(file):
        store, path = _located(file)
        return open_reader(
            store,
            path,
            etag=etag or file.etag or None,
            limits=reading.limits,
            whole=True,
            plane=file.plane,
            options=options_for(file, is_target=is_target),
        )


def contents_in(file: File, reading: Reading, *, is_target: bool) -> tuple[str, Contents]:
    """Etag of an object, and the images that it holds.

    Raises:
        SceneError, TransientStoreError: as `open_held`.
    """
    with as_errors_of(file):
        store, path = _located(file)
        etag = version_of(store, path, limits=reading.limits).etag
        options = options_for(file, is_target=is_target)
        return etag, contents_of(store, path, etag=etag, limits=reading.limits, options=options)


def etag_of(file: File) -> str:
    """Which bytes of it are there now; it is not opened.

    Raises:
        SceneError: it is missing, or must not be read.
        TransientStoreError: the store, not the file.
    """
    if file.etag:
        return file.etag
    with as_errors_of(file):
        store, path = _located(file)
        return version_of(store, path).etag


def _located(file: File) -> tuple[Store, str]:
    try:
        store, path = locate(file.opened, file.source.storage)
        return confined(store, file.source, file.opened), path
    except SpecError as error:
        raise SceneUnreadable(error.message, hint=error.hint, uri=file.uri) from error


def bands_to_read(
    header: SceneHeader, asked: Sequence[int] | None, wanted: int | None, *, uri: str, option: str
) -> tuple[int, ...]:
    """Band numbers, counted from 1.

    Args:
        header: of the image.
        asked: by the spec or the table; None: all.
        wanted: how many there are to be, where one band may stand for them all; None: it may not.
        uri: for messages.
        option: of the spec that asks.

    Raises:
        UnsupportedScene: a band is asked for that is not there.
    """
    bands = tuple(asked) if asked is not None else tuple(range(1, header.num_bands + 1))
    if wanted is not None and header.num_bands == 1:
        return (1,) * wanted
    absent = [band for band in bands if band > header.num_bands]
    if absent:
        raise UnsupportedScene(
            f"{uri}: it has {bands_said(header.num_bands)}, band {absent[0]} is asked for",
            hint=f"correct {option}",
            uri=uri,
        )
    return bands
