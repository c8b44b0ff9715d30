"""Libraries that are imported for the first object that needs them, one thread at a time.

nibabel imports pydicom. A thread within pydicom's own import waits for a module that another asked for first, which
waits for pydicom; Python then lets one of them go on with what is half made, and an object is set aside for an
ImportError.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

_lock = threading.RLock()


def imported(name: str) -> ModuleType:
    """The module.

    Raises:
        ImportError: it is not there.
    """
    with _lock:
        return importlib.import_module(name)
