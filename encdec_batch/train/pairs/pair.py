"""What is learned from: an image and its target, as the spec names them; and what is set aside."""

from __future__ import annotations

from dataclasses import dataclass

from encdec_batch.spec.source import PrefixSource, Table
from encdec_batch.uri import public_uri
from encdec_batch.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An object, and the source that named it: who says how it is reached and where links may lead."""

    uri: str
    """Its name, which may be shown: a link that is signed without its query (docs/decisions/027-signed-links.md)."""
    source: PrefixSource | Table
    link: str = ""
    """What opens it, where its name does not; written nowhere."""

    @classmethod
    def of(cls, uri: str, source: PrefixSource | Table) -> File:
        """The object that a source names so."""
        shown = public_uri(uri)
        return cls(uri=shown, source=source, link=uri if uri != shown else "")

    @property
    def opened(self) -> str:
        """What opens it."""
        return self.link or self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image, and what a network is to make of it."""

    image: File
    target: File | None
    """None: made from the image, or other bands of it."""
    scene: str
    """What it is an image of; pairs of one scene never part."""
    group: str = ""
    side: str = ""
    """What the table's column of the split says."""
    bands: tuple[int, ...] | None = None
    """Of the image; None: all."""
    region: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A file that is not learned from, why, and what to do about it."""

    uri: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.uri}: {self.reason}" + (f"; {self.hint}" if self.hint else "")
