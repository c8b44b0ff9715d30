"""GDAL over our own bytes: one open dataset that can name nothing but this one object."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from rasterio._err import CPLE_BaseError, CPLE_OutOfMemoryError

from encdec_batch.errors import EncdecError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.gdal.files import gdal_path, hide_from_gdal, new_context, show_to_gdal
from encdec_batch.read.gdal.settings import GDAL_SETTINGS, MALFORMED, rasterio
from encdec_batch.read.memory import memory_limit
from encdec_batch.read.ranges import PinnedObject

T = TypeVar("T")


class Decoder:
    """A rasterio dataset whose every byte comes from a `PinnedObject`.

    Whatever touches the dataset, its end included, runs in one context (see files.py).
    """

    def __init__(
        self, source: PinnedObject, driver: Literal["GTiff", "PNG", "JPEG", "WEBP"], **options: object
    ) -> None:
        self._source, self._driver, self._options = source, driver, options
        self._context = new_context()
        name = show_to_gdal(source)
        try:
            self._dataset = self._guarded("open it", lambda: _open(name, driver, options))
        except BaseException:
            hide_from_gdal(name)
            raise
        self._finalizer = weakref.finalize(self, self._context.run, _close, self._dataset, name)

    def run(self, what: str, use: Callable[[Any], T]) -> T:
        """The result of `use` on the dataset.

        Args:
            what: completes "GDAL cannot ..." in the message.
            use: gets the open rasterio dataset; must not keep it.

        Raises:
            SceneUnreadable: GDAL could not.
            SceneChanged, TransientStoreError: the store failed while GDAL was reading.
        """
        return self._guarded(what, lambda: _used(use, self._dataset))

    def again(self) -> Decoder:
        """Another one of the same image, which has decoded nothing yet."""
        return Decoder(self._source, self._driver, **self._options)

    def close(self) -> None:
        """Closes the dataset; a second call does nothing."""
        self._finalizer()

    def _guarded(self, what: str, call: Callable[[], T]) -> T:
        limit = self._source.limits.max_growth_bytes
        limited = False
        try:
            with memory_limit(limit) as limited:
                result = self._context.run(call)
        except EncdecError:
            raise
        except MALFORMED as error:
            if limited and _is_of_memory(error):
                raise UnsupportedScene(
                    f"{self._source.uri}: GDAL cannot {what}: it takes more than {limit:,} bytes",
                    hint="raise limits.decoder_gib, if the scene is what it should be",
                    uri=self._source.uri,
                ) from error
            if isinstance(error, MemoryError):
                raise  # the limits admitted it: the machine's, not the file's
            self._raise_failure()
            detail = str(error.__cause__ or error).splitlines() or [type(error).__name__]
            raise SceneUnreadable(
                f"{self._source.uri}: GDAL cannot {what}: {detail[0]}",
                hint="the file is damaged or not what its first bytes say; fetch or write it anew",
                uri=self._source.uri,
            ) from error
        self._raise_failure()
        return result

    def _raise_failure(self) -> None:
        failure, self._source.failure = self._source.failure, None
        if failure is not None:
            raise failure


def _is_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError | CPLE_OutOfMemoryError) or "cannot allocate" in str(error).lower():
            return True
        error = error.__cause__
    return False


def _open(name: str, driver: str, options: dict[str, object]) -> Any:
    with rasterio.Env(**GDAL_SETTINGS):
        dataset = rasterio.open(gdal_path(name), driver=driver, sharing=False, **options)
        # An error that did not keep GDAL from opening (damaged EXIF, say) stays behind, and rasterio raises it at
        # the next call, whichever that is. If this one really fails, it will again.
        with contextlib.suppress(CPLE_BaseError):
            _ = dataset.colorinterp
        return dataset


def _used(use: Callable[[Any], T], dataset: Any) -> T:
    with rasterio.Env(**GDAL_SETTINGS):
        return use(dataset)


def _close(dataset: Any, name: str) -> None:
    with rasterio.Env(**GDAL_SETTINGS):
        dataset.close()
    hide_from_gdal(name)
