"""An S3 server that keeps objects in memory and answers in less than a millisecond, for tests of thousands of calls.

It is held to the contract of stores as the embedded server is (tests/store/test_s3.py). Every request is one step:
conditions are looked at and acted on under one lock.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from proxy import Answer, refusal

PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    data: bytes
    etag: str
    modified: float


@dataclass(slots=True, kw_only=True)
class Upload:
    key: str
    initiated: float
    parts: dict[int, bytes] = field(default_factory=dict)


class MemoryS3:
    """Buckets are made by their first object."""

    def __init__(self) -> None:
        self.objects: dict[str, Kept] = {}
        """By "bucket/key"."""
        self.uploads: dict[str, Upload] = {}
        self.changed: Callable[[str, bytes | None], None] = lambda name, data: None
        """Told of every change of an object, before anybody can see the next: its name and new bytes; None: deleted."""
        self._lock = threading.RLock()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        split = urlsplit(target)
        name = unquote(split.path).lstrip("/")
        query = {key: values[0] for key, values in parse_qs(split.query, keep_blank_values=True).items()}
        asked = {key.lower(): value for key, value in headers.items()}
        with self._lock:
            found = self._answer(method, name, query, asked, body)
        dated = [("Date", formatdate(time.time(), usegmt=True)), *found.headers]
        return Answer(status=found.status, headers=dated, body=found.body, head_length=found.head_length)

    def _answer(
        self, method: str, name: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        if "/" not in name.rstrip("/"):
            return self._of_bucket(method, name.rstrip("/"), query, body)
        if method in ("GET", "HEAD"):
            return self._get(name, headers, head=method == "HEAD")
        if "content-md5" in headers and base64.b64decode(headers["content-md5"]) != hashlib.md5(body).digest():
            return refusal(400, "BadDigest")
        if method == "PUT" and "uploadId" in query:
            return self._part(query, body)
        if method == "PUT":
            return self._refused(name, headers) or self._put(name, body, _md5(body))
        if method == "POST" and "uploads" in query:
            upload_id = uuid.uuid4().hex
            self.uploads[upload_id] = Upload(key=name, initiated=float(int(time.time())))
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")
        if method == "POST" and "uploadId" in query:
            return self._complete(name, query["uploadId"], headers, body)
        if method == "DELETE" and "uploadId" in query:
            missing = self.uploads.pop(query["uploadId"], None) is None
            return refusal(404, "NoSuchUpload") if missing else Answer(status=204)
        if method == "DELETE":
            refused = self._refused(name, headers) if "if-match" in headers and name in self.objects else None
            return refused or self._delete(name)
        return refusal(501, "NotImplemented")

    def _of_bucket(self, method: str, bucket: str, query: Mapping[str, str], body: bytes) -> Answer:
        if method == "GET" and "uploads" in query:
            return self._list_uploads(bucket, query)
        if method == "GET":
            return self._list(bucket, query)
        if method == "POST" and "delete" in query:
            for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self._delete(f"{bucket}/{_unescaped(key)}")
            return _xml("DeleteResult", "")
        return Answer(status=200)

    def _get(self, name: str, headers: Mapping[str, str], *, head: bool) -> Answer:
        kept = self.objects.get(name)
        if kept is None:
            return refusal(404, "NoSuchKey")
        if refused := self._refused(name, headers):
            return refused
        data, status, more = kept.data, 200, []
        if bounds := re.fullmatch(r"bytes=(\d+)-(\d+)", headers.get("range", "")):
            start, stop = int(bounds[1]), min(int(bounds[2]) + 1, len(data))
            if start >= len(data):
                return refusal(416, "InvalidRange")
            more = [("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")]
            data, status = data[start:stop], 206
        said = [("ETag", f'"{kept.etag}"'), ("Last-Modified", formatdate(kept.modified, usegmt=True)), *more]
        return Answer(status=status, headers=said, body=b"" if head else data, head_length=len(data) if head else None)

    def _refused(self, name: str, headers: Mapping[str, str]) -> Answer | None:
        kept = self.objects.get(name)
        wanted = headers.get("if-match", "").strip('"')
        if wanted and kept is None:
            return refusal(404, "NoSuchKey")
        if (wanted and kept and kept.etag != wanted) or (headers.get("if-none-match") == "*" and kept):
            return refusal(412, "PreconditionFailed")
        return None

    def _put(self, name: str, data: bytes, etag: str) -> Answer:
        self.objects[name] = Kept(data=data, etag=etag, modified=float(int(time.time())))
        self.changed(name, data)
        return Answer(status=200, headers=[("ETag", f'"{etag}"')])

    def _delete(self, name: str) -> Answer:
        if self.objects.pop(name, None) is not None:
            self.changed(name, None)
        return Answer(status=204)

    def _part(self, query: Mapping[str, str], body: bytes) -> Answer:
        upload = self.uploads.get(query["uploadId"])
        if upload is None:
            return refusal(404, "NoSuchUpload")
        upload.parts[int(query["partNumber"])] = body
        return Answer(status=200, headers=[("ETag", f'"{_md5(body)}"')])

    def _complete(self, name: str, upload_id: str, headers: Mapping[str, str], body: bytes) -> Answer:
        upload = self.uploads.get(upload_id)
        if upload is None:
            return refusal(404, "NoSuchUpload")
        if refused := self._refused(name, headers):
            return refused
        parts = [upload.parts[int(number)] for number in re.findall(r"<PartNumber>(\d+)</PartNumber>", body.decode())]
        digests = b"".join(hashlib.md5(part).digest() for part in parts)
        etag = f"{_md5(digests)}-{len(parts)}"
        self._put(name, b"".join(parts), etag)
        del self.uploads[upload_id]
        return _xml("CompleteMultipartUploadResult", f"<ETag>&quot;{etag}&quot;</ETag>")

    def _list(self, bucket: str, query: Mapping[str, str]) -> Answer:
        prefix, after = f"{bucket}/{query.get('prefix', '')}", query.get("continuation-token", "")
        names = sorted((n for n in self.objects if n.startswith(prefix) and n > after), key=str.encode)
        page = names[: int(query.get("max-keys", PAGE))]
        entries = "".join(
            f"<Contents><Key>{_listed(name.partition('/')[2], query)}</Key><Size>{len(kept.data)}</Size>"
            f"<ETag>&quot;{kept.etag}&quot;</ETag><LastModified>{_iso(kept.modified)}</LastModified></Contents>"
            for name, kept in ((name, self.objects[name]) for name in page)
        )
        more = len(page) < len(names)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        encoding = "<EncodingType>url</EncodingType>" if query.get("encoding-type") == "url" else ""
        truncated = f"<IsTruncated>{str(more).lower()}</IsTruncated>"
        return _xml("ListBucketResult", f"{encoding}<KeyCount>{len(page)}</KeyCount>{truncated}{token}{entries}")

    def _list_uploads(self, bucket: str, query: Mapping[str, str]) -> Answer:
        prefix = f"{bucket}/{query.get('prefix', '')}"
        entries = "".join(
            f"<Upload><Key>{escape(upload.key.partition('/')[2])}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{_iso(upload.initiated)}</Initiated></Upload>"
            for upload_id, upload in self.uploads.items()
            if upload.key.startswith(prefix)
        )
        return _xml("ListMultipartUploadsResult", f"<IsTruncated>false</IsTruncated>{entries}")


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _iso(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def _listed(key: str, query: Mapping[str, str]) -> str:
    return quote(key, safe="/") if query.get("encoding-type") == "url" else escape(key)


def _unescaped(text: str) -> str:
    return unescape(text, {"&quot;": '"', "&apos;": "'"})


def _xml(name: str, inside: str) -> Answer:
    body = f"<?xml version='1.0' encoding='UTF-8'?><{name}>{inside}</{name}>".encode()
    return Answer(status=200, headers=[("Content-Type", "application/xml")], body=body)
