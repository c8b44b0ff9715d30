"""Images of a file, whole, as a network takes them: for `predict_array`, by the readers and rules of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from encdec_batch.errors import SpecError, UnsupportedScene
from encdec_batch.models.card import Card
from encdec_batch.plan.expand import Seen, expand
from encdec_batch.plan.fit import fitting_bands
from encdec_batch.plan.open import as_scene_errors, options_of
from encdec_batch.plan.scene import Candidate, SourceImage
from encdec_batch.read.open import contents_of, open_reader, version_of
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.read.stacked import StackedReader
from encdec_batch.spec.load import absolute
from encdec_batch.spec.source import Reading
from encdec_batch.store.open import locate
from encdec_batch.store.store import Store
from encdec_batch.window import Window

ALL = "all"
"""Of an object's images, each."""
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An image in memory, and what its stored values mean."""

    patch: Patch
    scales: tuple[float, ...]
    """Of the bands that were read; value = stored * scale + offset."""
    offsets: tuple[float, ...]


def reading_of(**asked: Any) -> Reading:
    """How a file is read.

    Raises:
        SpecError: an argument has no meaning.
    """
    try:
        return Reading(**asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"])) or "arguments"
        raise SpecError(f"{name}: {first['msg']}", hint="see the arguments of predict_array") from None


def open_images(  # noqa: PLR0913  (as predict_array has them)
    image: str | os.PathLike[str],
    card: Card,
    reading: Reading,
    *,
    plane: str,
    bands: Sequence[int] | None,
    storage: Mapping[str, Any] | None,
) -> Iterator[Opened]:
    """The images that are asked for, one after the other, in the order of space.

    Raises:
        SpecError: no such image is there, or which is not said.
        SceneError: it cannot be read, or does not fit the card.
        StoreError: the store does not answer.
    """
    uri = absolute(os.fspath(image), Path.cwd())
    store, path = locate(uri, storage)
    with as_scene_errors(uri):
        found = _images_in(store, path, uri, reading)
        for one in _chosen(found, plane, uri):
            yield _read(store, path, one, card, reading, bands=bands)


def _images_in(store: Store, path: str, uri: str, reading: Reading) -> tuple[Candidate, ...]:
    etag, options = version_of(store, path).etag, options_of(reading)

    def look(candidates: Sequence[Candidate]) -> list[Seen]:
        return [(one, contents_of(store, path, etag=etag, options=options)) for one in candidates]

    found = expand([Candidate(scene_id="image", uri=uri, etag=etag, size_bytes=-1)], reading, look).candidates
    if reading.context_slices and not any(one.stack for one in found[1:]):
        raise SpecError(
            f"{uri}: context_slices are asked for, and it holds one image",
            hint="give the slices as an array (slices, bands, height, width), or leave context_slices out",
        )
    return found


def _chosen(found: tuple[Candidate, ...], plane: str, uri: str) -> tuple[Candidate, ...]:
    if not found:
        raise SpecError(
            f"{uri} holds no image of the scene, but a picture beside it (the label or the whole glass of a slide)",
            hint="give the object of a level of the slide",
        )
    if plane == ALL or (not plane and len(found) == 1):
        return found
    chosen = tuple(one for one in found if str(one.plane) == plane.replace(" ", ""))
    if not chosen:
        names = ", ".join(f'"{one.plane}"' for one in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        said = f"there is no {plane} among" if plane else "which is not said of"
        raise SpecError(f"{uri}: {said} its {len(found):,} images", hint=f'plane is one of {names}, or "{ALL}"')
    return chosen


def _read(  # noqa: PLR0913  (as above)
    store: Store, path: str, one: Candidate, card: Card, reading: Reading, *, bands: Sequence[int] | None
) -> Opened:
    options, readers = options_of(reading), dict[SourceImage, Reader]()
    with ExitStack() as stack:
        for image in dict.fromkeys(one.images):
            readers[image] = open_reader(store, path, etag=image.etag, whole=True, plane=image.plane, options=options)
            stack.callback(readers[image].close)
        several = [readers[image] for image in one.images]
        reader: Reader = several[0] if len(several) == 1 else StackedReader(several)
        header, nodata = reader.header, card.nodata
        try:
            chosen = fitting_bands(header, card, None if bands is None else tuple(bands))
        except UnsupportedScene as error:
            hint = error.hint.replace("source.bands (or the table's column bands)", "bands")
            raise UnsupportedScene(
                f"{one.uri}: {error.message}", hint=hint.replace("source.bands", "bands"), uri=one.uri
            ) from None
        patch = reader.read(
            Window(0, 0, header.width, header.height),
            chosen,
            rule=nodata.rule,
            nan_is_nodata=nodata.nan == "nodata",
        )
        return Opened(
            patch=patch,
            scales=tuple(header.scales[band - 1] for band in chosen),
            offsets=tuple(header.offsets[band - 1] for band in chosen),
        )
