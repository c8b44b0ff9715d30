"""Servers for tests. Embedded S3 servers (moto): one in its own process, one in a thread that misbehaves when told."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ACCESS_KEY, SECRET_KEY = "test-access-key", "test-secret-key"
KEY_VARIABLE, SECRET_VARIABLE = "ENCDEC_TEST_S3_KEY", "ENCDEC_TEST_S3_SECRET"

_bucket_numbers = itertools.count()


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Where a small server of this handler listens, in a thread of this process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """Where a server listens and how to reach it."""

    endpoint_url: str

    @property
    def options(self) -> dict[str, str]:
        """storage_options for `open_store`; the credentials stand in this process's environment."""
        return {
            "endpoint_url": self.endpoint_url,
            "region": "us-east-1",
            "key": f"env:{KEY_VARIABLE}",
            "secret": f"env:{SECRET_VARIABLE}",
        }

    def client(self) -> Any:
        """A boto3 client: another way to the same objects than the package's own."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )

    def make_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"bucket-{os.getpid()}-{next(_bucket_numbers)}"
        self.client().create_bucket(Bucket=name)
        return name


@contextmanager
def s3_server_process() -> Iterator[S3Server]:
    """A server in a process of its own, which ends with this process however that dies."""
    with (
        credentials(),
        subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            yield S3Server(endpoint_url=f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do with the next request that it is meant for, instead of or after carrying it out."""

    method: str
    """GET, PUT, POST, DELETE, HEAD."""
    status: int = 0
    """Answer with this status, without carrying out the request."""
    code: str = "InternalError"
    """Code in the body of that answer."""
    hang_up: bool = False
    """Carry out the request, then close the connection without an answer."""
    keep_bytes: int = -1
    """Carry out the request, announce the whole body, send this many bytes of it, close the connection."""
    rewrite: Callable[[list[tuple[str, str]], bytes], tuple[list[tuple[str, str]], bytes]] | None = None
    """Carry out the request, then answer with other headers and body."""
    query: str = ""
    """Only for requests whose query string holds this."""
    header: str = ""
    """Only for requests with this header, named as in WSGI."""
    path: str = ""
    """Only for requests whose path ends so."""


@dataclass(slots=True)
class FaultyServer:
    """A server in this process."""

    server: S3Server
    faults: deque[Fault] = field(default_factory=deque)
    """Each serves one request, in order of arrival."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Environment (WSGI) of every request so far."""
    deaf_to: set[str] = field(default_factory=set)
    """Headers that the server acts as if it did not know, named as in WSGI: HTTP_IF_MATCH."""
    down: set[str] = field(default_factory=set)
    """Paths (/bucket/key) whose every request is answered with 503."""

    def count(self, method: str) -> int:
        return sum(request["REQUEST_METHOD"] == method for request in self.requests)

    def fill(self, bucket: str, names: Iterable[str]) -> None:
        """Puts an object of one byte under every name, without a request."""
        for name in names:
            self.put_behind(bucket, name, b"1")

    def put_behind(self, bucket: str, name: str, data: bytes) -> None:
        """Puts an object without a request."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, name, data)


@contextmanager
def faulty_s3_server() -> Iterator[FaultyServer]:
    """A server in a thread that misbehaves as its `faults` say."""
    faulty: FaultyServer

    def wrap(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        return lambda environ, start: _serve_with_faults(faulty, app, environ, start)

    server = _make_server(wrap)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    faulty = FaultyServer(S3Server(endpoint_url=f"http://127.0.0.1:{server.port}"))
    thread.start()
    try:
        with credentials():
            yield faulty
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def credentials() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in (KEY_VARIABLE, SECRET_VARIABLE)}
    os.environ[KEY_VARIABLE], os.environ[SECRET_VARIABLE] = ACCESS_KEY, SECRET_KEY
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _serve_with_faults(
    faulty: FaultyServer, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start: Callable[..., Any]
) -> Iterable[bytes]:
    faulty.requests.append({name: value for name, value in environ.items() if isinstance(value, str)})
    if environ["PATH_INFO"] in faulty.down:
        return _refusal(503, "ServiceUnavailable", environ, start)
    fault = next(
        (
            fault
            for fault in faulty.faults
            if fault.method == environ["REQUEST_METHOD"]
            and fault.query in environ.get("QUERY_STRING", "")
            and (not fault.header or fault.header in environ)
            and environ["PATH_INFO"].endswith(fault.path)
        ),
        None,
    )
    for header in faulty.deaf_to:
        environ.pop(header, None)
    if fault is None:
        return app(environ, start)
    faulty.faults.remove(fault)
    if fault.status:
        return _refusal(fault.status, fault.code, environ, start)
    answer: list[Any] = []
    body = b"".join(app(environ, lambda status, headers, exc_info=None: answer.extend([status, headers])))
    if fault.hang_up:
        environ["werkzeug.socket"].shutdown(2)
        return [b""]
    status, headers = answer
    if fault.rewrite is not None:
        headers, body = fault.rewrite(headers, body)
    start(status, headers)
    return [body if fault.keep_bytes < 0 else body[: fault.keep_bytes]]


def _refusal(status: int, code: str, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
    start(f"{status} Told", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _make_server(wrap: Callable[[Callable[..., Iterable[bytes]]], Callable[..., Iterable[bytes]]]) -> Any:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    app = wrap(_one_write_at_a_time(DomainDispatcherApplication(create_backend_app)))
    return make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)


def _one_write_at_a_time(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """moto looks and then writes; a real store does both in one step."""
    lock = threading.Lock()

    def serve(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start)
        with lock:
            return [b"".join(app(environ, start))]

    return serve


def _main() -> None:
    """Serves until standard input ends, which it does when the parent dies."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    server = _make_server(lambda app: app)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.port, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _main()
