"""A process that is stopped at one of its requests, and goes on when told."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from proxy import Answer, Forward, Request

Sent = Literal["sent", "held"]


@dataclass(slots=True)
class Stop:
    """Stops a process with SIGSTOP at one of its requests.

    `sent`: the request is carried out, and its answer waits until the process goes on. `held`: it is under way until
    then, and carried out afterwards.
    """

    number: int
    sent: Sent
    pid: Future[int] = field(default_factory=Future)
    stopped: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)
    at: Request | None = None

    def __call__(self, request: Request, forward: Forward) -> Answer | None:
        if request.number != self.number:
            return forward()
        self.at = request
        answer = forward() if self.sent == "sent" else None
        os.kill(self.pid.result(), signal.SIGSTOP)
        self.stopped.set()
        self.goes_on.wait()
        return answer or forward()

    def go_on(self) -> None:
        os.kill(self.pid.result(), signal.SIGCONT)
        self.goes_on.set()
