"""The figures of all rows in the terminal: the same numbers as on the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from jobs.demo.lines import Line, lines_of
from jobs.demo.record import MissingRow, Row

MARK = "!"
NOTE = f">  a network    {MARK}  no better than the best method without one"


def tables_of(rows: Sequence[Row], missing: Sequence[MissingRow]) -> Iterator[Table | str]:
    """A table for each task, a line for each method; then the tasks that there is no row for."""
    lines = {row.task: lines_of(row) for row in rows}
    for task, made in lines.items():
        yield from (_table(task, made), "")
    yield NOTE
    yield from (f"{one.task}: missing. {one.reason}" for one in missing)


def _table(task: str, lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column(task, style="bold", header_style="bold")
    for cell in lines[0].cells:
        table.add_column(f"{cell.measure}\n{cell.place}", justify="right")
    for line in lines:
        cells = (f"{cell.value}{f' {MARK}' if cell.fault else '  '}" for cell in line.cells)
        table.add_row(f"{'> ' if line.network else ''}{line.method}", *cells)
    return table
