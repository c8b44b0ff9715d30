"""Streaming, create-only writing to S3: one PUT when small, else a multipart upload that is aborted on any error."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from encdec_batch.errors import ObjectMissing, PermanentStoreError, PreconditionFailed, StoreError, TransientStoreError
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.s3_client import S3Client

MIN_PART_BYTES = 16 * 1024 * 1024
MAX_PARTS = 10_000
SAFE_PARTS = 9_000
"""Parts that an expected size is divided into at most: it may turn out a tenth too low."""

MAX_PARTS_IN_FLIGHT = 2

logger = logging.getLogger(__name__)


def part_size_for(expected_size: int) -> int:
    """Bytes of all parts but the last (one size for all: not every server takes others)."""
    return max(MIN_PART_BYTES, -(-expected_size // SAFE_PARTS))


class S3Writer:
    """Holds at most `MAX_PARTS_IN_FLIGHT` + 1 parts in memory."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        key: str,
        *,
        create: Callable[[bytes], ObjectInfo],
        expected_size: int = 0,
    ) -> None:
        self._client = client
        self._place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._where = f"s3://{bucket}/{key}"
        self._create = create
        self._part_size = part_size_for(expected_size)
        self._buffer = bytearray()
        self._upload_id = ""
        self._in_flight: deque[Future[str]] = deque()
        self._etags: list[str] = []
        self._num_parts = 0
        self._open = True

    def write(self, data: bytes) -> None:
        self._check_open()
        view = memoryview(data)
        while view:
            room = self._part_size - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == self._part_size:
                self.start_upload()
                self._send_part()

    def start_upload(self) -> None:
        """Goes over to a multipart upload, which otherwise begins with the first full part."""
        if not self._upload_id:
            answer = self._client.call("create_multipart_upload", where=self._where, **self._place)
            self._upload_id = answer["UploadId"]

    def finish(self) -> bool:
        self._check_open()
        if not self._upload_id:
            self._open = False
            try:
                self._create(bytes(self._buffer))
            except PreconditionFailed:
                return False
            return True
        if self._buffer or not self._num_parts:
            self._send_part()
        while self._in_flight:
            self._etags.append(self._in_flight.popleft().result())
        created = self._complete()
        if created:
            self._open = False
        else:
            self._abort()
        return created

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        try:
            self._abort()
        except StoreError as failure:
            # The first error is the one to be seen; the next run drops uploads that were left.
            logger.warning("upload.not_aborted", extra={"object": self._where, "reason": str(failure)})

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self._where}: the writer is finished")

    def _send_part(self) -> None:
        if len(self._in_flight) >= MAX_PARTS_IN_FLIGHT:
            self._etags.append(self._in_flight.popleft().result())
        self._num_parts += 1
        if self._num_parts > MAX_PARTS:
            raise PermanentStoreError(
                f"{self._where}: more than {MAX_PARTS} parts of {self._part_size} bytes",
                hint="give expected_size when the object may be large",
            )
        data = bytes(self._buffer)
        self._buffer = bytearray()
        upload = self._upload_part(self._num_parts, data)
        self._in_flight.append(asyncio.run_coroutine_threadsafe(upload, self._client.filesystem.loop))

    async def _upload_part(self, number: int, data: bytes) -> str:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = await self._client.request(
            "upload_part",
            where=self._where,
            **self._place,
            UploadId=self._upload_id,
            PartNumber=number,
            Body=data,
            ContentMD5=digest,
        )
        return str(answer["ETag"])

    def _complete(self) -> bool:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, start=1)]
        try:
            self._client.call_conditional(
                "complete_multipart_upload",
                where=self._where,
                **self._place,
                UploadId=self._upload_id,
                MultipartUpload={"Parts": parts},
                IfNoneMatch="*",
            )
        except PreconditionFailed as error:
            return bool(error.context["outcome_unknown"]) and self._is_ours()
        except ObjectMissing as error:
            # The upload is gone: completed by a request whose answer was lost, or aborted by somebody.
            try:
                return self._is_ours()
            except ObjectMissing:
                raise TransientStoreError(f"{self._where}: the upload was aborted by another process") from error
        return True

    def _is_ours(self) -> bool:
        """Whether the object there is this very upload, published by a request whose answer was lost."""
        return bool(self._head().get("ETag", "").strip('"') == multipart_etag(self._etags))

    def _head(self) -> dict[str, Any]:
        return self._client.call("head_object", where=self._where, **self._place)

    def _abort(self) -> None:
        self._open = False
        for part in self._in_flight:
            part.cancel()
        while self._in_flight:
            # A part that arrives after the abort would stay there, unseen and paid for.
            with suppress(CancelledError):
                self._in_flight.popleft().exception()
        if self._upload_id:
            try:
                self._client.call("abort_multipart_upload", where=self._where, **self._place, UploadId=self._upload_id)
            except ObjectMissing:
                return


def multipart_etag(part_etags: list[str]) -> str:
    """The etag S3 gives to an object of parts with these etags (not encrypted by KMS); "?" where they are no MD5."""
    try:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in part_etags)
    except ValueError:
        return "?"
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(part_etags)}"
