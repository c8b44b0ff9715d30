"""OME-TIFF: which of a file's images are the planes of its channels, and their levels.

Source: OME-TIFF specification 6.0 (planes are named by TiffData elements, levels lie in SubIFDs) and OME-XML 2016-06.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.contents import Contents
from encdec_batch.read.plane import Plane
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.slide.directory import Directory, as_damaged, directories, directory_at, first_directory
from encdec_batch.read.slide.layout import Level, Slide, pyramid, size_of
from encdec_batch.read.xml import MOST_BYTES, parse_xml

_DESCRIPTION, _SAMPLES, _SUB_IFDS = 270, 277, 330
_UM = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "Å": 1e-4, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0}
_ASSOCIATED = ("label", "macro", "thumbnail", "overview")
_LARGEST = 1 << 31
_COUNTED = ("Image", "Channel", "TiffData")
_MOST_ELEMENTS = 1 << 14


@dataclass(slots=True, kw_only=True)
class OmeImage:
    """One Image element, as far as it says where pixels lie."""

    name: str = field(default="", repr=False)
    size: dict[str, int] = field(default_factory=dict)
    """By axis: X, Y, C (samples of all channels), Z, T."""
    order: str = "XYCZT"
    pixel_um: tuple[float, float] | None = None
    channels: list[int] = field(default_factory=list)
    """Samples of each."""
    data: list[dict[str, str]] = field(default_factory=list)
    """Attributes of TiffData elements."""
    files: set[str] = field(default_factory=set, repr=False)
    """Identities of the files that hold planes."""

    def num_channels(self, samples: int) -> int:
        """How many images a plane has, where each has so many samples."""
        return len(self.channels) if sum(self.channels) == self.size["C"] else self.size["C"] // samples

    def planes(self) -> tuple[Plane, ...]:
        """Through space first, then through time."""
        axes = [axis for axis in "TZ" if self.size[axis] > 1]
        ranges = (range(self.size[axis]) for axis in axes)
        return tuple(
            Plane(tuple(zip((axis.lower() for axis in axes), at, strict=True))) for at in itertools.product(*ranges)
        )

    def places(self, num_channels: int) -> dict[tuple[int, int, int], int]:
        """Number of the directory, by channel, z and t.

        Raises:
            ValueError: elements contradict each other.
        """
        counts = {"C": num_channels, "Z": self.size["Z"], "T": self.size["T"]}
        axes = self.order[2:]
        found: dict[tuple[int, int, int], int] = {}
        total = counts["C"] * counts["Z"] * counts["T"]
        for block in self.data or [{}]:
            ifd = int(block.get("IFD", 0))
            first = [int(block.get(f"First{axis}", 0)) for axis in axes]
            if ifd < 0 or any(not 0 <= at < counts[axis] for at, axis in zip(first, axes, strict=True)):
                raise ValueError("a plane beyond the image")
            start = first[0] + counts[axes[0]] * (first[1] + counts[axes[1]] * first[2])
            planes = int(block.get("PlaneCount", 1 if "IFD" in block else total - start))
            if not 0 <= planes <= total - start:
                raise ValueError("more planes than the image has")
            for number in range(planes):
                rest, at_0 = divmod(start + number, counts[axes[0]])
                at_2, at_1 = divmod(rest, counts[axes[1]])
                at = dict(zip(axes, (at_0, at_1, at_2), strict=True))
                if (at["C"], at["Z"], at["T"]) in found:
                    raise ValueError("a plane that is named twice")
                found[at["C"], at["Z"], at["T"]] = ifd + number
        return found


def contents_of_ome(source: PinnedObject) -> Contents:
    """The planes of an OME-TIFF.

    Raises:
        SceneUnreadable: its OME-XML is damaged.
        UnsupportedScene: it has more planes than the limits admit, or several images.
    """
    image = _image(source)
    return Contents(planes=image.planes(), stacked_along="z" if image.size["Z"] > 1 else None)


def ome_slide(source: PinnedObject, plane: Plane) -> Slide:
    """The levels of one plane, all its channels.

    Raises:
        SceneUnreadable: the file contradicts itself.
        UnsupportedScene: there is no such plane.
    """
    image = _image(source)
    if plane not in image.planes():
        raise UnsupportedScene(
            f"{source.uri}: there is no plane {str(plane) or 'without indices'!r} in it",
            hint=f"it has {image.size['Z']} in z and {image.size['T']} in t, counted from 0",
            uri=source.uri,
        )
    at = dict(plane.indices)
    with as_damaged(source, "OME-XML"):
        num_channels = image.num_channels(first_directory(source).number(_SAMPLES, 1))
        places = image.places(num_channels)
        numbers = [places[channel, at.get("z", 0), at.get("t", 0)] for channel in range(num_channels)]
        found = list(itertools.islice(directories(source), max(numbers) + 1))
        channels = [found[number] for number in numbers]
        if len({channel.offset for channel in channels}) < len(channels):
            raise ValueError("two channels are one image")
    _check(source, image, channels)
    height, width = image.size["Y"], image.size["X"]
    finest = Level(directories=tuple(channels), height=height, width=width)
    return Slide(levels=pyramid(finest, _reduced(source, channels)), pixel_size_um=image.pixel_um)


def _check(source: PinnedObject, image: OmeImage, channels: Sequence[Directory]) -> None:
    with as_damaged(source, "TIFF header"):
        sizes = {size_of(directory) for directory in channels}
        samples = [directory.number(_SAMPLES, 1) for directory in channels]
    if sizes != {(image.size["Y"], image.size["X"])} or sum(samples) != image.size["C"]:
        said = " and ".join(sorted(f"{width} x {height} px" for height, width in sizes))
        raise SceneUnreadable(
            f"{source.uri}: its OME-XML says {image.size['X']} x {image.size['Y']} px of {image.size['C']} samples, "
            f"its directories {said} of {sum(samples)}",
            hint="the file is damaged; write it anew",
            uri=source.uri,
        )


def _reduced(source: PinnedObject, channels: Sequence[Directory]) -> list[Level]:
    """Levels that all channels have; SubIFDs of SubIFDs are none."""
    with as_damaged(source, "list of levels"):
        offsets = []
        for directory in channels:
            tag = directory.tags.get(_SUB_IFDS)
            if tag is not None and tag.count > source.limits.max_ifds:
                raise ValueError(f"{tag.count} levels")
            offsets.append([int(offset) for offset in tag.value] if tag is not None else [])
        levels = []
        for own in itertools.zip_longest(*offsets):
            if None in own:
                break
            reduced = tuple(directory_at(source, offset) for offset in own)
            sizes = {size_of(directory) for directory in reduced}
            if len(sizes) == 1:
                height, width = sizes.pop()
                levels.append(Level(directories=reduced, height=height, width=width))
    return levels


def _image(source: PinnedObject) -> OmeImage:
    """The image that is the scene: of several the largest, as a slide has small ones of its label and of itself."""
    with as_damaged(source, "TIFF header"):
        text = first_directory(source).text(_DESCRIPTION, MOST_BYTES, what="its OME-XML")
    with as_damaged(source, "OME-XML"):
        parser = _Parser()
        parse_xml(text, start=parser.start, text=parser.text)
    images = [image for image in parser.images if image.size and not image.name.lower().startswith(_ASSOCIATED)]
    images.sort(key=lambda image: -image.size["X"] * image.size["Y"])
    if not images or parser.is_elsewhere or len(images[0].files) > 1:
        raise UnsupportedScene(
            f"{source.uri}: an OME-TIFF whose planes or their description lie in other files",
            hint="write all into one file, e.g. by bfconvert",
            uri=source.uri,
        )
    image = images[0]
    alike = [one.size["X"] * one.size["Y"] for one in images].count(image.size["X"] * image.size["Y"])
    if alike > 1:
        raise UnsupportedScene(
            f"{source.uri}: an OME-TIFF of {alike} images of one size",
            hint="write each into a file of its own, e.g. by bfconvert -series",
            uri=source.uri,
        )
    if image.size["C"] * image.size["Z"] * image.size["T"] > source.limits.max_ifds:
        raise UnsupportedScene(
            f"{source.uri}: an OME-TIFF of more than {source.limits.max_ifds} planes",
            hint="split it, or write it as OME-Zarr",
            uri=source.uri,
        )
    return image


class _Parser:
    """Collects images."""

    def __init__(self) -> None:
        self.images: list[OmeImage] = []
        self.is_elsewhere = False
        """The metadata are those of another file."""
        self._in_uuid = False
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._in_uuid = name == "UUID"
        self._count += name in _COUNTED
        if self._count > _MOST_ELEMENTS:
            raise ValueError("too many elements")
        if name == "BinaryOnly":
            self.is_elsewhere = True
        elif name == "Image":
            self.images.append(OmeImage(name=attributes.get("Name", "")))
        elif name == "Pixels":
            _fill(self.images[-1], attributes)
        elif name == "Channel":
            self.images[-1].channels.append(int(attributes.get("SamplesPerPixel", 1)))
        elif name == "TiffData":
            self.images[-1].data.append(attributes)

    def text(self, piece: str) -> None:
        if self._in_uuid and piece.strip():
            self.images[-1].files.add(piece.strip())


def _fill(image: OmeImage, attributes: dict[str, str]) -> None:
    image.size = {axis: int(attributes[f"Size{axis}"]) for axis in "XYCZT"}
    image.order = attributes["DimensionOrder"]
    if not all(0 < size < _LARGEST for size in image.size.values()) or sorted(image.order) != sorted("XYCZT"):
        raise ValueError("sizes or an order that cannot be")
    if not image.order.startswith("XY"):
        raise ValueError("an order that cannot be")
    sides = [
        float(attributes.get(f"PhysicalSize{axis}", 0)) * _UM.get(attributes.get(f"PhysicalSize{axis}Unit", "µm"), 0)
        for axis in "YX"
    ]
    image.pixel_um = (sides[0], sides[1]) if all(1e-6 < side < 1e6 for side in sides) else None
