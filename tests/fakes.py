"""Fakes that satisfy the package's Protocols and fail on demand."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from encdec_batch.commit.generation import OutputFolder
from encdec_batch.commit.marker import InputObject, Marker, OutputFile
from encdec_batch.errors import ObjectMissing, PermanentStoreError, PreconditionFailed, StoreError, TransientStoreError
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Rule
from encdec_batch.read.request import check_request
from encdec_batch.read.validity import valid_of_bands
from encdec_batch.store.object import Capabilities, ObjectInfo, checked_path, checked_prefix
from encdec_batch.window import Window

Fault = Literal["lost answer", "late", "never"]
"""Done but not answered; not answered and done when `deliver` is called; not answered and not done."""


@dataclass
class FakeStore:
    """Objects in memory as an S3 bucket keeps them: etag = md5 of the content, times to the fraction.

    Passes the contract of stores but for two laws: it does not pickle, and its clock stands still:

    `clock` moves only when told to. `before` is called at each request with (operation, path), before it
    is carried out, in the thread that makes it: the place to stop a process, to count or to interfere.
    """

    uri: str = "fake://output"
    clock: float = 1_000_000.0
    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda operation, path: None
    changed: Callable[[str, bytes | None, bytes | None], None] = lambda path, old, new: None
    """Called with path, old bytes and new ones (None: missing) whenever an object really changes."""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By path: what happens to the next requests that would change it."""
    late: list[Callable[[], object]] = field(default_factory=list)
    """Requests under way that may still take effect: see `deliver`."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def advance(self, seconds: float) -> None:
        """Lets the store's clock run."""
        self.clock += seconds

    def deliver(self, index: int = 0) -> None:
        """Lets a late request take effect, if its condition still holds."""
        _ignoring_errors(self.late.pop(index))

    def info(self, path: str) -> ObjectInfo:
        self._request("info", path)
        return self._info(path)

    def get(self, path: str, *, etag: str | None = None) -> bytes:
        self._request("get", path)
        if etag is not None and self._info(path).etag != etag:
            raise PreconditionFailed(f"{self.uri}/{path}: changed")
        return self._bytes(path)

    def get_with_info(self, path: str) -> tuple[bytes, ObjectInfo]:
        self._request("get", path)
        with self._lock:
            return self._bytes(path), self._info(path)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:
        data = self.get(path, etag=etag)
        if any(not 0 <= start <= stop <= len(data) for start, stop in ranges):
            raise PermanentStoreError(f"{self.uri}/{path}: a range reaches beyond the end")
        return [data[start:stop] for start, stop in ranges]

    def put(self, path: str, data: bytes) -> ObjectInfo:
        return _known(self._change("put", path, partial(self._write, path, data), data=data))

    def create(self, path: str, data: bytes, *, retry_unknown: bool = True) -> ObjectInfo:
        effect = partial(self._create, path, data)
        return _known(self._change("create", path, effect, data=data, retry_unknown=retry_unknown))

    def replace(self, path: str, data: bytes, *, etag: str, retry_unknown: bool = True) -> ObjectInfo:
        effect = partial(self._replace, path, data, etag)
        return _known(self._change("replace", path, effect, data=data, retry_unknown=retry_unknown))

    def open_writer(self, path: str, *, expected_size: int = 0) -> FakeWriter:
        return FakeWriter(self, checked_path(path, uri=self.uri))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._request("list", checked_prefix(prefix, uri=self.uri))
        with self._lock:
            paths = sorted(path for path in self.objects if path.startswith(prefix))
            return iter([self._info(path) for path in paths])

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._change("delete", path, partial(self._write, path, None))

    def delete_if_match(self, path: str, etag: str) -> None:
        def delete() -> None:
            if path in self.objects and self._info(path).etag != etag:
                raise PreconditionFailed(f"{self.uri}/{path}: changed")
            self._write(path, None)

        self._change("delete", path, delete)

    def now(self) -> float:
        return self.clock

    def abort_uploads(self, prefix: str, *, before: float) -> int:
        return 0

    def probe(self) -> Capabilities:
        return Capabilities(create_only=True, if_match=True)

    def _request(self, operation: str, path: str) -> None:
        if operation != "list":
            checked_path(path, uri=self.uri)
        self.requests.append((operation, path))
        self.before(operation, path)

    def _change(
        self,
        operation: str,
        path: str,
        effect: Callable[[], ObjectInfo | None],
        *,
        data: bytes | None = None,
        retry_unknown: bool = True,
    ) -> ObjectInfo | None:
        self._request(operation, path)
        with self._lock:
            fault = self.faults[path].pop(0) if self.faults.get(path) else None
            if fault is None:
                return effect()
            if fault == "lost answer":
                _ignoring_errors(effect)
            elif fault == "late":
                self.late.append(effect)
        if not retry_unknown:
            raise TransientStoreError(f"{self.uri}/{path}: no answer", outcome_unknown=True)
        try:
            return self._change(operation, path, effect, data=data)
        except PreconditionFailed:
            if self.objects.get(path, (None,))[0] == data:
                return self._info(path)
            raise

    def _write(self, path: str, data: bytes | None) -> ObjectInfo | None:
        with self._lock:
            old = self.objects.get(path, (None, 0.0))[0]
            self.changed(path, old, data)
            if data is None:
                self.objects.pop(path, None)
                return None
            self.objects[path] = (data, self.clock)
            return self._info(path)

    def _bytes(self, path: str) -> bytes:
        if path not in self.objects:
            raise ObjectMissing(f"{self.uri}/{path}: missing")
        return self.objects[path][0]

    def _info(self, path: str) -> ObjectInfo:
        data = self._bytes(path)
        return ObjectInfo(path=path, size=len(data), etag=hashlib.md5(data).hexdigest(), modified=self.objects[path][1])

    def _create(self, path: str, data: bytes) -> ObjectInfo | None:
        if path in self.objects:
            raise PreconditionFailed(f"{self.uri}/{path}: exists")
        return self._write(path, data)

    def _replace(self, path: str, data: bytes, etag: str) -> ObjectInfo | None:
        if path not in self.objects or self._info(path).etag != etag:
            raise PreconditionFailed(f"{self.uri}/{path}: changed or gone")
        return self._write(path, data)


