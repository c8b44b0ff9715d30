"""One self-contained HTML page of a run.

Nothing on the page comes from elsewhere: style, script and pictures are in it, and its own content security policy
forbids the browser to load or run anything else. All text is escaped, whatever scene ids and messages contain.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from encdec_batch.report.figures import ClassRow, cause_rows, class_rows, memory_rows, stage_rows
from encdec_batch.report.record import RunReport

MAX_ROWS = 500
"""Scenes of the quarantine on the page; the table of the output has them all."""
MAX_CLASSES = 100
"""Classes on the page, the largest; scenes.parquet has them all."""
MAX_TEXT = 1000
"""Characters of any one text: a reason or a name may hold whatever was in a file."""
MAX_SPEC = 20_000
"""Characters of the spec: one may name 100,000 scenes."""
MAX_CHECKED = 24
"""Certificates on the page, the worst."""

_FOLDER = Path(__file__).parent
_DATA_URI = re.compile("data:image/(png|webp|jpeg);base64,[A-Za-z0-9+/=]*")
# C0 and C1 controls and lone surrogates are not allowed in HTML, or not encodable in UTF-8 at all; the marks that turn
# the direction of text let one name pass for another.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def render_page(summary: RunReport) -> str:
    """The HTML page of a run, to be written as UTF-8."""
    script = _text("page.js")
    causes = cause_rows(summary.set_aside, MAX_ROWS)
    return (
        environment(_FOLDER)
        .get_template("page.html.j2")
        .render(
            run=summary,
            stages=stage_rows(summary.stages, summary.totals.seconds),
            memory=memory_rows(summary.memory),
            classes=_largest(class_rows(summary.classes)),
            num_classes=len(summary.classes),
            causes=causes,
            num_shown=sum(len(cause.scenes) for cause in causes),
            spec_text=_preformatted(summary.spec_text),
            checked=summary.certificates.worst_first[:MAX_CHECKED],
            style=stylesheet(),
            script=Markup(script),  # noqa: S704 - our own file
            script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def stylesheet() -> Markup:
    """The look of our pages."""
    return Markup(_text("page.css"))  # noqa: S704 - our own file


@cache
def environment(folder: Path) -> Environment:
    """Templates of a folder, in which no text can be anything but text."""
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        count=lambda number: f"{number:,}",
        number=format_number,
        percent=lambda share: f"{100 * share:.1f} %",
        duration=format_duration,
        size=format_bytes,
        picture=_picture,
    )
    return made


def format_number(number: float) -> str:
    """Three significant digits, thousands apart: 0.0123, 1.23, 12.3, 1,234."""
    if number == 0:
        return "0"
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.3g}"


def format_duration(seconds: float) -> str:
    """`8.2 s`, `4 min 05 s`, `3 h 07 min`."""
    if seconds < 59.95:  # what rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def format_bytes(size_bytes: float) -> str:
    """`512 B`, `3.4 MiB`, `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} TiB"


def _largest(classes: list[ClassRow]) -> list[ClassRow]:
    """All of them in their order, or the largest where there are too many for a page."""
    if len(classes) <= MAX_CLASSES:
        return classes
    return sorted(classes, key=lambda row: -row.area.num_pixels)[:MAX_CLASSES]


def _printable(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", _clipped(value, MAX_TEXT, "cut short"))


def _picture(uri: str) -> Markup:
    """A picture is longer than any text may be, and nothing but letters of base64."""
    if not _DATA_URI.fullmatch(uri):
        raise ValueError(f"{uri[:40]!r} is not a picture")
    return Markup(uri)  # noqa: S704 - letters, digits and a few signs


def _preformatted(text: str) -> Markup:
    clipped = _clipped(text, MAX_SPEC, "the rest is in spec.yaml of the run")
    return Markup.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", clipped))


def _clipped(text: str, length: int, why: str) -> str:
    return text if len(text) <= length else f"{text[:length]}\N{HORIZONTAL ELLIPSIS} ({why})"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
