"""A proxy in front of an S3 server: sees every request, and does with it what a test says.

A behaviour is a function of a request and of `forward`, which sends it on and gives the server's answer. It returns the
answer that the client gets; None: none, and the connection is closed.
"""

from __future__ import annotations

import http.client
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, Self, TypeAlias
from urllib.parse import unquote, urlsplit

from servers import S3Server, credentials

CHANGES = frozenset({"PUT", "POST", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came."""

    number: int
    """From 1, in the order of arrival, since the behaviour was set."""
    method: str
    target: str
    """Path and query as sent."""
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes
    port: int
    """Of the client."""

    @property
    def path(self) -> str:
        """/bucket/key, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def lists(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.target

    @property
    def changes(self) -> bool:
        return self.method in CHANGES


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    keep_bytes: int | None = None
    """Send this many bytes of the body and close."""
    head_length: int | None = None
    """What an answer to HEAD says of the object's size."""

    @property
    def done(self) -> bool:
        """Whether the server did what was asked."""
        return self.status < 300


Forward: TypeAlias = Callable[[], Answer]
Behaviour: TypeAlias = Callable[[Request, Forward], Answer | None]


def as_it_is(_: Request, forward: Forward) -> Answer:
    """The behaviour of no proxy at all."""
    return forward()


def refusal(status: int, code: str) -> Answer:
    """An error as S3 words it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>".encode()
    return Answer(status=status, headers=[("Content-Type", "application/xml")], body=body)


class Upstream(Protocol):
    """What is behind a proxy."""

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


class Over:
    """A server that is asked by HTTP."""

    def __init__(self, server: S3Server) -> None:
        self._place = urlsplit(server.endpoint_url).netloc

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._place, timeout=120)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() not in _OWN}
            connection.request(method, target, body=body, headers=kept | {"Content-Length": str(len(body))})
            answer = connection.getresponse()
            there = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN]
            length = int(answer.getheader("Content-Length") or 0) if method == "HEAD" else None
            return Answer(status=answer.status, headers=there, body=answer.read(), head_length=length)
        finally:
            connection.close()


class Proxy:
    """Listens on a port of its own; thread-safe."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._behaviour: Behaviour = as_it_is
        self.requests: list[Request] = []
        """All that came since the behaviour was set."""
        self.deaf_to: frozenset[str] = frozenset()
        """Headers that do not get through: the server acts as if it did not know them. In small letters."""
        self._http = _Server(("127.0.0.1", 0), _handler_of(self))
        self.server = S3Server(endpoint_url=f"http://127.0.0.1:{self._http.server_port}")
        """How to reach the store through this proxy."""

    def behave(self, behaviour: Behaviour) -> None:
        """From now on so; requests are counted anew."""
        with self._lock:
            self._behaviour, self._numbers, self.requests = behaviour, itertools.count(1), []

    def serve(self, method: str, target: str, headers: dict[str, str], body: bytes, *, port: int) -> Answer | None:
        with self._lock:
            behaviour = self._behaviour
            request = Request(
                number=next(self._numbers),
                method=method,
                target=target,
                headers={name.lower(): value for name, value in headers.items()},
                body=body,
                port=port,
            )
            self.requests.append(request)
        heard = {name: value for name, value in headers.items() if name.lower() not in self.deaf_to}
        return behaviour(request, lambda: self._upstream.answer(method, target, heard, body))

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed here: that a connection broke off is not news."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


@contextmanager
def proxy_of(upstream: S3Server | Upstream) -> Iterator[Proxy]:
    """A proxy, with the credentials for what is behind it in the environment."""
    with credentials(), Proxy(Over(upstream) if isinstance(upstream, S3Server) else upstream) as proxy:
        yield proxy


_OWN = frozenset({"connection", "keep-alive", "expect", "transfer-encoding", "content-length"})
"""Headers that hold between two neighbours only."""


def _handler_of(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:  # the client died while it was sending: no server takes half of a body
                self.close_connection = True
                return
            answer = proxy.serve(self.command, self.path, dict(self.headers.items()), body, port=self.client_address[1])
            try:
                self._send(answer)
            except OSError:  # the client is gone
                self.close_connection = True

        def _send(self, answer: Answer | None) -> None:
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response_only(answer.status)
            length = len(answer.body) if answer.head_length is None else answer.head_length
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: answer.keep_bytes])
            self.close_connection = answer.keep_bytes is not None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler
