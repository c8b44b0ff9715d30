"""The figures of a row as lines of methods: what page and terminal show alike."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.demo.record import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A figure of one method."""

    measure: str
    place: str
    value: str
    fault: str
    """As of `Figure.fault`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A method, with its figures in the order of places and measures."""

    method: str
    network: bool
    cells: tuple[Cell, ...]


def lines_of(row: Row) -> list[Line]:
    """A line for each method, those without a network first."""
    first = row.places[0].figures[0]
    figures = [(place, figure) for place in row.places for figure in place.figures]
    made = []
    for method in (*first.plain, *first.networks):
        network = method in first.networks
        cells = tuple(
            Cell(
                measure=figure.measure,
                place=place.title,
                value=figure.said((figure.networks if network else figure.plain)[method]),
                fault=figure.fault(method),
            )
            for place, figure in figures
        )
        made.append(Line(method=method, network=network, cells=cells))
    return made
