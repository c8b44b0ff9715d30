"""What the page derives from a run's figures: shares, the bottleneck, units of area."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from encdec_batch.report.record import ClassArea, MemoryPeak, StageTime

SQUARE_METRES_PER_KM2 = 1e6
SQUARE_METRES_PER_HA = 1e4


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """A stage as a line of the chart."""

    stage: StageTime
    busy: float
    """Share of the run's time that one of its workers was at work, 0 to 1."""
    is_bottleneck: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """A kind of process as a line of the chart."""

    memory: MemoryPeak
    ratio: float | None
    """Peak by projection; None where nothing was projected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """A class as a line of the chart."""

    area: ClassArea
    share: float
    """Of all classified pixels, 0 to 1."""
    width: float
    """Share of the largest class: the length of the bar, 0 to 1."""
    color: str
    """#rrggbb."""
    ground: float | None
    """In `unit`."""
    unit: str


def stage_rows(stages: Sequence[StageTime], seconds: float) -> list[StageRow]:
    """Stages with the share of the run's `seconds` each was busy; the busiest is the bottleneck."""
    busy = [stage.seconds / (seconds * max(stage.num_workers, 1)) if seconds > 0 else 0.0 for stage in stages]
    most = max(busy, default=0.0)
    return [
        StageRow(stage=stage, busy=min(share, 1.0), is_bottleneck=share == most > 0)
        for stage, share in zip(stages, busy, strict=True)
    ]


def memory_rows(memory: Sequence[MemoryPeak]) -> list[MemoryRow]:
    """Peaks with their ratio to the projection, the largest first."""
    rows = [
        MemoryRow(memory=peak, ratio=peak.peak_bytes / peak.projected_bytes if peak.projected_bytes else None)
        for peak in memory
    ]
    return sorted(rows, key=lambda row: -row.memory.peak_bytes)


def class_rows(classes: Sequence[ClassArea]) -> list[ClassRow]:
    """Classes with shares; areas in km2 where the whole is at least one, else in ha."""
    total = sum(area.num_pixels for area in classes)
    in_km2 = sum(area.area_m2 or 0.0 for area in classes) >= SQUARE_METRES_PER_KM2
    divisor = SQUARE_METRES_PER_KM2 if in_km2 else SQUARE_METRES_PER_HA
    return [
        ClassRow(
            area=area,
            share=area.num_pixels / total if total else 0.0,
            width=area.num_pixels / total if total else 0.0,
            color="#{:02x}{:02x}{:02x}".format(*area.color),
            ground=None if area.area_m2 is None else area.area_m2 / divisor,
            unit="km²" if in_km2 else "ha",
        )
        for area in classes
    ]
