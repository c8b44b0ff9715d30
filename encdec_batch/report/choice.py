"""Which scenes of an archive the page shows: the worst certificates, the largest, and some drawn by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from pydantic import JsonValue

from encdec_batch.commit.marker import Marker

Why = Literal["worst certificate", "largest", "drawn"]
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


def choose(markers: Sequence[Marker], wanted: int, *, seed: str = "", severity: Severity = severity_of) -> list[Choice]:
    """At most `wanted` scenes with outputs: a third by certificate, a third by size, the rest drawn.

    The same markers, whatever their order, and the same seed give the same scenes, and so the same page.

    Args:
        markers: of the whole output.
        wanted: scenes at most.
        seed: of the draw.
        severity: of a certificate; the greater, the worse. A scene without one, or of severity 0, is not among the
            worst.
    """
    if not wanted:
        return []
    scenes = {marker.scene_id: marker for marker in markers if marker.outputs}
    worst = {name: severity(marker.certificate) for name, marker in scenes.items() if marker.certificate}
    sizes = {name: _pixels(marker) for name, marker in scenes.items()}
    drawn = {name: int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest(), 16) for name in scenes}
    chosen: dict[str, Why] = {}
    _take(chosen, "worst certificate", {name: value for name, value in worst.items() if value > 0}, -(-wanted // 3))
    _take(chosen, "largest", sizes, -(-(wanted - len(chosen)) // 2))
    _take(chosen, "drawn", drawn, wanted - len(chosen))
    return [Choice(marker=scenes[name], why=why) for name, why in chosen.items()]


def _take(chosen: dict[str, Why], why: Why, values: Mapping[str, float], number: int) -> None:
    """The greatest that are not chosen yet; equal ones by their ids."""
    free = (name for name in sorted(values, key=lambda name: (-values[name], name)) if name not in chosen)
    for name, _ in zip(free, range(number), strict=False):
        chosen[name] = why


def _pixels(marker: Marker) -> float:
    height, width = marker.summary.get("height"), marker.summary.get("width")
    sides = isinstance(height, int | float) and isinstance(width, int | float)
    return float(height) * float(width) if sides else 0.0  # type: ignore[arg-type]  # numbers, as the line above says
