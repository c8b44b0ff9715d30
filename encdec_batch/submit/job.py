"""A job as a cluster tells of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

OUTPUT, DIGEST = "encdec_batch.output", "encdec_batch.digest"
"""Keys of a job's metadata."""
_OVER = ("succeeded", "failed", "stopped")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a cluster knows of a job."""

    submission_id: str
    state: str
    """pending, running, succeeded, failed or stopped."""
    message: str = ""
    """Of Ray: what it waits for, or the end of the log of one that failed."""
    error_type: str = ""
    driver_exit_code: int | None = None
    started: float | None = None
    """Seconds since the epoch, of its submission."""
    ended: float | None = None
    output: str = ""
    """URI; empty for a job that was not submitted by us."""
    digest: str = ""
    """Of what was sent for it."""

    @classmethod
    def of(cls, submission_id: str, said: Mapping[str, Any]) -> Self:
        """From the dashboard's JSON."""
        metadata = said.get("metadata") or {}
        return cls(
            submission_id=submission_id,
            state=str(said["status"]).lower(),
            message=said.get("message") or "",
            error_type=said.get("error_type") or "",
            driver_exit_code=said.get("driver_exit_code"),
            started=_seconds(said.get("start_time")),
            ended=_seconds(said.get("end_time")),
            output=metadata.get(OUTPUT, ""),
            digest=metadata.get(DIGEST, ""),
        )

    @property
    def is_over(self) -> bool:
        return self.state in _OVER

    @property
    def reason(self) -> str:
        """Why it failed, or what it waits for; one line."""
        if self.state == "pending":
            return " ".join(self.message.split()).removeprefix("Job has not started yet.").strip()
        return self._failure() if self.state == "failed" else ""

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        shown = ("submission_id", "state", "started", "ended", "output", "reason")
        return {name: getattr(self, name) for name in shown}

    def _failure(self) -> str:
        text = self.message
        errors = re.findall(r"^error: (.*)$", text, re.MULTILINE)
        if errors:
            return str(errors[-1])
        if "No module named 'encdec_batch'" in text or "No module named encdec_batch" in text:
            return "the nodes have no encdec-batch; leave --wheel none out, or give them an image that has it"
        if "No module named" in text or "python: not found" in text or "python: command not found" in text:
            return f"the nodes' python is not that of an image of ours: {' '.join(text.split())[-200:]}"
        return " ".join(f"{self.error_type} {text}".split())[-400:]


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
