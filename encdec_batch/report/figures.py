"""What the page derives from a run's figures: shares, the bottleneck, units of area, causes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from encdec_batch.report.record import ClassArea, MemoryPeak, SetAside, StageTime

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseRow:
    """Scenes that were set aside for one cause."""

    stage: str
    reason: str
    hint: str
    num_scenes: int
    """All there are."""
    scenes: tuple[SetAside, ...]
    """Those that are shown."""


def cause_rows(set_aside: Sequence[SetAside], max_scenes: int) -> list[CauseRow]:
    """The quarantine by cause, the most frequent first; at most `max_scenes` scenes over all causes.

    Every cause is shown by one scene before any is shown by a second; causes beyond `max_scenes` are left out.
    """
    causes: dict[tuple[str, str, str], list[SetAside]] = {}
    for row in set_aside:
        causes.setdefault((row.stage, row.reason, row.hint), []).append(row)
    ordered = sorted(causes.items(), key=lambda cause: (-len(cause[1]), cause[0]))[:max_scenes]
    left = max_scenes - len(ordered)
    made = []
    for (stage, reason, hint), scenes in ordered:
        more = min(len(scenes) - 1, left)
        left -= more
        shown = tuple(scenes[: 1 + more])
        made.append(CauseRow(stage=stage, reason=reason, hint=hint, num_scenes=len(scenes), scenes=shown))
    return made


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
    """Classes with shares, as the card orders them; areas in km2 where the whole is at least one, else in ha."""
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
