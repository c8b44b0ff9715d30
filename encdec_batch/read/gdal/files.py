"""The one folder in which GDAL sees our objects, each under a name that is ours.

rasterio would make a folder for each `opener`, and remove it with the dataset. GDAL keeps its folders in a map without
a lock, which every other thread looks into when it opens anything: of some ten thousand openings by 16 threads one
killed the process. So there is one folder, made when this module is imported, for as long as the process lives.
"""

from __future__ import annotations

import contextvars
from uuid import uuid4

from rasterio._vsiopener import _opener_registration

from encdec_batch.read.gdal.settings import rasterio as _registered  # noqa: F401  (its settings come first)
from encdec_batch.read.ranges import PinnedObject, View

_objects: dict[str, PinnedObject] = {}


def _opener(path: str, *_: object, **__: object) -> View:
    # Any other name is a sidecar of GDAL's, or comes out of a file.
    if path not in _objects:
        raise FileNotFoundError(path)
    return View(_objects[path])


# rasterio keeps its openers and their open files in context variables: a dataset that is opened in one thread and read
# in another has none there, and the process dies of a segmentation fault. So each dataset has a context of its own, a
# copy of this one, in which the folder is known.
_context = contextvars.Context()
_folder = _opener_registration("scene", _opener)
_PREFIX: str = _context.run(_folder.__enter__).removesuffix("scene")


def new_context() -> contextvars.Context:
    """A context in which the folder is known, and no file of it is open."""
    return _context.copy()


def show_to_gdal(source: PinnedObject) -> str:
    """The name under which GDAL sees the object from now on; no file can have guessed it for another."""
    name = f"scene-{uuid4().hex}"
    _objects[name] = source
    return name


def hide_from_gdal(name: str) -> None:
    """GDAL sees it no more."""
    _objects.pop(name, None)


def gdal_path(name: str) -> str:
    """What GDAL is told to open."""
    return f"{_PREFIX}{name}"
