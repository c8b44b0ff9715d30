"""Requests to S3 through s3fs: one client a process and set of options, one retry policy, one mapping of errors."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from encdec_batch.errors import SpecError, StoreError, TransientStoreError
from encdec_batch.store.retry import RetryPolicy
from encdec_batch.store.s3_errors import s3_error
from encdec_batch.store.secrets import Options, redacted, resolved_options, secret_values

T = TypeVar("T")

OPTION_NAMES = frozenset({
    "anon", "key", "secret", "token", "profile", "endpoint_url", "region", "use_ssl", "verify", "addressing_style",
    "requester_pays",
})  # fmt: skip

MAX_CONNECTIONS = 32

# By process too: what a fork inherits must be neither used nor closed in the child, so it stays here.
_connections: dict[tuple[int, str], Any] = {}


class S3Client:
    """Calls by boto's names, blocking. Shared by threads; made anew in every process."""

    def __init__(self, options: Options, policy: RetryPolicy) -> None:
        unknown = sorted(set(options) - OPTION_NAMES)
        if unknown:
            raise SpecError(
                f"storage option {unknown[0]!r} is not known for s3",
                hint=f"known are {', '.join(sorted(OPTION_NAMES))}",
            )
        self.options = dict(options)
        self.policy = policy

    @property
    def filesystem(self) -> Any:
        """This process's s3fs file system; no request is made here."""
        resolved = resolved_options(self.options)
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        told = json.dumps([resolved, environment, vars_of(self.policy)], sort_keys=True)
        key = (os.getpid(), hashlib.sha256(told.encode()).hexdigest())
        if key not in _connections:
            # Two threads may both make one: the first that is kept is used by all, the other never connects.
            _connections.setdefault(key, _connect(resolved, self.policy))
        return _connections[key]

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on s3fs's own event loop, from any other thread."""
        from fsspec.asyn import sync

        async def awaited() -> T:
            return await coroutine

        try:
            loop = self.filesystem.loop
        except BaseException:
            coroutine.close()
            raise
        result: T = sync(loop, awaited)
        return result

    def call(self, method: str, *, where: str, **arguments: Any) -> dict[str, Any]:
        """`request`, blocking."""
        return self.run(self.request(method, where=where, **arguments))

    def call_conditional(
        self, method: str, *, where: str, retry_unknown: bool = True, **arguments: Any
    ) -> dict[str, Any]:
        """`call` for a request that must not be carried out twice.

        Any error raised says in `context["outcome_unknown"]` whether this request, or an earlier one whose answer
        was lost, may have been carried out. With `retry_unknown` false, no attempt follows a lost answer.
        """
        lost = False

        async def attempt() -> dict[str, Any]:
            nonlocal lost
            try:
                return await self.attempt(method, where=where, **arguments)
            except StoreError as error:
                lost = lost or bool(error.context.get("outcome_unknown"))
                error.context["outcome_unknown"] = lost
                raise

        def is_final(_: BaseException) -> bool:
            return lost and not retry_unknown

        return self.run(self.policy.run_async(attempt, unless=is_final))

    async def request(self, method: str, *, where: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one request, repeated under the policy."""
        return await self.policy.run_async(lambda: self.attempt(method, where=where, **arguments))

    async def attempt(self, method: str, *, where: str, **arguments: Any) -> dict[str, Any]:
        """The answer to one request sent once; a body is read and stands under "Body" as bytes.

        Raises:
            StoreError: as `s3_error` maps it; a body that is shorter than announced is transient.
        """
        sent = len(arguments.get("Body", b""))
        try:
            answer = await asyncio.wait_for(self._send(method, arguments), self.policy.body_s(sent))
            if method == "get_object":
                expected = int(answer["ContentLength"])
                answer["Body"] = await asyncio.wait_for(_body(answer["Body"]), self.policy.body_s(expected))
                if len(answer["Body"]) != expected:
                    raise TransientStoreError(f"{where}: got {len(answer['Body'])} of {expected} bytes")
        except Exception as error:
            if isinstance(error, SpecError):
                raise
            raise self._clean(s3_error(error, where)) from error
        return answer

    async def _send(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await self.filesystem._call_s3(method, **arguments)  # noqa: SLF001
        return answer

    def _clean(self, error: StoreError) -> StoreError:
        secrets = secret_values(self.options)
        error.message, error.hint = redacted(error.message, secrets), redacted(error.hint, secrets)
        error.args = (error.message,)
        return error


def vars_of(policy: RetryPolicy) -> list[float]:
    """What of a policy is built into a connection."""
    return [policy.connect_timeout_s, policy.attempt_s]


async def _body(stream: Any) -> bytes:
    async with stream as open_stream:
        content: bytes = await open_stream.read()
        return content


def _connect(options: dict[str, str | int | float | bool], policy: RetryPolicy) -> Any:
    """An s3fs file system that tries each request once and caches no listing."""
    import s3fs

    names = {"region": "region_name", "verify": "verify"}
    client = {boto_name: options[name] for name, boto_name in names.items() if name in options}
    direct = ("anon", "key", "secret", "token", "profile", "endpoint_url", "use_ssl", "requester_pays")
    config: dict[str, Any] = {
        "connect_timeout": policy.connect_timeout_s,
        "read_timeout": policy.attempt_s,
        "max_pool_connections": MAX_CONNECTIONS,
        "retries": {"total_max_attempts": 1, "mode": "standard"},
        "http_session_cls": _single_attempt_session(),
        # Checksums in trailers are not understood by every server; Content-MD5 (which we send) is.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if "addressing_style" in options:
        config["s3"] = {"addressing_style": options["addressing_style"]}
    filesystem = s3fs.S3FileSystem(
        **{name: options[name] for name in direct if name in options},
        client_kwargs=client,
        config_kwargs=config,
        use_listings_cache=False,
        # fsspec's own cache of instances would keep the secrets of others' settings alive, and mix retries.
        skip_instance_cache=True,
    )
    filesystem.retries = 1
    return filesystem


def _single_attempt_session() -> type[Any]:
    """Aiobotocore's HTTP session without aiohttp's own, silent repetition of GET and PUT after a disconnection.

    It would send a conditional PUT a second time, whose 412 then says nothing about the first.
    """
    from aiobotocore.httpsession import AIOHTTPSession

    class SingleAttemptSession(AIOHTTPSession):  # type: ignore[misc]
        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            if getattr(session, "_retry_connection", False):
                session._retry_connection = False  # noqa: SLF001 - no public switch; a test counts requests
            return session

    return SingleAttemptSession
