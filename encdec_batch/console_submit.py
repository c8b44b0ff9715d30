"""What a person sees of what is sent to a cluster, and of a job there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from encdec_batch.report.page import format_bytes, format_duration

if TYPE_CHECKING:
    from encdec_batch.submit.job import Job
    from encdec_batch.submit.parcel import Parcel

_SHOWN = 5


def parcel_lines(parcel: Parcel, submission_id: str) -> Iterator[str]:
    """What is sent, what the cluster is told beside, and what stays here."""
    yield f"id           {submission_id}"
    yield f"entrypoint   {parcel.entrypoint}"
    yield f"environment  {json.dumps(dict(parcel.environment))}"
    yield f"metadata     {json.dumps(dict(parcel.metadata))}"
    number, size = len(parcel.files), format_bytes(len(parcel.folder))
    yield f"to be sent   {number} file{'' if number == 1 else 's'}, {size} as a zip: {', '.join(_parts(parcel))}"
    if parcel.left_out:
        yield f"left out     {left_out(parcel)}"
    yield "nothing was sent, and no cluster was asked; -v lists every file"


def left_out(parcel: Parcel) -> str:
    """Files beside those of the package that stay here; some by name."""
    number = len(parcel.left_out)
    some = ", ".join(parcel.left_out[:_SHOWN]) + (", ..." if number > _SHOWN else "")
    return f"{number} file{'' if number == 1 else 's'} that neither git nor an installation lists: {some}"


def file_lines(parcel: Parcel) -> Iterator[str]:
    """Every file that is sent, by size, and what stays here."""
    yield from (f"{len(data):>12,} {name}" for name, data in parcel.files.items())
    yield from (f"{'left out':>12} {name}" for name in parcel.left_out)


def _parts(parcel: Parcel) -> Iterator[str]:
    """`spec.yaml (512 B)`, `model (3 files, 1.2 MiB)`."""
    folders: dict[str, list[int]] = {}
    for name, data in parcel.files.items():
        folders.setdefault(name.partition("/")[0], []).append(len(data))
    for folder, sizes in folders.items():
        many = "" if folder in parcel.files else f"{len(sizes)} files, "
        yield f"{folder} ({many}{format_bytes(sum(sizes))})"


def silent_line(job: Job, now: float) -> str:
    """Of a job that has no log."""
    ago = f", submitted {format_duration(now - job.started)} ago" if job.started else ""
    if job.is_over:
        return f"{job.submission_id}: {job.state}, and left no log{': ' if job.reason else ''}{job.reason}"
    if job.state == "pending":
        return f"{job.submission_id}: not begun yet{ago}{': ' if job.reason else ''}{job.reason}"
    return f"{job.submission_id}: {job.state}{ago}, and has said nothing yet"


def job_lines(job: Job, now: float) -> Iterator[str]:
    began = f", {format_duration(now - job.started)} ago" if job.started and not job.ended else ""
    took = f" after {format_duration(job.ended - job.started)}" if job.started and job.ended else began
    yield f"{job.submission_id}: {job.state}{took}"
    if job.reason:
        yield f"reason  {job.reason}"
    if job.output:
        yield f"output  {job.output} (`encdec-batch status {job.output}` says how far it is)"
