"""Certificates of an output, worst first, from its markers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from encdec_batch.commit.marker import Marker
from encdec_batch.report.record import Certificates, SceneCheck


def certificates_of(markers: Iterable[Marker]) -> Certificates:
    """What the markers of scenes with outputs say; nothing of those that nobody wanted certified."""
    counts: Counter[str] = Counter()
    checked: list[SceneCheck] = []
    for marker in markers:
        if marker.certificate is None or not marker.outputs:
            continue
        said = marker.certificate
        counts[str(said["result"])] += 1
        if "windows" in said:
            checked.append(
                SceneCheck(
                    scene_id=marker.scene_id,
                    windows=_count(said["windows"]),
                    pixels=_count(said["pixels"]),
                    differing=_count(said["differing"]),
                    worst=_known(said["worst"]),
                    tolerance=_known(said["tolerance"]),
                )
            )
    checked.sort(key=lambda check: check.badness, reverse=True)
    return Certificates(counts=tuple(sorted(counts.items())), worst_first=tuple(checked))


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
