"""Which image of an object a scene is, where an object holds several: a frame, a slice, a point in time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_TEXT = re.compile(r"(?:[a-z]+=\d+(?:,(?=.)|$))*")


@dataclass(frozen=True, slots=True)
class Plane:
    """Indices of one image, counted from 0, in the order of the format's axes; none, where an object is one image."""

    indices: tuple[tuple[str, int], ...] = ()
    """Name of an axis and index along it, e.g. (("t", 0), ("z", 12))."""

    @classmethod
    def of(cls, **indices: int) -> Self:
        """`Plane.of(t=0, z=12)`"""
        return cls(tuple(indices.items()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plane that `str` gave this text of.

        Raises:
            ValueError: it is no such text.
        """
        if _TEXT.fullmatch(text) is None:
            raise ValueError(f"{text!r} is no plane: write t=0,z=12")
        pairs = (pair.partition("=") for pair in text.split(",") if pair)
        return cls(tuple((axis, int(index)) for axis, _, index in pairs))

    def __str__(self) -> str:
        return ",".join(f"{axis}={index}" for axis, index in self.indices)

    @property
    def axes(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(axis for axis, _ in self.indices)

    def __getitem__(self, axis: str) -> int:
        return dict(self.indices)[axis]


WHOLE = Plane()
"""The image of an object that is one."""
