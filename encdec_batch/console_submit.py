"""What a person sees of what is sent to a cluster, and of a job there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from encdec_batch.report.page import format_bytes, format_duration

if TYPE_CHECKING:
    from encdec_batch.submit.job import Job
    from encdec_batch.submit.parcel import Parcel


def parcel_lines(parcel: Parcel, submission_id: str) -> Iterator[str]:
    """Every file that is sent, by size, what is said beside, and what stays here."""
    yield f"id           {submission_id}"
    yield f"entrypoint   {parcel.entrypoint}"
    yield f"environment  {json.dumps(dict(parcel.environment))}"
    yield f"metadata     {json.dumps(dict(parcel.metadata))}"
    yield from (f"{len(data):>12,} {name}" for name, data in parcel.files.items())
    yield from (f"{'left out':>12} {name}" for name in parcel.left_out)
    yield f"{len(parcel.files)} files, {format_bytes(len(parcel.folder))} to be sent"


def job_lines(job: Job, now: float) -> Iterator[str]:
    began = f", {format_duration(now - job.started)} ago" if job.started and not job.ended else ""
    took = f" after {format_duration(job.ended - job.started)}" if job.started and job.ended else began
    yield f"{job.submission_id}: {job.state}{took}"
    if job.reason:
        yield f"reason  {job.reason}"
    if job.output:
        yield f"output  {job.output} (`encdec-batch status {job.output}` says how far it is)"
