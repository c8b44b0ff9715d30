"""What may be wrong with a store, as behaviours of a proxy."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from html import unescape
from urllib.parse import unquote

from proxy import Answer, Behaviour, Forward, Request, refusal

KINDS = ("500", "503", "reset", "lost answer", "cut body", "stall")


@dataclass(slots=True)
class Ailing:
    """Fails a share of all calls, each in one of the ways of `KINDS`, drawn by a seed."""

    seed: int
    rate: float = 0.1
    stall_s: float = 0.3
    kinds: Collection[str] = KINDS
    failed: Counter[str] = field(default_factory=Counter)
    """How many calls, by kind."""

    def __post_init__(self) -> None:
        self._draw, self._lock = random.Random(self.seed), threading.Lock()

    _draw: random.Random = field(init=False)
    _lock: threading.Lock = field(init=False)

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        with self._lock:
            kind = self._draw.choice(sorted(self.kinds)) if self._draw.random() < self.rate else ""
            self.failed[kind] += 1
        if kind == "500":
            return refusal(500, "InternalError")
        if kind == "503":
            return refusal(503, "SlowDown")
        if kind == "reset":
            return None
        if kind == "stall":
            time.sleep(self.stall_s)
        answer = forward()
        if kind == "lost answer":
            return None
        if kind == "cut body":
            # Of an answer without a body there is nothing to cut.
            return replace(answer, keep_bytes=len(answer.body) // 2) if answer.body else None
        return answer

    @property
    def num_failed(self) -> int:
        return sum(count for kind, count in self.failed.items() if kind)


@dataclass(slots=True)
class LateLists:
    """Listings that show an object only some seconds after it was written."""

    late_s: float
    then: Behaviour
    hidden: int = 0
    """How many entries were left out so far."""
    _written: dict[str, float] = field(default_factory=dict)

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        answer = self.then(request, forward)
        if request.method in ("PUT", "POST"):
            self._written[request.path.lstrip("/").partition("/")[2]] = time.monotonic()
        if answer is None or not request.lists:
            return answer
        return replace(answer, body=re.sub(rb"<Contents>.*?</Contents>", self._kept, answer.body, flags=re.DOTALL))

    def _kept(self, entry: re.Match[bytes]) -> bytes:
        [name] = re.findall(r"<Key>(.*?)</Key>", entry[0].decode())
        since_s = time.monotonic() - self._written.get(unquote(unescape(name)), float("-inf"))
        if since_s >= self.late_s:
            return entry[0]
        self.hidden += 1
        return b""


def refusing(answer: Answer | None, applies: Callable[[Request], bool]) -> Behaviour:
    """Gives this answer (None: hangs up) to the requests to which it applies, and does not carry them out."""
    return lambda request, forward: answer if applies(request) else forward()
