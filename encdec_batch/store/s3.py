"""Objects in a bucket, by conditional and ranged requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any

from encdec_batch.errors import (
    ObjectForbidden,
    ObjectMissing,
    PermanentStoreError,
    PreconditionFailed,
    StoreError,
    TransientStoreError,
)
from encdec_batch.store.object import Capabilities, ObjectInfo, checked_path, checked_prefix, join_uri
from encdec_batch.store.probe import PROBE_PREFIX, probe
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.s3_client import S3Client
from encdec_batch.store.s3_errors import bulk_delete_error, unwrapped
from encdec_batch.store.s3_upload import S3Writer
from encdec_batch.store.secrets import Options

MAX_IN_FLIGHT = 16
"""Ranged requests of one `get_ranges` at a time."""

FIRST_CONTACT_S = 20.0
"""How long `probe` and `now`, which come first in a run, try to reach a store."""

_DELETE_BATCH = 1000


class S3Store:
    """A bucket, or a prefix in one."""

    def __init__(
        self, bucket: str, prefix: str = "", *, options: Options | None = None, policy: RetryPolicy | None = None
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = S3Client(options or {}, policy or RetryPolicy())

    @property
    def uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri!r})"

    def info(self, path: str) -> ObjectInfo:
        try:
            return self._head(path, self._call("head_object", path))
        except ObjectForbidden:
            # An answer to HEAD has no body: a forbidden object looks like credentials that have expired.
            self._call("get_object", path, Range="bytes=0-0")
            raise

    def get(self, path: str, *, etag: str | None = None) -> bytes:
        answer = self._call("get_object", path, **_if_match(etag))
        self._check_etag(path, answer, etag)
        body: bytes = answer["Body"]
        return body

    def get_with_info(self, path: str) -> tuple[bytes, ObjectInfo]:
        answer = self._call("get_object", path)
        return answer["Body"], self._head(path, answer)

    def get_ranges(self, path: str, ranges: Sequence[tuple[int, int]], *, etag: str | None = None) -> list[bytes]:
        where = self._where(path)
        for start, stop in ranges:
            if not 0 <= start <= stop:
                raise PermanentStoreError(f"{where}: bytes {start} to {stop}", path=path)
        gate = asyncio.Semaphore(MAX_IN_FLIGHT)

        async def one(start: int, stop: int) -> tuple[bytes, str]:
            async with gate:
                return await self._range(path, start, stop, etag)

        async def every() -> list[tuple[bytes, str]]:
            tasks = [asyncio.ensure_future(one(start, stop)) for start, stop in ranges]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

        bodies = self._client.run(every())
        if len({seen for _, seen in bodies if seen}) > 1:
            raise TransientStoreError(f"{where}: changed while it was read", path=path)
        return [body for body, _ in bodies]

    def put(self, path: str, data: bytes) -> ObjectInfo:
        return self._written(path, data, self._call("put_object", path, **_body(data)))

    def create(self, path: str, data: bytes, *, retry_unknown: bool = True) -> ObjectInfo:
        return self._put_if(path, data, {"IfNoneMatch": "*"}, retry_unknown=retry_unknown)

    def replace(self, path: str, data: bytes, *, etag: str, retry_unknown: bool = True) -> ObjectInfo:
        try:
            return self._put_if(path, data, _if_match(etag), retry_unknown=retry_unknown)
        except ObjectMissing as error:
            raise PreconditionFailed(f"{self._where(path)}: is gone", path=path) from error

    def open_writer(self, path: str, *, expected_size: int = 0) -> S3Writer:
        key = self._key(path)
        return S3Writer(
            self._client, self._bucket, key, create=lambda data: self.create(path, data), expected_size=expected_size
        )

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        checked_prefix(prefix, uri=self.uri)
        place: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        where = self._where(prefix)
        while True:
            page = self._client.call("list_objects_v2", where=where, **place)
            for entry in page.get("Contents", []):
                # Names that end in "/" are how consoles draw empty folders.
                if not entry["Key"].endswith("/"):
                    yield ObjectInfo(
                        path=entry["Key"].removeprefix(self._prefix),
                        size=entry["Size"],
                        etag=_etag(entry),
                        modified=entry["LastModified"].timestamp(),
                    )
            if not page.get("IsTruncated"):
                return
            place["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, paths: Iterable[str]) -> None:
        keys = (self._key(path) for path in paths)
        while batch := list(islice(keys, _DELETE_BATCH)):
            self._delete_batch(batch)

    def delete_if_match(self, path: str, etag: str) -> None:
        try:
            # Looked at first: not every server knows If-Match on DELETE.
            self._check_etag(path, self._call("head_object", path), etag)
            self._call("delete_object", path, **_if_match(etag))
        except ObjectMissing:
            return

    def now(self) -> float:
        where = self._where("")

        async def attempt() -> str:
            try:
                headers = _headers(await self._client.attempt("head_object", where=where, **self._place(PROBE_PREFIX)))
            except StoreError as error:
                # "Missing" and "forbidden" carry the store's time too.
                answer = getattr(unwrapped(error.__cause__ or error), "response", None)
                if isinstance(error, TransientStoreError) or answer is None:
                    raise
                headers = _headers(answer)
            if "date" not in headers:
                raise PermanentStoreError(f"{where}: answers without a Date header")
            return headers["date"]

        date = self._client.run(self._client.policy.shortened(FIRST_CONTACT_S).run_async(attempt))
        return parsedate_to_datetime(date).timestamp()

    def abort_uploads(self, prefix: str, *, before: float) -> int:
        checked_prefix(prefix, uri=self.uri)
        where = self._where(prefix)
        place: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        aborted = 0
        while True:
            page = self._client.call("list_multipart_uploads", where=where, **place)
            for upload in page.get("Uploads", []):
                # Some servers do not filter by prefix.
                if upload["Initiated"].timestamp() < before and upload["Key"].startswith(place["Prefix"]):
                    aborted += self._abort(upload["Key"], upload["UploadId"], where)
            if not page.get("IsTruncated"):
                return aborted
            place |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def probe(self) -> Capabilities:
        hasty = type(self).__new__(type(self))
        hasty.__dict__.update(self.__dict__)
        hasty._client = S3Client(self._client.options, self._client.policy.shortened(FIRST_CONTACT_S))  # noqa: SLF001
        return probe(hasty, writer_refuses=hasty._writer_refuses)  # noqa: SLF001

    # How the methods above reach the bucket.

    def _key(self, path: str) -> str:
        return self._prefix + checked_path(path, uri=self.uri)

    def _where(self, path: str) -> str:
        return join_uri(self.uri, path)

    def _place(self, path: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + path}

    def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key(path)}
        return self._client.call(method, where=self._where(path), **place, **arguments)

    def _head(self, path: str, answer: Mapping[str, Any]) -> ObjectInfo:
        modified = answer["LastModified"].timestamp()
        return ObjectInfo(path=path, size=int(answer["ContentLength"]), etag=_etag(answer), modified=modified)

    def _written(self, path: str, data: bytes, answer: Mapping[str, Any]) -> ObjectInfo:
        date = _headers(answer).get("date")
        if not date or not _etag(answer):
            return self.info(path)
        modified = parsedate_to_datetime(date).timestamp()
        return ObjectInfo(path=path, size=len(data), etag=_etag(answer), modified=modified)

    def _check_etag(self, path: str, answer: Mapping[str, Any], etag: str | None) -> None:
        """Compared here as well: servers have been seen that ignore If-Match on GET."""
        if etag is not None and _etag(answer) != etag:
            raise PreconditionFailed(f"{self._where(path)}: changed since it was looked at", path=path)

    async def _range(self, path: str, start: int, stop: int, etag: str | None) -> tuple[bytes, str]:
        if start == stop:
            return b"", ""
        where = self._where(path)
        arguments: dict[str, Any] = {
            "Bucket": self._bucket,
            "Key": self._key(path),
            "Range": f"bytes={start}-{stop - 1}",
        }

        async def attempt() -> tuple[bytes, str]:
            answer = await self._client.attempt("get_object", where=where, **arguments, **_if_match(etag))
            self._check_etag(path, answer, etag)
            body: bytes = answer["Body"]
            if len(body) != stop - start:
                raise _short(f"{where}: bytes {start} to {stop}", stop, len(body), answer.get("ContentRange", ""))
            return body, _etag(answer)

        return await self._client.policy.run_async(attempt)

    def _put_if(self, path: str, data: bytes, condition: dict[str, Any], *, retry_unknown: bool) -> ObjectInfo:
        place: dict[str, Any] = {"Bucket": self._bucket, "Key": self._key(path)}
        try:
            answer = self._client.call_conditional(
                "put_object",
                where=self._where(path),
                retry_unknown=retry_unknown,
                **place,
                **_body(data),
                **condition,
            )
        except (PreconditionFailed, ObjectMissing) as error:
            # The refused request may be the second of two of which the first, unanswered one was carried out.
            found = self._found(path, data) if error.context["outcome_unknown"] else None
            if found is None:
                raise
            return found
        return self._written(path, data, answer)

    def _found(self, path: str, data: bytes) -> ObjectInfo | None:
        try:
            there, info = self.get_with_info(path)
        except ObjectMissing:
            return None
        return info if there == data else None

    def _delete_batch(self, keys: Sequence[str]) -> None:
        where = self._where("")
        left = list(keys)

        async def attempt() -> None:
            nonlocal left
            objects = {"Objects": [{"Key": key} for key in left], "Quiet": True}
            answer = await self._client.attempt("delete_objects", where=where, Bucket=self._bucket, Delete=objects)
            failed = [
                (entry["Key"], bulk_delete_error(entry, f"s3://{self._bucket}/{entry['Key']}"))
                for entry in answer.get("Errors", [])
            ]
            failed = [(key, error) for key, error in failed if not isinstance(error, ObjectMissing)]
            left = [key for key, _ in failed]
            for _, error in sorted(failed, key=lambda pair: isinstance(pair[1], TransientStoreError)):
                raise error

        self._client.run(self._client.policy.run_async(attempt))

    def _abort(self, key: str, upload_id: str, where: str) -> int:
        try:
            self._client.call("abort_multipart_upload", where=where, Bucket=self._bucket, Key=key, UploadId=upload_id)
        except ObjectMissing:
            return 0
        return 1

    def _writer_refuses(self, path: str) -> bool:
        with self.open_writer(path) as writer:
            writer.write(b"1")
            writer.start_upload()
            return not writer.finish()


def _if_match(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"IfMatch": f'"{etag}"'}


def _body(data: bytes) -> dict[str, Any]:
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    return {"Body": data, "ContentMD5": base64.b64encode(digest).decode()}


def _etag(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _headers(answer: Mapping[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _short(what: str, stop: int, got: int, content_range: str) -> StoreError:
    """The error for a range whose body has another length than asked for."""
    total = content_range.rpartition("/")[2]
    if total.isdigit() and int(total) < stop:
        return PermanentStoreError(f"{what} of an object of {total} bytes")
    if not content_range:
        return PermanentStoreError(f"{what}: the store ignores ranges (it sent {got} bytes)")
    return TransientStoreError(f"{what}: got {got} bytes")
