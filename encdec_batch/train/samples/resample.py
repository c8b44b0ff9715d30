"""Images at another size, along one axis after the other, as MATLAB's imresize makes them.

Published figures of super-resolution are of images made smaller by `imresize(image, 1/k, "bicubic")`: cubic
convolution of a = -1/2 (Keys 1981), widened by `k` against aliasing, weights that sum to one, the image mirrored with
its border pixel repeated. Other libraries' bicubic differs in one or more of these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kernel = Literal["cubic", "linear"]


def shrink(image_CHW: NDArray[np.float32], scale: int, *, dtype: str | None = None) -> NDArray[np.float32]:
    """The image made smaller by a whole factor, by bicubic interpolation with antialiasing.

    Args:
        image_CHW: its sides are multiples of `scale`.
        scale: 2, 3, 4, ...
        dtype: of the file: the result is rounded and clipped to it after each axis, as imresize does for images of
            integers. None: not at all.
    """
    _, height, width = image_CHW.shape
    out = image_CHW
    for axis, side in ((1, height), (2, width)):
        out = _along(out, axis, side // scale, 1 / scale, "cubic")
        if dtype is not None and np.dtype(dtype).kind != "f":
            held = np.iinfo(np.dtype(dtype))
            # MATLAB rounds halves away from zero; below zero the clip decides for most types.
            out = np.clip(np.trunc(out + np.copysign(np.float32(0.5), out)), held.min, held.max)
    return out.astype(np.float32, copy=False)


def enlarge(image_CHW: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """The image made larger by a whole factor, by the same interpolation: what super-resolution has to beat."""
    _, height, width = image_CHW.shape
    out = _along(image_CHW, 1, height * scale, scale, "cubic")
    return _along(out, 2, width * scale, scale, "cubic")


def resized(image_CHW: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The image at another size, by linear interpolation, with antialiasing where it becomes smaller."""
    _, rows, cols = image_CHW.shape
    out = _along(image_CHW, 1, height, height / rows, "linear")
    return _along(out, 2, width, width / cols, "linear")


def nearest(image: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The same for labels and masks, whose last two axes are rows and columns: each pixel is one that was there."""
    rows = ((np.arange(height) + 0.5) * image.shape[-2] / height).astype(np.intp)
    cols = ((np.arange(width) + 0.5) * image.shape[-1] / width).astype(np.intp)
    taken: NDArray[Any] = image.take(rows, axis=-2).take(cols, axis=-1)
    return taken


def _along(x: NDArray[np.float32], axis: int, size: int, scale: float, kernel: Kernel) -> NDArray[np.float32]:
    indices, weights = _taps(x.shape[axis], size, scale, kernel)
    shape = [1] * x.ndim
    shape[axis] = size
    out = x.take(indices[:, 0], axis=axis) * weights[:, 0].reshape(shape)
    for tap in range(1, indices.shape[1]):
        out += x.take(indices[:, tap], axis=axis) * weights[:, tap].reshape(shape)
    return out


@lru_cache(maxsize=256)
def _taps(size_in: int, size_out: int, scale: float, kernel: Kernel) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each output pixel the input pixels it is made of, and their weights: (size_out, taps) each.

    Source: MATLAB, imresize.m, function `contributions`.
    """
    width, function = _KERNELS[kernel]
    widened = min(scale, 1.0)
    width /= widened
    centre = (np.arange(size_out) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.intp)
    indices = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = function(widened * (centre[:, None] - indices))
    weights /= weights.sum(axis=1, keepdims=True)
    # Mirrored so that the border pixel comes twice: period 2 n.
    indices %= 2 * size_in
    indices = np.where(indices < size_in, indices, 2 * size_in - 1 - indices)
    used = np.any(weights != 0, axis=0)
    taps, shares = indices[:, used], weights[:, used].astype(np.float32)
    taps.flags.writeable = shares.flags.writeable = False
    return taps, shares


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys 1981, equation 15."""
    a = np.abs(x)
    near = 1.5 * a**3 - 2.5 * a**2 + 1
    far = -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2
    return np.where(a <= 1, near, np.where(a <= 2, far, 0.0))


def _linear(x: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = np.maximum(1 - np.abs(x), 0.0)
    return weights


_KERNELS: dict[Kernel, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "cubic": (4.0, _cubic),
    "linear": (2.0, _linear),
}
