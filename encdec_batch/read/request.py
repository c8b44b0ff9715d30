"""What may be asked of a reader."""

from __future__ import annotations

from collections.abc import Sequence

from encdec_batch.errors import UnsupportedScene, WindowError
from encdec_batch.read.header import SceneHeader
from encdec_batch.window import Window


def check_request(header: SceneHeader, window: Window, bands: Sequence[int], *, uri: str) -> None:
    """Does nothing when these pixels are in the scene.

    Raises:
        WindowError: the window is not inside.
        UnsupportedScene: a band is not there, or none is asked for.
    """
    if not Window(0, 0, header.width, header.height).contains(window):
        raise WindowError(f"{uri}: {window} is not inside its {header.width} x {header.height} px")
    wrong = [band for band in bands if not 1 <= band <= header.num_bands]
    if wrong or not bands:
        names = ", ".join(map(str, wrong)) or "none"
        alpha = "; one more is marked as alpha" if header.mask == "alpha" else ""
        raise UnsupportedScene(
            f"{uri}: bands asked for that it does not have: {names}; it has {header.num_bands}{alpha}",
            hint="list those it has in source.bands, or choose another model"
            + (
                ", or, if alpha is a band of pixels, mark it so in the file (gdal_edit.py -colorinterp_4 undefined)"
                if alpha
                else ""
            ),
            uri=uri,
        )
