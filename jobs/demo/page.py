"""One self-contained HTML page of all rows: the style of a run's report, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

import encdec_batch.report
from jobs.demo.lines import lines_of
from jobs.demo.record import MissingRow, Row

_FOLDER = Path(__file__).parent
_STYLES = (Path(encdec_batch.report.__path__[0]) / "page.css", _FOLDER / "page.css")


def render_page(rows: Sequence[Row], missing: Sequence[MissingRow], reports: Sequence[str]) -> str:
    """The page, to be written as UTF-8; `reports` are links relative to it, beside those of the rows."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["picture"] = _picture
    return environment.get_template("page.html.j2").render(
        rows=rows,
        missing=missing,
        reports=[*reports, *(link for row in rows for link in row.reports)],
        lines=lines_of,
        style=Markup("\n".join(path.read_text(encoding="utf-8") for path in _STYLES)),  # noqa: S704 - our own files
    )


def _picture(image: NDArray[Any]) -> Markup:
    """As a data URI, without loss: what is judged is what is shown."""
    encoded = base64.b64encode(imagecodecs.webp_encode(np.ascontiguousarray(image), lossless=True)).decode()
    return Markup(f"data:image/webp;base64,{encoded}")  # noqa: S704 - letters, digits and a few signs
