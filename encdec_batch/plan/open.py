"""Opening the objects behind scenes: the header at plan time, the same version again in a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from encdec_batch.errors import (
    EncdecError,
    ObjectForbidden,
    ObjectMissing,
    ObjectRefused,
    PermanentStoreError,
    PreconditionFailed,
    SceneChanged,
    SceneForbidden,
    SceneUnreadable,
    SpecError,
    StoreError,
    unexpected,
)
from encdec_batch.plan.confine import confined
from encdec_batch.plan.scene import ScenePlan, SourceImage
from encdec_batch.privacy import PRIVATE_SCHEME
from encdec_batch.read.contents import Contents
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader, pin, version_of
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.ranges import PinnedObject
from encdec_batch.read.reader import Reader
from encdec_batch.read.stacked import StackedReader
from encdec_batch.read.staged import open_staged
from encdec_batch.read.staging import stage_scene
from encdec_batch.spec.job import JobSpec, LimitsSpec
from encdec_batch.spec.source import Reading
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.open import locate, open_store
from encdec_batch.store.store import Store
from encdec_batch.uri import hidden

STAGED_PREFIX = ".encdec/staged/"


def limits_of(spec: LimitsSpec) -> Limits:
    return Limits(
        max_whole_pixels=int(spec.max_whole_megapixels * 1e6),
        max_decoded_bytes=int(spec.max_tile_mb * 1e6),
        max_growth_bytes=None if spec.decoder_gib is None else int(spec.decoder_gib * 2**30),
        max_volume_bytes=spec.max_volume_mib << 20,
        max_planes=spec.max_planes,
        max_objects=spec.max_objects,
        max_chunks=2 * spec.max_objects,
    )


def options_of(source: Reading) -> ReadOptions:
    """What a source says of how its objects are read."""
    return ReadOptions(um_per_px=source.um_per_px, axis=source.axis, tissue_only=source.tissue_only)


@contextmanager
def open_scene(
    spec: JobSpec, images: Sequence[SourceImage], *, whole: bool = False, max_header_bytes: int | None = None
) -> Iterator[Reader]:
    """A reader over the scene.

    Args:
        spec: of the job.
        images: of which the scene is read, each pinned to its etag where that is not empty.
        whole: its pixels will be read too.
        max_header_bytes: for the header of each; None: what the limits allow.

    Raises:
        HeaderTooLarge: its header needs more than `max_header_bytes`.
        SceneUnreadable, UnsupportedScene, SceneChanged: a property of the scene.
        TransientStoreError: the store, not the scene.
    """
    limits = limits_of(spec.limits)
    if max_header_bytes is not None:
        limits = replace(limits, max_header_bytes=max_header_bytes)
    own = images[len(images) // 2]
    with ExitStack() as stack:
        for image in images:
            if image.uri.startswith(PRIVATE_SCHEME):
                stack.enter_context(hidden(image.opened, image.uri))
        readers: dict[SourceImage, Reader] = {}
        for image in dict.fromkeys(images):
            with as_image_errors(image):
                readers[image] = _open_image(spec, image, limits, whole=whole)
            stack.callback(readers[image].close)
        with as_image_errors(own):
            yield readers[own] if len(images) == 1 else StackedReader([readers[image] for image in images])


def _open_image(spec: JobSpec, image: SourceImage, limits: Limits, *, whole: bool) -> Reader:
    store, path = _locate(spec, image.opened)
    options = options_of(spec.source)
    return open_reader(
        store, path, etag=image.etag or None, limits=limits, whole=whole, plane=image.plane, options=options
    )


def pinned(spec: JobSpec, image: SourceImage) -> PinnedObject:
    """An object as it is, of one version.

    Raises:
        SceneError, TransientStoreError: as `open_scene`.
    """
    with as_image_errors(image):
        store, path = _locate(spec, image.opened)
        return pin(store, path, etag=image.etag or None, limits=limits_of(spec.limits))


def look_into(spec: JobSpec, image: SourceImage) -> Contents:
    """What an object holds.

    Raises:
        SceneError, TransientStoreError: as `open_scene`.
    """
    with as_image_errors(image):
        store, path = _locate(spec, image.opened)
        return contents_of(store, path, etag=image.etag, limits=limits_of(spec.limits), options=options_of(spec.source))


@contextmanager
def open_staged_scene(spec: JobSpec, scene: ScenePlan) -> Iterator[Reader]:
    """A reader over the scene's tiles below `.encdec/staged/` of the output; cuts them first where they are not there.

    Raises:
        SceneError, TransientStoreError: as `open_scene`.
    """
    output = open_store(spec.output.uri, spec.output.storage)
    path = f"{STAGED_PREFIX}{scene.scene_key}/tiles"
    try:
        # An earlier run has cut it, or a worker that died since.
        staged = open_staged(output, path)
    except ObjectMissing:
        _stage(spec, scene, output, path)
        staged = open_staged(output, path)
    try:
        yield staged
    finally:
        staged.close()


def _stage(spec: JobSpec, scene: ScenePlan, output: Store, path: str) -> None:
    with open_scene(spec, scene.images) as reader, as_output_errors("the scene cannot be cut into tiles"):
        stage_scene(reader, output, path)


@contextmanager
def as_output_errors(what: str) -> Iterator[None]:
    """Around what is written to the output while a scene is open, or it would be taken for the scene's.

    Raises:
        StoreError: the output refuses; `what` says what for.
    """
    try:
        yield
    except PermanentStoreError as error:
        raise StoreError(f"{what}: {error.message}", hint=error.hint) from error


def look_up(spec: JobSpec, image: SourceImage) -> ObjectInfo:
    """Size and etag of a scene that was named and not listed.

    Raises:
        SceneUnreadable: missing or forbidden.
    """
    with as_image_errors(image):
        store, path = _locate(spec, image.opened)
        return version_of(store, path, limits=limits_of(spec.limits))


def _locate(spec: JobSpec, uri: str) -> tuple[Store, str]:
    """Store and path of a scene; a URI that names no object is a fault of its row, not of the spec."""
    try:
        store, path = locate(uri, spec.source.storage)
        return confined(store, spec.source, uri), path
    except SpecError as error:
        raise SceneUnreadable(error.message, hint=error.hint, uri=uri) from error


@contextmanager
def as_image_errors(image: SourceImage) -> Iterator[None]:
    """What a store says of one object is said of its scene; where its name is private, nothing names it."""
    with ExitStack() as stack:
        if image.uri.startswith(PRIVATE_SCHEME):
            stack.enter_context(hidden(image.opened, image.uri))
            stack.enter_context(_ours())
        stack.enter_context(as_scene_errors(image.opened, image.uri))
        yield


@contextmanager
def _ours() -> Iterator[None]:
    """While a name is hidden, other people's errors become ours: made later, they would tell it."""
    try:
        yield
    except EncdecError:
        raise
    except Exception as error:  # noqa: BLE001  (none of them may leave)
        raise unexpected(error, "read", private=True) from None


@contextmanager
def as_scene_errors(opened: str, shown: str = "") -> Iterator[None]:
    """What a store says of one object is said of its scene, which is named as it is shown."""
    uri = shown or opened
    try:
        yield
    except ObjectMissing as error:
        raise SceneUnreadable(
            "the object is missing", hint="correct the list, or restore the object", uri=uri
        ) from error
    except ObjectRefused as error:
        raise SceneUnreadable(error.message.removeprefix(f"{opened}: "), hint=error.hint, uri=uri) from error
    except ObjectForbidden as error:
        raise SceneForbidden(
            "the store forbids reading the object",
            hint="give the job's credentials the right to read it; the next run takes it up",
            uri=uri,
        ) from error
    except PreconditionFailed as error:
        raise SceneChanged("the object was replaced while it was read", hint="run again", uri=uri) from error
