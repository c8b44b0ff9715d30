"""A server that speaks those endpoints of Ray's dashboard that jobs need, and breaks them when it is told to.

`tests/cluster/test_local_cluster.py` asks the same of the real one.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from aiohttp import WSMsgType, web

TOKEN = "0" * 64
HANG, DROP, LOSE = "hang", "drop", "lose"
"""No answer ever; a connection closed instead of an answer; and one closed after all was done."""

Fault = str | int
"""One of these, a status, or an address that is redirected to."""
Act = str | Callable[[], None]
"""Of a log's connection: a piece of the log, DROP, HANG, or what happens next."""


@dataclass(slots=True)
class JobsServer:
    """Where it listens, what it knows, and how it misbehaves."""

    address: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    packages: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    """By method and path, `GET /api/version`: what the next such requests get."""
    acts: deque[list[Act]] = field(default_factory=deque)
    """What each connection to a log does, after it has sent the log from its start; one that is not named ends."""
    asked: list[str] = field(default_factory=list)
    """Method and path of each request."""
    tokens: list[str | None] = field(default_factory=list)
    """Authorization of each request."""

    def add(self, submission_id: str, status: str = "RUNNING", log: str = "", **more: Any) -> None:
        self.jobs[submission_id] = {"status": status, **more}
        self.logs[submission_id] = log

    def ends(self, submission_id: str, status: str = "SUCCEEDED", log: str = "", **more: Any) -> Callable[[], None]:
        """What ends a job, after a last piece of its log."""

        def end() -> None:
            self.jobs[submission_id] |= {"status": status, **more}
            self.logs[submission_id] += log

        return end

    def fail(self, request: str, *faults: Fault) -> None:
        self.faults.setdefault(request, deque()).extend(faults)


@contextmanager
def jobs_server() -> Iterator[JobsServer]:
    """A server in a thread."""
    server, loop, ready = JobsServer(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        over = server_over["event"] = asyncio.Event()
        runner = web.AppRunner(_app(server, over), shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await over.wait()
        await runner.cleanup()

    server_over: dict[str, asyncio.Event] = {}
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(server_over["event"].set)
        thread.join()
        loop.close()


def _app(server: JobsServer, over: asyncio.Event) -> web.Application:
    ends = _Endpoints(server, over)
    app = web.Application(middlewares=[ends.misbehave])
    app.add_routes(
        [
            web.get("/api/version", ends.version),
            web.get("/api/packages/gcs/{name}", ends.package),
            web.put("/api/packages/gcs/{name}", ends.package),
            web.post("/api/jobs/", ends.submit),
            web.get("/api/jobs/{id}", ends.job),
            web.post("/api/jobs/{id}/stop", ends.stop),
            web.get("/api/jobs/{id}/logs", ends.log),
            web.get("/api/jobs/{id}/logs/tail", ends.tail),
        ]
    )
    return app


class _Endpoints:
    def __init__(self, server: JobsServer, over: asyncio.Event) -> None:
        self._server, self._over = server, over

    @web.middleware
    async def misbehave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name, server = f"{request.method} {request.path}", self._server
        server.asked.append(name)
        server.tokens.append(given := request.headers.get("Authorization"))
        waiting = server.faults.get(name)
        fault = waiting.popleft() if waiting else None
        if fault == HANG:
            await self._over.wait()
        if fault in (HANG, DROP):
            return _hung_up(request)
        if isinstance(fault, int):
            return web.Response(status=fault, text="Traceback (most recent call last):\n  x\nOSError: broken")
        if isinstance(fault, str) and fault != LOSE:
            return web.Response(status=307, headers={"Location": fault})
        if given != f"Bearer {TOKEN}":
            return web.Response(status=403 if given else 401)
        answer = await handler(request)
        return _hung_up(request) if fault == LOSE else answer

    def _of(self, request: web.Request) -> dict[str, Any]:
        try:
            return self._server.jobs[request.match_info["id"]]
        except KeyError:
            raise web.HTTPNotFound(text="does not exist") from None

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"ray_version": version("ray")})

    async def package(self, request: web.Request) -> web.Response:
        name, packages = request.match_info["name"], self._server.packages
        if request.method == "PUT":
            packages[name] = await request.read()
        return web.Response(status=200 if name in packages else 404)

    async def submit(self, request: web.Request) -> web.Response:
        order = await request.json()
        name = order["submission_id"]
        if name in self._server.jobs:
            return web.Response(status=500, text=f"Job with submission_id {name} already exists.")
        self._server.add(name, "PENDING", **{key: order[key] for key in ("metadata", "entrypoint", "runtime_env")})
        return web.json_response({"job_id": name, "submission_id": name})

    async def job(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request))

    async def stop(self, request: web.Request) -> web.Response:
        self._of(request)["status"] = "STOPPED"
        return web.json_response({"stopped": True})

    async def log(self, request: web.Request) -> web.Response:
        self._of(request)
        return web.json_response({"logs": self._server.logs[request.match_info["id"]]})

    async def tail(self, request: web.Request) -> web.StreamResponse:
        self._of(request)
        name, server, connection = request.match_info["id"], self._server, web.WebSocketResponse()
        await connection.prepare(request)
        if server.logs[name]:
            await connection.send_str(server.logs[name])
        for act in server.acts.popleft() if server.acts else ():
            if act == HANG:
                # Until who listens has gone.
                while (await connection.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                    pass
            elif act == DROP:
                return _hung_up(request, connection)
            elif isinstance(act, str):
                server.logs[name] += act
                await connection.send_str(act)
            else:
                act()
        await connection.close()
        return connection


def _hung_up(request: web.Request, answer: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return answer or web.Response()
