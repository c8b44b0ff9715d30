"""What a figure is given and what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where and how thoroughly to measure."""

    folder: Path
    """For scenes, packages and outputs; may be removed afterwards."""
    quick: bool = False
    """Tiny sizes: shows that the code runs, measures nothing."""
    rounds: int = 3
    streams: tuple[str, ...] = ("local", "ray")
    outputs: tuple[str, ...] = ("cog", "all")
    """What jobs write whose speed is measured: the COG alone, everything."""
    core: int = 768
    """Side of a core in jobs and baselines alike, pixels."""

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full


@dataclass(slots=True, kw_only=True)
class Figure:
    """Tables for people, the same rows for scripts."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def row(self, **values: Any) -> None:
        self.rows.append(values)

    def text(self) -> str:
        """Rows with the same keys share a table."""
        parts, group = [f"== {self.title}"], list[dict[str, Any]]()
        for row in [*self.rows, {}]:
            if group and row.keys() != group[0].keys():
                parts += _table(group)
                group = []
            group.append(row)
        return "\n".join([*parts, *(f"   {note}" for note in self.notes), ""])


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    heads = list(rows[0])
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(head), *(len(line[i]) for line in cells)) for i, head in enumerate(heads)]
    numeric = [isinstance(rows[0][head], int | float) for head in heads]
    lines = [heads, *cells]
    return [
        "   "
        + "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        for line in lines
    ] + [""]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return "-" if value is None else str(value)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of several measurements."""
    return {"median": median(values), "min": min(values), "max": max(values)}
