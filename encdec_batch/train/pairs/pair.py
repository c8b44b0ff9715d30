"""What is learned from: an image and its target, as the spec names them; and what is set aside."""

from __future__ import annotations

from dataclasses import dataclass, field

from encdec_batch.privacy import PRIVATE_SCHEME
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.spec.source import PrefixSource, Table
from encdec_batch.uri import public_uri
from encdec_batch.window import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """An image of an object, and the source that named it: who says how it is reached and where links may lead."""

    uri: str
    """Its name, which may be shown: a link that is signed without its query (docs/decisions/027-signed-links.md), and
    where names are private what stands for it."""
    source: PrefixSource | Table = field(hash=False)
    link: str = field(default="", repr=False)
    """What opens it, where its name does not; written nowhere."""
    etag: str = ""
    """The version that was looked into; empty: none was, or it is not said."""
    plane: Plane = WHOLE
    """Which of its images."""

    @classmethod
    def of(cls, uri: str, source: PrefixSource | Table) -> File:
        """The object that a source names so."""
        shown = public_uri(uri)
        return cls(uri=shown, source=source, link=uri if uri != shown else "")

    @property
    def opened(self) -> str:
        """What opens it."""
        return self.link or self.uri

    @property
    def is_private(self) -> bool:
        return self.uri.startswith(PRIVATE_SCHEME)

    @property
    def name(self) -> str:
        """Of this image: that of the object, and which of its images it is."""
        return f"{self.uri} {self.plane}" if self.plane != WHOLE else self.uri


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An image, and what a network is to make of it."""

    image: File
    target: File | None
    """None: made from the image, or other bands of it."""
    scene: str
    """What it is an image of; pairs of one scene never part. Of all slices of a volume or series one and the same."""
    group: str = ""
    side: str = ""
    """What the table's column of the split says."""
    bands: tuple[int, ...] | None = None
    """Of the image; None: all."""
    region: Window | None = None
    stack: tuple[File, ...] = ()
    """The images whose bands are read one after the other, where they are more than its own: neighbouring slices with
    this one in their middle."""
    series: str = field(default="", repr=False)
    """Digest of the series that it is a slice of; empty: it is none of DICOM."""
    patient: str = field(default="", repr=False)
    """Digest of the patient that its DICOM names; empty: none is named."""

    medical: bool = False
    """An object of it is of a format that medicine alone has, whatever its name."""

    @property
    def images(self) -> tuple[File, ...]:
        """What is read as its image."""
        return self.stack or (self.image,)

    @property
    def is_slice(self) -> bool:
        """It has neighbours that look alike."""
        return bool(self.series) or self.image.plane != WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A file that is not learned from, why, and what to do about it."""

    uri: str
    reason: str
    hint: str

    def __str__(self) -> str:
        return f"{self.uri}: {self.reason}" + (f"; {self.hint}" if self.hint else "")
