"""What is too dear to be had once for every reader: one thing of its kind, shared by all readers of a process."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[str, ...]


class Kept(Generic[T]):
    """The thing that was loaded last, and those that a reader still holds. Thread-safe; one is loaded at a time.

    A thing is of a class that takes weak references, and nobody changes it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alive: weakref.WeakValueDictionary[Key, T] = weakref.WeakValueDictionary()
        self._last: T | None = None

    def find(self, key: Key) -> T | None:
        """It, where somebody has it; waits for nobody."""
        return self._alive.get(key)

    def get(self, key: Key, load: Callable[[], T]) -> T:
        """It, loaded if nobody has it. What `load` raises comes out of here."""
        with self._lock:
            found = self._alive.get(key)
            if found is None:
                # Before, so that two are not in memory while the second comes.
                self._last = None
                found = load()
                self._alive[key] = found
            self._last = found
            return found
