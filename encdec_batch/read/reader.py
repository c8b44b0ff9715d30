"""The contract of a reader. tests/contracts/reader.py holds every implementation to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.window import Window

Rule = Literal["any", "all"]
"""Which of the bands read must be nodata for a pixel to be invalid."""


class Reader(Protocol):
    """Windows of one scene, all from one version of its object.

    Not thread-safe, but not bound to a thread: one call at a time, from any. Does not pickle: open it where
    it reads. `open_reader` does the first I/O (the header); the only writes are to its own cache.
    A pixel means what rasterio says it means.

    Raises, from every method that reads: SceneUnreadable (the bytes are no such image), SceneChanged (the
    object was replaced), UnsupportedScene (beyond the limits), TransientStoreError.
    """

    @property
    def header(self) -> SceneHeader: ...

    @property
    def etag(self) -> str:
        """Of the version that is read."""

    @property
    def size_bytes(self) -> int:
        """Of the object."""

    @property
    def bytes_read(self) -> int:
        """Asked of the store so far, header included, repeated attempts not."""

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        """Pixels of a window, and which are valid.

        Args:
            window: inside the scene.
            bands: 1-based, among `header.num_bands`, in the order wanted; alpha is not one of them.
            rule: how several bands' nodata values (or NaNs) make one mask; alpha and internal masks hold for all bands.
            nan_is_nodata: a NaN counts as its band's nodata value.

        Raises:
            WindowError: the window is not inside the scene.
            UnsupportedScene: a band is not there.
        """

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        """By how much `bytes_read` will grow when this reader reads these windows next, in this order.

        Where pixels lie may be looked up for it, once, which counts as read now.
        """

    def thumbnail(self, max_side: int) -> Patch:
        """The scene, every n-th pixel, from overviews where there are; neither side above `max_side`.

        A pixel is valid where any band is.

        Raises:
            UnsupportedScene: it would cost more than the limits admit.
        """

    def close(self) -> None:
        """Frees the decoder and the cache; no method may be called afterwards. A second call does nothing."""
