"""Chance that anybody can repeat: numbers that follow from a name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class Draw:
    """Numbers that follow from a name and from how many were drawn, the same in every version of Python and numpy."""

    def __init__(self, name: str) -> None:
        self._name, self._drawn = name, 0

    def below(self, stop: int) -> int:
        """Evenly of 0 to `stop` - 1."""
        return int(self.unit() * stop)

    def one_of(self, items: Sequence[int]) -> int:
        return items[self.below(len(items))]

    def unit(self) -> float:
        """Evenly in [0, 1)."""
        self._drawn += 1
        digest = hashlib.sha256(f"{self._name} {self._drawn}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48
