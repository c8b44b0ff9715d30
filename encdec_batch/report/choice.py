"""Which scenes of an archive the page shows: the worst certificates, the largest, and some drawn by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from math import inf
from typing import Literal

from pydantic import JsonValue

from encdec_batch.commit.marker import Marker

Why = Literal["worst certificate", "largest", "drawn", ""]
"""Nothing, where all scenes are shown."""
Severity = Callable[[Mapping[str, JsonValue]], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A scene to be shown, and what for."""

    marker: Marker
    why: Why


def severity_of(certificate: Mapping[str, JsonValue]) -> float:
    """How bad a certificate is: its worst difference, in tolerances where it names one; 0 where nothing differed.

    A worst difference that is no number is one that JSON has none for: it is not finite.
    """
    if "worst" not in certificate:
        return 0.0
    worst, tolerance = certificate["worst"], certificate.get("tolerance")
    if not isinstance(worst, int | float):
        return inf
    return worst / tolerance if isinstance(tolerance, int | float) and tolerance > 0 else float(worst)


def choose(markers: Iterable[Marker], wanted: int, *, seed: str = "", severity: Severity = severity_of) -> list[Choice]:
    """At most `wanted` scenes with outputs: a third by certificate, a third by size, the rest drawn.

    The same markers, whatever their order, and the same seed give the same scenes, and so the same page. No more
    markers are held at a time than may be chosen.

    Args:
        markers: of the whole output; gone through once.
        wanted: scenes at most.
        seed: of the draw.
        severity: of a certificate; the greater, the worse. A scene without one, or of severity 0, is not among the
            worst.
    """
    if not wanted:
        return []
    worst, largest, drawn = (_Best(2 * wanted) for _ in range(3))
    number = 0
    for marker in markers:
        if not marker.outputs:
            continue
        number += 1
        if marker.certificate and (value := severity(marker.certificate)) > 0:
            worst.add(value, marker)
        largest.add(_pixels(marker), marker)
        drawn.add(int(hashlib.sha256(f"{seed}/{marker.scene_id}".encode()).hexdigest(), 16), marker)
    chosen: dict[str, Choice] = {}
    worst.move(chosen, "worst certificate", -(-wanted // 3))
    largest.move(chosen, "largest", -(-(wanted - len(chosen)) // 2))
    drawn.move(chosen, "drawn", wanted - len(chosen))
    return [replace(one, why="") if number <= wanted else one for one in chosen.values()]


class _Best:
    """The markers of the greatest values; of equal values those of the first ids."""

    def __init__(self, size: int) -> None:
        self._size, self._held = size, list[tuple[float, str, Marker]]()

    def add(self, value: float, marker: Marker) -> None:
        self._held.append((-value, marker.scene_id, marker))
        if len(self._held) >= 4 * self._size:
            self._held = self._sorted()

    def move(self, chosen: dict[str, Choice], why: Why, number: int) -> None:
        """So many of those that are not chosen yet."""
        free = (marker for _, _, marker in self._sorted() if marker.scene_id not in chosen)
        chosen |= {marker.scene_id: Choice(marker=marker, why=why) for marker in list(islice(free, number))}

    def _sorted(self) -> list[tuple[float, str, Marker]]:
        return sorted(self._held, key=lambda held: held[:2])[: self._size]


def _pixels(marker: Marker) -> float:
    height, width = marker.summary.get("height"), marker.summary.get("width")
    sides = isinstance(height, int | float) and isinstance(width, int | float)
    return float(height) * float(width) if sides else 0.0  # type: ignore[arg-type]  # numbers, as the line above says
