"""The tree of exceptions. Callers branch on class and attributes, never on text.

EncdecError
├── SpecError                what the user asked for is wrong (exit code 2)
├── SceneError               one scene cannot be done: quarantine, the rest goes on
│   ├── SceneUnreadable      not an image, truncated, missing
│   │   ├── SceneForbidden   the credentials may not read it
│   │   └── HeaderTooLarge   more bytes to learn where its pixels lie than were allowed
│   ├── SceneChanged         the object was replaced while it was read
│   └── UnsupportedScene     readable, but not by this card or within these limits
│       └── ExtraMissing     readable, once what reads it is installed
├── WindowError              integer geometry that cannot be
├── ModelError               a model package cannot be used
│   ├── CardError            the card is wrong, or does not fit
│   └── DigestMismatch       bytes are not those the card names
├── StoreError               a store did not do what was asked
│   ├── TransientStoreError  may succeed later: not a property of the scene
│   ├── PermanentStoreError  will not succeed by waiting
│   │   ├── ObjectMissing    404
│   │   ├── ObjectForbidden  401, 403
│   │   └── ObjectRefused    the spec does not trust who named it
│   ├── CredentialsExpired   ends the run: no object will be had until they are renewed
│   └── PreconditionFailed   412: the object is not the one that was named
├── OutOfMemory              of the device or the machine
├── TrainingError            a training cannot begin or go on
│   ├── LossNotFinite        NaN or infinity; `context["names"]` has the samples it came from
│   └── CheckpointError      what lies there is damaged or of another training
├── SubmitError              a cluster does not take a job, or does not say what became of it
│   └── ClusterSilent        no answer, or that of a head in trouble: asked again it may be another
├── WorkerLost               the process at one thing died, again and again; the others are done
├── RunStopped               scene after scene is condemned: the cause is probably not the data
└── CommitError              a scene could not be committed
    ├── CommitConflict       the marker is of another key or generation
    ├── PartMissing          parts are gone or damaged: their blocks run once more
    ├── CertificateFailed    what was written is not what other tiles give
    └── LeaseHeld            another run writes this output

Every message says what, where and what to do; `hint` holds the last of these apart so that a
table can show it in a column of its own.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from encdec_batch.uri import public_text


class EncdecError(Exception):
    """The root of all errors a user may see.

    Args:
        message: what is wrong, and where.
        hint: what to do about it, one sentence, may be empty.
        context: values a caller may branch on or a record may show (uri, scene_id, block, ...).
    """

    transient: ClassVar[bool] = False
    """No property of a scene that it befalls, but of that hour: the next run tries again by itself."""

    def __init__(self, message: str, *, hint: str = "", **context: Any) -> None:
        # Messages go into logs, records and pages, and the links in them may be signed.
        self.message = public_text(message)
        super().__init__(self.message)
        self.hint = hint
        self.context = context

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword arguments are lost by Exception's own pickling, and Ray sends errors across processes.
        return _rebuild, (type(self), self.message, self.hint, self.context)


def _rebuild(kind: type[EncdecError], message: str, hint: str, context: dict[str, Any]) -> EncdecError:
    return kind(message, hint=hint, **context)


class SpecError(EncdecError):
    """The spec or the command is wrong."""


class SceneError(EncdecError):
    """One scene cannot be processed; the others can."""


class SceneUnreadable(SceneError):
    """Not an image, truncated or missing."""


class SceneForbidden(SceneUnreadable):
    """The credentials may not read the scene: once they may, the next run does it."""

    transient = True


class HeaderTooLarge(SceneUnreadable):
    """A header that needs more bytes than were allowed: damaged, or of too many tiles."""


class SceneChanged(SceneError):
    """The object behind a scene was replaced while it was being read."""

    transient = True


class UnsupportedScene(SceneError):
    """A readable image that this card or these limits do not admit."""


class ExtraMissing(UnsupportedScene):
    """What reads it is not installed: once it is, the next run does it."""

    transient = True


class WindowError(EncdecError, ValueError):
    """Integer geometry that cannot be."""


class ModelError(EncdecError):
    """A model package cannot be used."""


class CardError(ModelError):
    """The card of a model package is wrong or does not fit its weights."""


class DigestMismatch(ModelError):
    """Bytes differ from the digest that names them."""


class OutOfMemory(EncdecError):
    """The device or the machine has no memory left for this block."""

    transient = True


class TrainingError(EncdecError):
    """A training cannot begin, or cannot go on."""


class LossNotFinite(TrainingError):
    """The loss or its gradient is NaN or infinite."""


class CheckpointError(TrainingError):
    """A checkpoint is damaged, or of another training than the one asked for."""


class SubmitError(EncdecError):
    """A cluster does not take a job, or does not say what became of it."""


class ClusterSilent(SubmitError):
    """No answer came from a cluster, or a head in trouble gave it: asked again it may be another."""


class WorkerLost(EncdecError):
    """The process that was at one thing died, and those that tried it again."""

    transient = True


class RunStopped(EncdecError):
    """So many scenes were condemned that the cause is probably not the data."""


class StoreError(EncdecError):
    """A store did not do what was asked."""

    transient = True


class TransientStoreError(StoreError):
    """The same request may succeed later."""


class PermanentStoreError(StoreError):
    """The same request will not succeed by waiting."""


class ObjectMissing(PermanentStoreError):
    """There is no object of this name."""


class ObjectForbidden(PermanentStoreError):
    """The credentials do not allow this."""


class ObjectRefused(PermanentStoreError):
    """The spec does not let whoever named this object lead there."""


class CredentialsExpired(StoreError):
    """What the store was given to know us by is no longer valid: neither waiting nor another object will help."""


class PreconditionFailed(StoreError):
    """The object is not the one named by its etag, or exists where none should."""


class CommitError(EncdecError):
    """A scene could not be committed."""


class CommitConflict(CommitError):
    """The marker of a scene is of another key than the one to be committed."""


class PartMissing(CommitError):
    """Parts of a scene are gone or damaged; `context["blocks"]` names them."""

    transient = True


class CertificateFailed(CommitError):
    """Windows of a scene, computed again on other tiles, are not what was written; its parts must not be used."""


class LeaseHeld(CommitError):
    """Another run holds the lease of this output."""


def together(*checks: Callable[[], Any]) -> tuple[Any, ...]:
    """What each of these gives. All are tried and what is wrong is said at once: whoever mends one thing is not to find
    the next only then.

    Raises:
        SpecError: that of one; of several, one with a line for each.
    """
    made, faults = list[Any](), list[SpecError]()
    for check in checks:
        try:
            made.append(check())
        except SpecError as error:
            # Two checks may find the same.
            if str(error) not in map(str, faults):
                faults.append(error)
    if len(faults) > 1:
        raise SpecError(f"{len(faults)} things are to be corrected:\n  " + "\n  ".join(map(str, faults)))
    for fault in faults:
        raise fault
    return tuple(made)


_NO_MEMORY = "can't allocate memory"
"""As torch's allocator for the CPU says it, in a RuntimeError."""


def unexpected(error: Exception, stage: str, *, private: bool = False) -> EncdecError:
    """An error that is none of ours, as one line: what, where in the code, and what to do.

    Args:
        error: somebody else's.
        stage: what was being done.
        private: its words are left out, as they may quote what nobody may read.
    """
    words = "" if private else " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _NO_MEMORY in str(error):
        return OutOfMemory(
            f"{stage} ran out of memory ({words[:120] or 'of the machine'})",
            hint="lower tiling.core, tiling.budget_gib or the number of workers; the next run tries again",
        )
    frames = traceback.extract_tb(error.__traceback__)
    said = f": {words[:300]}" if words else ""
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else stage
    return EncdecError(
        f"{stage} failed: {type(error).__name__}{said} ({where})",
        hint="this is not a known fault of the input: please report it with the scene",
    )
