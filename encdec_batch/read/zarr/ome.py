"""What an OME-Zarr says of its image: axes, levels, size of pixels. Names and labels in it are never looked at.

Source: OME-NGFF 0.4 and 0.5, https://ngff.openmicroscopy.org, "multiscales" metadata.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.folder import PinnedFolder
from encdec_batch.read.levels import choose_level
from encdec_batch.read.zarr.array import ZarrArray, array_of_version_2, array_of_version_3
from encdec_batch.read.zarr.plane import AxisName

_UM = {
    "angstrom": 1e-4,
    "picometer": 1e-6,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "decimeter": 1e5,
    "meter": 1e6,
    "inch": 25400.0,
    "foot": 304800.0,
}
"""Micrometres in a unit, by the names of UDUNITS-2 that the specification lists."""
_ONE_IMAGE_HINT = "name its images one by one, each by its folder, e.g. ...zarr/A/1/0 or ...zarr/0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One resolution."""

    folder: str
    """Of its array, below the scene's; ends in "/"."""
    pixel_size_um: tuple[float, float] | None
    """Height and width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The levels of one image."""

    axes: tuple[AxisName, ...]
    levels: tuple[Level, ...]
    """Finest first, as the specification demands."""
    version: Literal[2, 3]
    """Of Zarr."""


def read_image(folder: PinnedFolder) -> Image:
    """The image that a folder is.

    A bioformats2raw layout is its only image; one that has several, a plate and a well are refused. Label images
    beside an image are not looked at; one is an image of its own, by its folder.

    Raises:
        SceneUnreadable: no OME-Zarr, or one that contradicts itself.
        UnsupportedScene: several images, or another version.
    """
    version, root, attributes = _group(folder)
    multiscales = attributes.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales or not isinstance(multiscales[0], Mapping):
        raise SceneUnreadable(
            f"{folder.uri}: a Zarr folder without the multiscales of OME-Zarr",
            hint="name the folder of the image, or write it as OME-Zarr 0.4 or 0.5",
            uri=folder.uri,
        )
    image = multiscales[0]
    said = attributes.get("version") if version == 3 else image.get("version", "0.4")
    if said != ("0.5" if version == 3 else "0.4"):
        raise UnsupportedScene(
            f"{folder.uri}: OME-Zarr of another version than 0.4 and 0.5",
            hint="convert it, e.g. by ome-zarr-py",
            uri=folder.uri,
        )
    axes, units = _axes(image.get("axes"), folder.uri)
    datasets = image.get("datasets")
    if not isinstance(datasets, list) or not 0 < len(datasets) <= folder.limits.max_ifds:
        raise _damaged(folder.uri, "it has no levels, or too many")
    common = _scale(image.get("coordinateTransformations"), len(axes), folder.uri)
    unit = [side * um for side, um in zip(common, units, strict=True)]
    levels = tuple(_level(dataset, root, unit, folder.uri) for dataset in datasets)
    return Image(axes=axes, levels=levels, version=version)


def read_array(folder: PinnedFolder, image: Image, number: int) -> ZarrArray:
    """The array of one level.

    Raises:
        SceneUnreadable: it is not there, or contradicts itself.
        UnsupportedScene: it is stored in a way that is not read.
    """
    below = image.levels[number].folder
    meta = _json(folder, f"{below}{'.zarray' if image.version == 2 else 'zarr.json'}")
    if not meta or meta.get("zarr_format") != image.version or meta.get("node_type", "array") != "array":
        raise _damaged(folder.uri, f"its level {number} has no array")
    parse = array_of_version_2 if image.version == 2 else array_of_version_3
    array = parse(meta, below, uri=folder.uri)
    if len(array.shape) != len(image.axes):
        raise _damaged(folder.uri, f"its level {number} has {len(array.shape)} axes instead of {len(image.axes)}")
    return array


def wanted_level(image: Image, um_per_px: float | None) -> int:
    """As `choose_level`, by what the image says of its levels up to the first that says nothing."""
    sizes = [level.pixel_size_um for level in image.levels]
    return choose_level([size for size in itertools.takewhile(bool, sizes) if size], um_per_px)


def _group(folder: PinnedFolder) -> tuple[Literal[2, 3], str, Mapping[str, Any]]:
    """Version of Zarr, folder and attributes of the group that is the image."""
    root = ""
    version, attributes = _attributes(folder, root)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes:
        if any(folder.size_of(f"1/{name}") is not None for name in (".zattrs", ".zgroup", "zarr.json")):
            raise _several(folder.uri)
        root = "0/"
        version, attributes = _attributes(folder, root)
    if "plate" in attributes or "well" in attributes:
        raise _several(folder.uri)
    return version, root, attributes


