"""XML of files that nobody vouches for: no document type, no entities, no words of it in an error."""

from __future__ import annotations

from collections.abc import Callable
from xml.parsers import expat

MOST_BYTES = 8 << 20
"""Of a description: that of a scanner may have pictures in it, that of a stack a line for each plane."""


def parse_xml(
    data: bytes,
    *,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] = lambda _name: None,
    text: Callable[[str], None] = lambda _text: None,
) -> None:
    """Goes through a document once.

    Args:
        data: the document.
        start: called with the local name of each element and its attributes.
        end: called with the name of each that is closed.
        text: called with pieces of text.

    Raises:
        ValueError: it is no XML, or declares a document type.
    """
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = lambda name, attributes: start(name.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    parser.buffer_text = True
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ValueError(f"no XML: error {error.code} in line {error.lineno}") from None


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type")
