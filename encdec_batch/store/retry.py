"""The one retry policy of all stores. Clients below us are set to a single attempt."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_before_delay, wait_exponential, wait_random

from encdec_batch.errors import TransientStoreError

T = TypeVar("T")

SLOWEST_BYTES_PER_S = 256 * 1024
"""A transfer slower than this is cut and counts as failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter, bounded in total time."""

    total_s: float = 120.0
    """No new attempt begins later than this after the first."""
    first_wait_s: float = 0.2
    max_wait_s: float = 10.0
    connect_timeout_s: float = 5.0
    attempt_s: float = 60.0
    """Longest time of one request without its body; also how long a socket may be silent."""

    def body_s(self, size: int) -> float:
        """Longest time for a request whose body has `size` bytes."""
        return self.attempt_s + size / SLOWEST_BYTES_PER_S

    def shortened(self, total_s: float) -> Self:
        """The same policy with at most `total_s` in all: for first contact, where a user waits."""
        return replace(self, total_s=min(self.total_s, total_s))

    def run(self, attempt: Callable[[], T], *, unless: Callable[[BaseException], bool] | None = None) -> T:
        """Calls until it succeeds or the time is up; then its last error is raised as it is.

        Args:
            attempt: idempotent; raises TransientStoreError where another attempt may help.
            unless: true for an error that must not be retried although it is transient.
        """
        began = time.monotonic()
        try:
            return attempt()  # nearly always all: what follows takes longer to set up than a small file to read
        except TransientStoreError as error:
            first = [error]

        def again() -> T:
            if first:
                raise first.pop()
            return attempt()

        return Retrying(**self._arguments(unless, spent_s=time.monotonic() - began))(again)

    async def run_async(
        self, attempt: Callable[[], Awaitable[T]], *, unless: Callable[[BaseException], bool] | None = None
    ) -> T:
        """`run` for a coroutine function."""

        async def awaited() -> T:
            # tenacity awaits only what it can see to be a coroutine function; a lambda is none.
            return await attempt()

        return await AsyncRetrying(**self._arguments(unless))(awaited)

    def _arguments(self, unless: Callable[[BaseException], bool] | None, *, spent_s: float = 0.0) -> dict[str, Any]:
        def again(error: BaseException) -> bool:
            return isinstance(error, TransientStoreError) and not (unless is not None and unless(error))

        return {
            "retry": retry_if_exception(again),
            "stop": stop_before_delay(max(self.total_s - spent_s, 0.0)),
            "wait": wait_exponential(multiplier=self.first_wait_s, max=self.max_wait_s)
            + wait_random(0, self.first_wait_s),
            "reraise": True,
        }
