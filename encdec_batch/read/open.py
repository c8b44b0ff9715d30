"""Which reader an object needs, by its first bytes: names and media types are only claims. A folder has no first bytes:
it is told by its name, and by what lies in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from encdec_batch.errors import (
    ExtraMissing,
    ObjectForbidden,
    ObjectMissing,
    ObjectRefused,
    SceneForbidden,
    SceneUnreadable,
    UnsupportedScene,
)
from encdec_batch.read.contents import ONE_IMAGE, Contents
from encdec_batch.read.folder import PinnedFolder, is_folder, open_folder
from encdec_batch.read.gdal.image import open_image
from encdec_batch.read.gunzip import MAGIC as GZIP_MAGIC
from encdec_batch.read.imported import imported
from encdec_batch.read.limits import DEFAULT_LIMITS, Limits
from encdec_batch.read.nifti.header import is_nifti
from encdec_batch.read.nifti.open import contents_of_nifti, open_nifti
from encdec_batch.read.options import DEFAULT_OPTIONS, ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.ranges import PinnedObject, scene_changed
from encdec_batch.read.reader import Reader
from encdec_batch.read.resampled import resampled
from encdec_batch.read.tiff import contents_of_tiff, open_tiff
from encdec_batch.read.tissue import tissue_only
from encdec_batch.read.zarr.open import contents_of_ome_zarr, open_ome_zarr
from encdec_batch.store.object import ObjectInfo, join_uri
from encdec_batch.store.store import Store

HEAD_BYTES = 352
"""Of an object, that tell its format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of object, told by its first bytes."""

    fits: Callable[[bytes], bool]
    """Given `HEAD_BYTES` of it, or all where it has fewer."""
    open: Callable[[PinnedObject, Plane, ReadOptions], Reader]
    """A reader of one plane. Raises as `open_reader`, also where there is no such plane."""
    contents: Callable[[PinnedObject, ReadOptions], Contents] = lambda _source, _options: ONE_IMAGE
    """Raises as `open_reader`."""


def _dicom(source: PinnedObject) -> ModuleType:
    """What reads DICOM, imported for the first of its objects."""
    try:
        return imported("encdec_batch.read.dicom.open")
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{source.uri}: DICOM is read by {(error.name or '').partition('.')[0]}, which is not installed",
            hint='pip install "encdec-batch[medical]"',
            uri=source.uri,
        ) from error


def _open_vendor(source: PinnedObject, plane: Plane, options: ReadOptions) -> Reader:
    from encdec_batch.read.slide.vendor import open_vendor_slide

    return open_vendor_slide(source, plane, options)


def _open_jpeg(source: PinnedObject, plane: Plane, options: ReadOptions) -> Reader:
    # The file that stands for a MIRAX slide is a JPEG of the whole slide glass, label and all. Nothing but its name
    # says what it is.
    is_mirax = source.uri.lower().endswith(".mrxs")
    return _open_vendor(source, plane, options) if is_mirax else open_image(source, "JPEG")


_FORMATS: tuple[Format, ...] = (
    # Before TIFF: a file may begin as both, and as DICOM it says what its pixels mean.
    Format(
        fits=lambda head: head.startswith(b"DICM", 128),
        open=lambda source, plane, options: _dicom(source).open_dicom(source, plane, options),
        contents=lambda source, options: _dicom(source).contents_of_dicom(source, options),
    ),
    Format(
        fits=lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        open=open_tiff,
        contents=contents_of_tiff,
    ),
    Format(
        fits=lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        open=lambda source, _plane, _options: open_image(source, "PNG"),
    ),
    Format(
        fits=lambda head: head.startswith(b"\xff\xd8\xff"),
        open=_open_jpeg,
    ),
    Format(
        fits=lambda head: head.startswith(b"RIFF") and head.startswith(b"WEBP", 8),
        open=lambda source, _plane, _options: open_image(source, "WEBP"),
    ),
    Format(
        fits=lambda head: head.startswith((b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope")),
        open=_open_vendor,
    ),
    Format(
        fits=lambda head: is_nifti(head) or head.startswith(GZIP_MAGIC),
        open=open_nifti,
        contents=contents_of_nifti,
    ),
)

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x89HDF\r\n\x1a\n", "HDF5"),
    (0, b"CDF\x01", "NetCDF"),
    (0, b"CDF\x02", "NetCDF"),
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"NITF", "NITF"),
    (0, b"PK\x03\x04", "ZIP"),
)
"""Offset, first bytes and name of formats that are not read."""


def open_reader(  # noqa: PLR0913  (the last four have defaults that nearly all use)
    store: Store,
    path: str,
    *,
    etag: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    whole: bool = False,
    plane: Plane = WHOLE,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Reader:
    """A reader of one scene, its header read and checked.

    Costs one request for size and etag and, for most files, one of 64 KiB; of a folder, a listing and its metadata.

    Args:
        store: where it lies.
        path: in the store; of a folder, if its name says that the scene is one (`is_folder`).
        etag: the version to read, None for the present one.
        limits: what its header may claim.
        whole: its pixels will be read too, so that a small object is better fetched by one get at once.
        plane: which of its images, one of those that `contents_of` tells.
        options: of the source.

    Raises:
        SceneUnreadable: missing, forbidden, empty, damaged, no image.
        UnsupportedScene: an image that is not read, or beyond the limits.
        SceneChanged: it is not the version that `etag` names.
        TransientStoreError: the store failed.
    """
    uri = join_uri(store.uri, path)
    if is_folder(uri):
        reader: Reader = open_ome_zarr(_folder(store, path, etag, limits), plane, options)
    else:
        source = pin(store, path, etag=etag, limits=limits, is_shared=plane != WHOLE)
        # Of an object of many images a reader of one fetches its part.
        if whole and plane == WHOLE and source.size <= limits.small_file_bytes:
            source.whole()
        reader = _format(source).open(source, plane, options)
    try:
        return _as_asked(reader, options, uri, limits)
    except BaseException:
        reader.close()
        raise


def contents_of(
    store: Store,
    path: str,
    *,
    etag: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    options: ReadOptions = DEFAULT_OPTIONS,
) -> Contents:
    """The images that an object holds; of most formats it is one, and nothing is read but the first bytes, or of a TIFF
    its first directory.

    Args, Raises: as `open_reader`.
    """
    if is_folder(join_uri(store.uri, path)):
        return contents_of_ome_zarr(_folder(store, path, etag, limits), options)
    source = pin(store, path, etag=etag, limits=limits)
    return _format(source).contents(source, options)


def version_of(store: Store, path: str, *, limits: Limits = DEFAULT_LIMITS) -> ObjectInfo:
    """Size and etag of a scene as it is now: of its object, or of all objects of the folder that it is.

    Raises:
        As the store does for an object; as `open_folder` for a folder.
    """
    if not is_folder(join_uri(store.uri, path)):
        return store.info(path)
    folder = _folder(store, path, None, limits)
    return ObjectInfo(path=path, size=folder.size, etag=folder.etag, modified=folder.modified)


def pin(
    store: Store, path: str, *, etag: str | None = None, limits: Limits = DEFAULT_LIMITS, is_shared: bool = False
) -> PinnedObject:
    """One version of an object, of whatever format.

    Args:
        store: as of `open_reader`, and so are path, etag and limits.
        path: in the store.
        etag: the version.
        limits: what its header may claim.
        is_shared: as of `PinnedObject`.

    Raises:
        As `open_reader`.
    """
    info = _info(store, path)
    uri = join_uri(store.uri, path)
    if etag is not None and info.etag != etag:
        raise scene_changed(uri)
    if info.size == 0:
        raise SceneUnreadable(f"{uri}: the object is empty", hint="fetch it anew", uri=uri)
    return PinnedObject(store, path, info, limits, is_shared=is_shared)


def _folder(store: Store, path: str, etag: str | None, limits: Limits) -> PinnedFolder:
    return open_folder(store, path.rstrip("/"), etag=etag, limits=limits)


def _as_asked(reader: Reader, options: ReadOptions, uri: str, limits: Limits) -> Reader:
    if options.um_per_px is not None:
        reader = resampled(reader, options.um_per_px, uri=uri, limits=limits)
    return tissue_only(reader, uri=uri) if options.tissue_only else reader


def _format(source: PinnedObject) -> Format:
    head = source.bytes_at(0, HEAD_BYTES)
    found = next((one for one in _FORMATS if one.fits(head)), None)
    if found is None:
        raise _not_read(head, source.uri)
    return found


def _info(store: Store, path: str) -> ObjectInfo:
    uri = join_uri(store.uri, path)
    try:
        return store.info(path)
    except ObjectMissing as error:
        raise SceneUnreadable(f"{uri}: there is no such object", hint="check the source's list", uri=uri) from error
    except ObjectRefused as error:
        raise SceneUnreadable(error.message, hint=error.hint, uri=uri) from error
    except ObjectForbidden as error:
        raise SceneForbidden(f"{uri}: reading it is forbidden", hint=error.hint, uri=uri) from error


def _not_read(head: bytes, uri: str) -> SceneUnreadable | UnsupportedScene:
    for offset, magic, name in _OTHERS:
        if head.startswith(magic, offset):
            return UnsupportedScene(
                f"{uri}: {name} is not read",
                hint="convert it to a tiled TIFF, e.g. gdal_translate -of COG",
                uri=uri,
            )
    return SceneUnreadable(
        # What it begins with is not quoted: a letter among medical images begins with a name.
        f"{uri}: not an image: it begins as no format does that is read",
        hint="scenes are TIFF, PNG, JPEG, WebP, DICOM, NIfTI or OME-Zarr; a VRT or other list of files is refused: "
        "name the files",
        uri=uri,
    )
