"""Percentiles of a whole scene: exact, whatever the order in which its windows come, in little memory.

Every value has a key, an integer in the order of the values, and keys are counted. Those of integers have 16 bits and
take one pass; those of floats have 32 and take two: the leading 16 bits of all keys first, then the trailing 16 of the
keys among which a wanted one is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from encdec_batch.read.patch import Patch

ValueRange = tuple[tuple[float, float], ...]
"""For each band the values at a lower and at an upper percentile, as stored."""

_BINS = 1 << 16
_SIGN = np.uint32(1 << 31)
_Keys = NDArray[np.uint32]


def num_passes(dtype: str) -> int:
    """How often a scene of this type is read for its percentiles."""
    return 2 if np.dtype(dtype).kind == "f" else 1


def scene_percentiles(
    patches: Callable[[], Iterable[Patch]], dtype: str, num_bands: int, percentages: Sequence[float]
) -> list[tuple[float, ...]]:
    """For each band the values at these percentages of its valid pixels, interpolated as numpy.percentile does.

    Args:
        patches: windows that cover each pixel once; called once, for floats twice.
        dtype: of the patches.
        num_bands: of the patches.
        percentages: 0 to 100.

    Returns:
        Zeros for a band without a valid pixel. Floats are counted as float32.
    """
    is_float = np.dtype(dtype).kind == "f"
    leading = np.zeros((num_bands, _BINS), np.int64)
    for patch in patches():
        for band, keys in enumerate(_keys(patch)):
            leading[band] += np.bincount(keys >> 16 if is_float else keys, minlength=_BINS)
    searches = [_Search(counts, percentages, two_passes=is_float) for counts in leading]
    if is_float:
        for patch in patches():
            for search, keys in zip(searches, _keys(patch), strict=True):
                search.refine(keys)
    value = _float_of if is_float else (lambda key: float(key - _lowest(dtype)))
    return [search.percentiles(value) for search in searches]


class _Search:
    """The keys at given percentages of one band."""

    def __init__(self, leading: NDArray[np.int64], percentages: Sequence[float], *, two_passes: bool) -> None:
        self._cumulated = leading.cumsum()
        last = int(self._cumulated[-1]) - 1
        self._positions = [percentage / 100 * last if last >= 0 else None for percentage in percentages]
        ranks = {rank for at in self._positions if at is not None for rank in (floor(at), ceil(at))}
        bins = {self._bin(rank) for rank in ranks} if two_passes else set()
        self._trailing = {number: np.zeros(_BINS, np.int64) for number in bins}

    def refine(self, keys: _Keys) -> None:
        """The second pass."""
        leading = keys >> 16
        for number in self._trailing:
            self._trailing[number] += np.bincount(keys[leading == number] & (_BINS - 1), minlength=_BINS)

    def percentiles(self, value: Callable[[int], float]) -> tuple[float, ...]:
        return tuple(0.0 if at is None else self._at(at, value) for at in self._positions)

    def _at(self, position: float, value: Callable[[int], float]) -> float:
        low, high = value(self._key(floor(position))), value(self._key(ceil(position)))
        return low + (high - low) * (position - floor(position))

    def _bin(self, rank: int) -> int:
        return int(np.searchsorted(self._cumulated, rank, side="right"))

    def _key(self, rank: int) -> int:
        number = self._bin(rank)
        if not self._trailing:
            return number
        before = int(self._cumulated[number - 1]) if number else 0
        within = np.searchsorted(self._trailing[number].cumsum(), rank - before, side="right")
        return number << 16 | int(within)


def _keys(patch: Patch) -> Iterator[_Keys]:
    """For each band the keys of its valid pixels; NaN in a band of a pixel that others make valid is none."""
    is_float = patch.pixels.dtype.kind == "f"
    for pixels_HW in patch.pixels:
        values = pixels_HW[patch.valid_mask]
        if not is_float:
            yield (values.astype(np.int64) + _lowest(values.dtype)).astype(np.uint32)
            continue
        # + 0.0 makes one zero of the two that there are.
        bits = (values[~np.isnan(values)].astype(np.float32) + np.float32(0)).view(np.uint32)
        yield np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _lowest(dtype: np.dtype[np.generic] | str) -> int:
    """What makes the least value of an integer type zero when it is added."""
    return -int(np.iinfo(np.dtype(dtype)).min)


def _float_of(key: int) -> float:
    bits = np.uint32(key) ^ _SIGN if key & int(_SIGN) else ~np.uint32(key)
    return float(np.array(bits, np.uint32).view(np.float32))