def _attributes(folder: PinnedFolder, root: str) -> tuple[Literal[2, 3], Mapping[str, Any]]:
    """Version of Zarr, and what a group has that OME-Zarr speaks of."""
    if meta := _json(folder, f"{root}zarr.json"):
        attributes = meta.get("attributes")
        ome = attributes.get("ome") if isinstance(attributes, Mapping) else None
        return 3, ome if isinstance(ome, Mapping) else {}
    return 2, _json(folder, f"{root}.zattrs")


def _level(dataset: object, root: str, unit: Sequence[float], uri: str) -> Level:
    """One of the datasets.

    Args:
        dataset: as the metadata have it.
        root: folder of the image.
        unit: micrometres in a step of 1 along each axis; NaN: not known.
        uri: for messages.
    """
    path = dataset.get("path") if isinstance(dataset, Mapping) else None
    if not isinstance(dataset, Mapping) or not isinstance(path, str):
        raise _damaged(uri, "one of its levels has no path")
    scale = _scale(dataset.get("coordinateTransformations"), len(unit), uri)
    height, width = (side * um for side, um in zip(scale[-2:], unit[-2:], strict=True))
    known = all(math.isfinite(side) and side > 0 for side in (height, width))
    path = path.strip("/")
    return Level(folder=f"{root}{path}/" if path else root, pixel_size_um=(height, width) if known else None)


def _json(folder: PinnedFolder, path: str) -> Mapping[str, Any]:
    """An object of JSON; empty where it is not there."""
    if folder.size_of(path) is None:
        return {}
    try:
        value = json.loads(folder.read([path])[0])
    except (ValueError, RecursionError) as error:
        raise _damaged(folder.uri, "its metadata are no JSON") from error
    return value if isinstance(value, Mapping) else {}


def _axes(value: object, uri: str) -> tuple[tuple[AxisName, ...], list[float]]:
    """Names of ours, and micrometres in the unit of each axis, NaN where there is none."""
    entries = value if isinstance(value, list) else []
    if not all(isinstance(entry, Mapping) for entry in entries):
        entries = []
    kinds = [entry.get("type") for entry in entries]
    num_spaces = kinds.count("space")
    spaces = iter(("z", "y", "x")[3 - num_spaces :] if 2 <= num_spaces <= 3 else ())
    names: list[AxisName] = []
    for kind in kinds:
        name = next(spaces, None) if kind == "space" else {"time": "t", "channel": "c"}.get(str(kind))
        if name is None:
            raise UnsupportedScene(
                f"{uri}: its axes are not two or three of space, with one of time and one of channels at most",
                hint="write it anew as OME-Zarr 0.4 or 0.5 with axes among t, c, z, y, x",
                uri=uri,
            )
        names.append(name)  # type: ignore[arg-type]  # of the letters above
    if names[-2:] != ["y", "x"] or len(set(names)) < len(names):
        raise _damaged(uri, "its last two axes are not y and x, or one comes twice")
    return tuple(names), [_UM.get(str(entry.get("unit")), math.nan) for entry in entries]


def _scale(value: object, rank: int, uri: str) -> Sequence[float]:
    """The product of the scales in a list of coordinate transformations; translations are passed over."""
    scale = [1.0] * rank
    entries = value if isinstance(value, list) else []
    for entry in entries:
        if not isinstance(entry, Mapping) or entry.get("type") != "scale":
            continue
        factors = entry.get("scale")
        if factors is None:  # it lies in an array of its own
            return [math.nan] * rank
        if not isinstance(factors, list) or len(factors) != rank or not all(_is_number(one) for one in factors):
            raise _damaged(uri, "a scale of its levels is no list of numbers")
        scale = [a * float(b) for a, b in zip(scale, factors, strict=True)]
    return scale


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _several(uri: str) -> UnsupportedScene:
    return UnsupportedScene(f"{uri}: a plate, a well or another collection of images", hint=_ONE_IMAGE_HINT, uri=uri)


def _damaged(uri: str, what: str) -> SceneUnreadable:
    return SceneUnreadable(f"{uri}: {what}", hint="the metadata are damaged; write them anew", uri=uri)
