"""What was found out of the last objects, for other readers of the same: each of their frames is a scene of its own."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from encdec_batch.read.ranges import PinnedObject

T = TypeVar("T")


class Recent(Generic[T]):
    """Values by version of an object and limits, the last few that were asked for. Thread-safe.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, source: PinnedObject, load: Callable[[], T]) -> T:
        """The value of this object, which nobody changes; what `load` raises comes out of here."""
        key = (source.uri, source.etag, source.size, source.limits)
        with self._lock:
            found = self._values.get(key)
        if found is None:
            # Outside the lock: two may load the same, and nobody waits for a slow object.
            found = load()
        with self._lock:
            self._values[key] = found
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return found
