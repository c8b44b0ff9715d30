"""What the elements of a dataset say, whatever types they claim."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset

from encdec_batch.errors import SceneUnreadable
from encdec_batch.read.dicom.library import MALFORMED, damaged

_MOST_SEQUENCE_BYTES = 2 << 20
"""A table has 128 KiB. Of 8 bytes in a file an element may take 300 in memory."""


class Elements:
    """The elements of one dataset or item, by keyword (DICOM PS3.6).

    Args:
        dataset: parsed by pydicom.
        uri: of the object, for messages.
    """

    def __init__(self, dataset: Dataset, uri: str) -> None:
        self._dataset, self._uri = dataset, uri

    def __contains__(self, keyword: str) -> bool:
        return keyword in self._dataset

    def integer(self, keyword: str, default: int | None = None) -> int:
        """One whole number.

        Raises:
            SceneUnreadable: it is none, or there is none and no default.
        """
        value = self._value(keyword)
        if value is None and default is not None:
            return default
        if value is None:
            raise damaged(self._uri, f"its header has no {keyword}")
        if not isinstance(value, int):
            raise damaged(self._uri, f"{keyword} in its header is no whole number")
        return int(value)

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """All of them; none, where there is no such element.

        Raises:
            SceneUnreadable: one is no finite number.
        """
        value = self._value(keyword)
        values = () if value is None else value if _is_several(value) else (value,)
        try:
            found = tuple(float(one) for one in values)
        except (TypeError, ValueError):
            found = (math.nan,)
        if not all(math.isfinite(one) for one in found):
            raise damaged(self._uri, f"{keyword} in its header is no number")
        return found

    def vector(self, keyword: str, size: int) -> tuple[float, ...] | None:
        """So many numbers; None, where it has no such element or one that is wrong: an image can be read without."""
        try:
            found = self.numbers(keyword)
        except SceneUnreadable:
            return None
        return found if len(found) == size else None

    def text(self, keyword: str) -> str:
        """Empty where there is no such element."""
        value = self._value(keyword)
        if value is None:
            return ""
        return "\\".join(map(str, value)) if _is_several(value) else str(value).strip()

    def raw(self, keyword: str) -> bytes:
        """The bytes of the value, in the byte order of the file; none where there is no such element."""
        if keyword not in self._dataset:
            return b""
        value = self._dataset.get_item(keyword).value
        return value if isinstance(value, bytes) else b""

    def items(self, keyword: str) -> Iterator[Elements]:
        """Of a sequence.

        Raises:
            SceneUnreadable: it is damaged, or larger than any that is of use.
        """
        if len(self.raw(keyword)) > _MOST_SEQUENCE_BYTES:
            raise damaged(self._uri, f"{keyword} in its header has more than {_MOST_SEQUENCE_BYTES:,} bytes")
        value = self._value(keyword)
        for item in value if _is_several(value) else ():
            yield Elements(item, self._uri)

    def _value(self, keyword: str) -> Any:
        try:
            value = self._dataset.get(keyword)
        except MemoryError:
            raise
        except MALFORMED:
            raise damaged(self._uri, f"{keyword} in its header cannot be read") from None
        return None if isinstance(value, str | bytes) and not value else value


def _is_several(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | bytes)
