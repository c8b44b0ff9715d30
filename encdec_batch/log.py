"""Logging, set up once: by the command line, and by `main` of each process that a run starts beside it. Libraries only
get loggers. What workers of Ray log goes where Ray has its logs.

A machine reads JSON lines. On a terminal, between the lines of a command, an event is a sentence.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}

SENTENCES = {
    "alone.died": "{scene}: block {block} ended its own process in the stage {stage}: {how}",
    "attempts.not_read": "the count of deaths in {object} cannot be read, and begins anew",
    "attempts.not_written": "a death could not be counted in {object}: {reason}",
    "contents.not_read": "{path}, what was seen in the source's objects, is not used: {reason}",
    "header.slow": "the header of {uri} has been read for minutes",
    "lease.ahead": "the time of lease {lease} is {seconds} s ahead of the store's: it is watched for a while",
    "lease.lost": "the lease was lost: {reason}",
    "lease.not_renewed": "the lease could not be renewed, and is tried again: {reason}",
    "night.archive_failed": "the archive could not be run, and the next night tries again: {error}",
    "night.retention_failed": "what is old could not be deleted, and the next night tries again: {error}",
    "plan.segment_not_read": "{path} of an earlier plan is not used: {reason}",
    "predict.batch_halved": "the device's memory is too small, from block {block} on it has batches of {batch}",
    "publish.precision_left_out": "the package promises nothing in {precision} on {device}",
    "report.events_unreadable": "{object} cannot be read, and the report is without it: {reason}",
    "report.not_renewed": "the page could not be made anew: {error}",
    "run.waits": "waiting: {reason}",
    "small.died": "a process for small scenes died (exit code {exit_code}) at {scenes}",
    "small.given_up": "processes for small scenes are given up: {reason}; {hint}",
    "train.checkpoint_unusable": "the checkpoint of step {step} is not used: {error}",
    "train.mlflow_refused": "MLflow refuses points of the curve, which stand in the training's folder too: {error}",
    "train.passed_over": "{note}",
    "train.progress_not_written": "how far the training is could not be written: {error}",
    "train.set_aside": "files set aside: {files}, learned from: {used}; the first: {first}",
    "train.waiting_for_room": "waiting for {cpus_wanted:g} CPUs, the cluster has {cpus:g} and may grow",
    "train.workers_started_again": "workers died and were started again, after {after}",
    "upload.not_aborted": "what was uploaded of {object} is left, and the next run drops it: {reason}",
    "witness.gone": "the process that would tell of this one's death is gone",
}
"""Of warnings, by event: what a person is told, of the fields given as `extra`."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Sentences(logging.Formatter):
    """`warning: ...`, as commands say their errors; an event without a sentence is said with its fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields, event = _fields(record), record.getMessage()
        said = ", ".join(f"{key} {value}" for key, value in fields.items())
        sentence = SENTENCES[event].format(**fields) if event in SENTENCES else f"{event}, {said}".rstrip(", ")
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{record.levelname.lower()}: {' '.join(sentence.split())}{trace}"


class _Stderr(logging.StreamHandler[TextIO]):
    """Whatever `sys.stderr` is when something is said: while a progress line is shown it writes above that line."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # as logging's own handler of last resort does
        return sys.stderr


def set_up(*, verbose: bool) -> None:
    """Our own events to stderr: warnings, or everything that an operator counts."""
    handler = _Stderr()
    handler.setFormatter(Sentences() if sys.stderr.isatty() else JsonLines())
    ours = logging.getLogger("encdec_batch")
    ours.handlers = [handler]
    ours.setLevel(logging.INFO if verbose else logging.WARNING)
    ours.propagate = False


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    # Ray puts fields of its own, with an underscore in front, into every record.
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
