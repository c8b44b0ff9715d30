"""The number that says how a remembered header is to be understood."""

from __future__ import annotations

import hashlib
from dataclasses import fields

from encdec_batch.read.header import HEADER_FORMAT, GroundControlPoint, SceneHeader

FORMATS = {
    1: "ec35808dd10fbf2c",
    2: "1c59265adf711d3c",
    3: "0b23aa7370bf5927",
    4: "b8af21f5edd7f5f7",
    5: "2f2deda17aec066b",
}
"""Number to digest of the fields. A new line for each change of a field, and for each change of what one means."""


def test_a_changed_header_has_a_number_of_its_own():
    text = repr([(field.name, field.type) for kind in (SceneHeader, GroundControlPoint) for field in fields(kind)])
    assert FORMATS[HEADER_FORMAT] == hashlib.sha256(text.encode()).hexdigest()[:16]