@dataclass
class FakeWriter:
    """Collects bytes and creates the object at `finish`, as a multipart upload does."""

    store: FakeStore
    path: str
    data: bytearray = field(default_factory=bytearray)
    finished: bool = False

    def write(self, data: bytes) -> None:
        self._refuse_if_finished()
        self.data += data

    def finish(self) -> bool:
        self._refuse_if_finished()
        self.finished = True
        try:
            self.store.create(self.path, bytes(self.data))
        except PreconditionFailed:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.data.clear()

    def _refuse_if_finished(self) -> None:
        if self.finished:
            raise ValueError(f"{self.path} is finished")


class ArrayReader:
    """A `Reader` of pixels in memory; a pixel and band that is read costs one byte."""

    etag, size_bytes = "1", 1

    def __init__(
        self,
        pixels_CHW: NDArray[Any],
        *,
        valid_HW: NDArray[np.bool_] | None = None,
        nodata: float | None = None,
        pixel_size_um: tuple[float, float] | None = None,
        level0_downsample: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self._pixels = pixels_CHW
        self._valid = np.ones(pixels_CHW.shape[1:], np.bool_) if valid_HW is None else valid_HW
        self.bytes_read = 0
        self.windows: list[Window] = []
        bands, height, width = pixels_CHW.shape
        self.header = SceneHeader(
            driver="slide",
            height=height,
            width=width,
            num_bands=bands,
            dtype=pixels_CHW.dtype.name,
            nodata=(nodata,) * bands,
            mask="nodata" if nodata is not None else "none" if self._valid.all() else "internal",
            scales=(1.0,) * bands,
            offsets=(0.0,) * bands,
            band_names=(None,) * bands,
            crs_wkt=None,
            transform=None,
            gcps=(),
            gcps_crs_wkt=None,
            layout="tiled",
            tile_height=64,
            tile_width=64,
            compression="NONE",
            planar=True,
            encoded_bytes=pixels_CHW.nbytes,
            pixel_size_um=pixel_size_um,
            level0_downsample=level0_downsample,
        )

    def read(self, window: Window, bands: Sequence[int], *, rule: Rule, nan_is_nodata: bool = True) -> Patch:
        check_request(self.header, window, bands, uri="fake://reader")
        self.windows.append(window)
        self.bytes_read += self.bytes_for([window], bands)
        pixels = self._pixels[[band - 1 for band in bands], window.rows, window.cols]
        nodata = [self.header.nodata[band - 1] for band in bands]
        valid = valid_of_bands(pixels, nodata, rule=rule, nan_is_nodata=nan_is_nodata)
        return Patch(pixels=pixels, valid_mask=valid & self._valid[window.rows, window.cols])

    def bytes_for(self, windows: Sequence[Window], bands: Sequence[int]) -> int:
        return sum(window.num_pixels * len(bands) for window in windows)

    def thumbnail(self, max_side: int) -> Patch:
        step = -(-max(self._valid.shape) // max_side)
        return Patch(pixels=self._pixels[:, ::step, ::step].copy(), valid_mask=self._valid[::step, ::step].copy())

    def close(self) -> None:
        pass


def _ignoring_errors(effect: Callable[[], object]) -> None:
    with contextlib.suppress(StoreError):
        effect()


def _known(info: ObjectInfo | None) -> ObjectInfo:
    assert info is not None
    return info


def fake_marker(
    scene_id: str = "a",
    *,
    generation: int = 1,
    key: str = "A",
    outputs: Iterable[str] = ("mask.tif",),
    carried: Mapping[str, OutputFile] | None = None,
    made_by: str = "",
) -> Marker:
    """A marker as a run with scene key `key` writes it; `made_by` makes other bytes of the same work."""
    scene_key = hashlib.sha256(key.encode()).hexdigest()
    content = hashlib.sha256(made_by.encode()).hexdigest()[:8]
    folder = OutputFolder(scene_id=scene_id, generation=generation, key_prefix=scene_key[:16], content=content)
    made = {
        name: OutputFile(
            path=folder.path + name, size=1, sha256=hashlib.sha256(fake_bytes(folder.path + name)).hexdigest()
        )
        for name in outputs
    }
    return Marker(
        scene_id=scene_id,
        generation=generation,
        scene_key=scene_key,
        outputs={**(carried or {}), **made},
        input=InputObject(uri=f"s3://archive/{scene_id}.tif", etag=key),
    )


def fake_bytes(path: str) -> bytes:
    """The bytes of the file of this name: a function of the name."""
    return path.encode()
