"""The pixels of a pair as the files hold them: image and target of one window, by the readers of the main job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.header import SceneHeader
from encdec_batch.read.reader import Reader
from encdec_batch.read.stacked import StackedReader
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_target import ImageTarget, LabelsInput, MaskTarget
from encdec_batch.train.batch import IGNORE
from encdec_batch.train.pairs.labels import channels_of
from encdec_batch.train.pairs.open import Reading, as_errors_of, bands_to_read, open_held
from encdec_batch.train.pairs.pair import File, Pair
from encdec_batch.uri import hidden
from encdec_batch.window import Window

_BANDS = "data.train.bands (a grey image gives three by [1, 1, 1]), or the table's column bands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """A window of a pair, as stored, or as its numbers mean it (data.values)."""

    pixels: NDArray[Any]
    """(bands, height, width); of labels as input: uint8 (1, height, width), channels."""
    valid: NDArray[np.bool_]
    """(height, width)."""
    target: NDArray[Any] | None
    """uint8 (height, width), channels, `IGNORE` where none; or (bands, height, width) of another image; None: it is
    made from the image."""
    counts: NDArray[np.bool_]
    """(height, width), True where image and target are both known."""

    @property
    def num_bytes(self) -> int:
        arrays = (self.pixels, self.valid, self.counts, *(() if self.target is None else (self.target,)))
        return sum(array.nbytes for array in arrays)

    def cut(self, window: Window) -> Raw:
        """A part of it; views."""
        at = (..., window.rows, window.cols)
        target = None if self.target is None else self.target[at]
        return Raw(pixels=self.pixels[at], valid=self.valid[at], target=target, counts=self.counts[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which bytes of a pair are meant: empty etags where those that are there now are."""

    etag: str = ""
    target_etag: str = ""


class PairReader:
    """Windows of one pair. Not thread-safe, does not pickle; opens both files when it is made.

    Args:
        pair: image and target.
        data: what is read of them.
        num_bands: how many the image is to have, where one may stand for them all.
        version: the bytes to read.

    Raises:
        SceneError: a file that cannot be read, or is another than the version.
        TransientStoreError: the store, not the file.
    """

    def __init__(
        self, pair: Pair, data: DataSpec, *, num_bands: int | None = None, version: Version | None = None
    ) -> None:
        version = version or Version()
        self.pair, self._data = pair, data
        self._reading = Reading.of(data)
        with ExitStack() as stack:
            self._image: Reader = self._open_image(stack, version)
            self._target: Reader | None = None
            if pair.target is not None:
                self._target = open_held(pair.target, self._reading, etag=version.target_etag, is_target=True)
                stack.callback(self._target.close)
            wanted = (num_bands or len(pair.bands or ()) or None) if data.expand_single_band else None
            self.bands = bands_to_read(self._image.header, pair.bands, wanted, uri=pair.image.uri, option=_BANDS)
            self._stack = stack.pop_all()

    def _open_image(self, stack: ExitStack, version: Version) -> Reader:
        """The image, or with it the slices beside it."""
        readers: dict[File, Reader] = {}
        for file in dict.fromkeys(self.pair.images):
            etag = version.etag if file == self.pair.image else ""
            readers[file] = open_held(file, self._reading, etag=etag)
            stack.callback(readers[file].close)
        if not self.pair.stack:
            return readers[self.pair.image]
        with self._errors_of_image():
            return StackedReader([readers[file] for file in self.pair.stack])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes both files; a second call does nothing."""
        self._stack.close()

    @property
    def header(self) -> SceneHeader:
        """Of the image."""
        return self._image.header

    @property
    def target_header(self) -> SceneHeader | None:
        """None where there is no file of targets."""
        return None if self._target is None else self._target.header

    @property
    def version(self) -> Version:
        return Version(etag=self._image.etag, target_etag="" if self._target is None else self._target.etag)

    def read(self, window: Window) -> Raw:
        """Image and target of a window of the image.

        Raises:
            SceneError: as `Reader.read`; a label that is of no class.
            TransientStoreError: the store, not the file.
        """
        pixels, valid = self.image(window)
        target, known = self._read_target(window)
        return Raw(pixels=pixels, valid=valid, target=target, counts=valid & known if known is not None else valid)

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The image alone, as in `Raw`, and which of its pixels are valid."""
        spec, uri = self._data.input, self.pair.image.uri
        with self._errors_of_image():
            if isinstance(spec, LabelsInput):
                patch = self._image.read(window, (self.bands[0],), rule="any")
                channels = channels_of(patch.pixels[0], spec.classes, spec.ignore, uri=uri)
                return channels[None], patch.valid_mask
            patch = self._reading.patch(self._image, window, self.bands, uri)
        return patch.pixels, patch.valid_mask

    @contextmanager
    def _errors_of_image(self) -> Iterator[None]:
        """Of whichever of its slices: all names are hidden that are to be."""
        with ExitStack() as stack:
            for file in dict.fromkeys(self.pair.images):
                if file.is_private and file != self.pair.image:
                    stack.enter_context(hidden(file.opened, file.uri))
            stack.enter_context(as_errors_of(self.pair.image))
            yield

    def _read_target(self, window: Window) -> tuple[NDArray[Any] | None, NDArray[np.bool_] | None]:
        spec = self._data.target
        if not isinstance(spec, MaskTarget | ImageTarget):
            return None, None
        file, reader = (self.pair.image, self._image)
        if self.pair.target is not None and self._target is not None:
            file, reader = self.pair.target, self._target
        with as_errors_of(file):
            if isinstance(spec, ImageTarget):
                bands = bands_to_read(reader.header, spec.bands, None, uri=file.uri, option="data.target.bands")
                patch = self._reading.patch(reader, window, bands, file.uri)
                return patch.pixels, patch.valid_mask
            bands = bands_to_read(reader.header, (spec.band,), None, uri=file.uri, option="data.target.band")
            patch = reader.read(window, bands, rule="any")
        channels = np.full(patch.valid_mask.shape, IGNORE, np.uint8)
        if patch.valid_mask.any():
            labels = patch.pixels[0][patch.valid_mask]
            channels[patch.valid_mask] = channels_of(labels, spec.classes, spec.ignore, uri=file.uri)
        return channels, channels != IGNORE
