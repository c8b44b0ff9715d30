"""From the labels of a file to the network's channels, and to what a network sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encdec_batch.errors import UnsupportedScene
from encdec_batch.spec.train_target import LabelsInput, MaskClass, ranges_of
from encdec_batch.train.batch import IGNORE

_Ignored = tuple[int | tuple[int, int], ...]


def channels_of(
    labels_HW: NDArray[Any], classes: Sequence[MaskClass], ignore: _Ignored, *, uri: str
) -> NDArray[np.uint8]:
    """The number of the channel for each pixel, `IGNORE` where the spec ignores its label.

    Args:
        labels_HW: as stored; floats must be whole numbers.
        classes: in the order of channels.
        ignore: labels, and ranges of them, both ends included.
        uri: of the file, for the message.

    Raises:
        UnsupportedScene: a label that the spec names nowhere; file and value are named.
    """
    if labels_HW.dtype.kind == "f":
        found, where = np.unique(labels_HW, return_inverse=True)
        channels = np.array([_channel(value, classes, ignore, uri) for value in found.tolist()], dtype=np.uint8)
        return channels[where].reshape(labels_HW.shape)
    # Of 16 bits at most: a table of all values between the least and the greatest, as sorting pixels is slow.
    least = int(labels_HW.min())
    shifted = labels_HW.astype(np.int32).ravel() - least
    table = np.zeros(int(shifted.max()) + 1, np.uint8)
    for value in np.flatnonzero(np.bincount(shifted)).tolist():
        table[value] = _channel(value + least, classes, ignore, uri)
    return table[shifted].reshape(labels_HW.shape)


def _channel(value: float, classes: Sequence[MaskClass], ignore: _Ignored, uri: str) -> int:
    for channel, one in enumerate(classes):
        if _among(value, one.ranges):
            return channel
    if _among(value, ranges_of(ignore)):
        return IGNORE
    raise UnsupportedScene(
        f"{uri}: label {value} is of no class",
        hint="name it in the values of a class, or in ignore",
        uri=uri,
        label=value,
    )


def _among(value: float, ranges: Sequence[tuple[int, int]]) -> bool:
    return float(value).is_integer() and any(first <= value <= last for first, last in ranges)


def coded(channels_HW: NDArray[np.uint8], spec: LabelsInput) -> NDArray[np.float32]:
    """What a network sees of a mask: (classes, height, width) of 0 and 1, or (3, height, width) of colours, 0 to 255.

    Ignored pixels are zero in all bands.
    """
    if spec.code == "one_hot":
        bands: NDArray[np.bool_] = channels_HW[None] == np.arange(len(spec.classes), dtype=np.uint8)[:, None, None]
        return bands.astype(np.float32)
    colours = np.zeros((256, 3), np.float32)
    colours[: len(spec.classes)] = [one.color for one in spec.classes]
    seen: NDArray[np.float32] = np.ascontiguousarray(colours[channels_HW].transpose(2, 0, 1))
    return seen
