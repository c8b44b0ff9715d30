"""How this package uses pydicom, and what decodes pixels for it.

What pydicom says of a file, in errors, warnings and its log, quotes the file, and persons are named there: none of it
is passed on. Messages of ours say where, and numbers.
"""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydicom.errors import BytesLengthException, InvalidDicomError

from encdec_batch.errors import EncdecError, SceneUnreadable, UnsupportedScene
from encdec_batch.read.memory import memory_limit
from encdec_batch.read.ranges import PinnedObject

T = TypeVar("T")

logging.getLogger("pydicom").propagate = False
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
# Here, once: catch_warnings around each file is not thread-safe.
warnings.filterwarnings("ignore", module="pydicom")

MALFORMED: tuple[type[Exception], ...] = (
    InvalidDicomError,
    BytesLengthException,
    struct.error,
    zlib.error,
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    OSError,
    EOFError,
    RuntimeError,  # every error of imagecodecs, NotImplementedError and RecursionError
    AssertionError,
    MemoryError,
    Warning,  # where they are errors
)
"""What pydicom and imagecodecs raise over bytes that are no proper image."""

DAMAGED_HINT = "the file is damaged or truncated; fetch it anew"


def guarded(source: PinnedObject, what: str, call: Callable[[], T]) -> T:
    """The result of `call`, made within the process's limit of memory.

    Args:
        source: that it reads.
        what: the whole of what a message says if it fails, after the object's name.
        call: what may raise any of `MALFORMED`.

    Raises:
        SceneUnreadable: it did, over the bytes.
        UnsupportedScene: it takes more memory than it may.
        SceneChanged, TransientStoreError: the store failed meanwhile.
    """
    limit = source.limits.max_growth_bytes
    limited = False
    try:
        with memory_limit(limit) as limited:
            result = call()
    except EncdecError:
        raise
    except MALFORMED as error:
        if isinstance(error, MemoryError) and limited:
            raise UnsupportedScene(
                f"{source.uri}: {what}: it takes more than {limit:,} bytes",
                hint="raise limits.decoder_gib, if the scene is what it should be",
                uri=source.uri,
            ) from None
        if isinstance(error, MemoryError):
            raise  # the limits admitted it: the machine's, not the file's
        _raise_failure(source)
        raise damaged(source.uri, what) from None
    _raise_failure(source)
    return result


@contextmanager
def unquoted(what: str, *, hint: str) -> Iterator[None]:
    """Around what is made of headers that were read before.

    Args:
        what: the whole of what a message says if it fails, before the class of the error.
        hint: what to do then.

    Raises:
        UnsupportedScene: any of `MALFORMED` was raised, but for a lack of memory.
    """
    try:
        yield
    except (EncdecError, MemoryError):
        raise
    except MALFORMED as error:
        raise UnsupportedScene(f"{what}: {type(error).__name__}", hint=hint) from None


def damaged(uri: str, what: str) -> SceneUnreadable:
    """The error for an object of which this is wrong."""
    return SceneUnreadable(f"{uri}: {what}", hint=DAMAGED_HINT, uri=uri)


def _raise_failure(source: PinnedObject) -> None:
    failure, source.failure = source.failure, None
    if failure is not None:
        raise failure
