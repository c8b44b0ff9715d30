"""A page as a browser would see it."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """The tags, attributes, text, table rows and lists of terms of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        """Text of the cells of each row of each table."""
        self.terms: list[list[str]] = []
        """Each term of a list of terms, with what is said of it."""
        self._cell: list[str] | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in ("tr", "dt"):
            (self.rows if tag == "tr" else self.terms).append([])
        if tag in ("th", "td", "dt", "dd"):
            self._cell = (self.rows if tag in ("th", "td") else self.terms)[-1]
            self._cell.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td", "dt", "dd"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell is not None:
            self._cell[-1] += data
