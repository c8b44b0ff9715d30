"""A job as a person asks for it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from encdec_batch.submit.follow import reason
from encdec_batch.submit.parcel import OUTPUT

if TYPE_CHECKING:
    from ray.job_submission import JobDetails


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a cluster knows of a job."""

    submission_id: str
    state: str
    """pending, running, succeeded, failed or stopped."""
    started: float | None
    """Seconds since the epoch, of its submission."""
    ended: float | None
    output: str
    """URI; empty for a job that was not submitted by us."""
    reason: str
    """Why it failed, or what it waits for."""

    @classmethod
    def of(cls, submission_id: str, info: JobDetails) -> Self:
        state = info.status.value.lower()
        why = {"failed": reason(info), "pending": " ".join((info.message or "").split())}
        return cls(
            submission_id=submission_id,
            state=state,
            started=_seconds(info.start_time),
            ended=_seconds(info.end_time),
            output=(info.metadata or {}).get(OUTPUT, ""),
            reason=why.get(state, ""),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
