"""Whether an output and its source lie in each other, whatever they are called."""

from __future__ import annotations

import os
from pathlib import Path

from encdec_batch.errors import SpecError
from encdec_batch.plan.trust import LOCAL, is_below, scheme_of
from encdec_batch.spec.output import OutputSpec
from encdec_batch.spec.source import GlobSource, PrefixSource

OWN_FOLDERS = ("scenes", "markers", "report", "stac", ".encdec")
"""Of an output: docs/format.md."""


def check_apart(source: PrefixSource | GlobSource, output: OutputSpec) -> None:
    """Refuses a source that the next run would find results in.

    Raises:
        SpecError: the output lies below the source, or the source in a folder that the output writes.
    """
    if source.storage.get("endpoint_url") != output.storage.get("endpoint_url"):
        return  # another store, whose buckets may have the same names
    if lies_in(output.uri, source.uri):
        raise SpecError(
            f"the output {output.uri} lies below the source {source.uri}: the next run would take its masks for scenes",
            hint="write beside the source, not into it",
        )
    for name in OWN_FOLDERS:
        folder = f"{output.uri.rstrip('/')}/{name}"
        if lies_in(source.uri, folder):
            raise SpecError(
                f"the source {source.uri} lies in {folder}, where the output writes: the next run would take its masks "
                "for scenes",
                hint="name another output, or copy the scenes elsewhere",
            )


def lies_in(uri: str, folder: str) -> bool:
    """Whether a URI is a folder or lies in it: by its text in a store, by what is on the disk for local paths."""
    if scheme_of(uri) != LOCAL or scheme_of(folder) != LOCAL:
        return is_below(uri.rstrip("/"), folder)
    inner, outer = Path(os.path.realpath(_path(uri))), Path(os.path.realpath(_path(folder)))
    return any(above == outer or _is_same(above, outer) for above in (inner, *inner.parents))


def _is_same(one: Path, two: Path) -> bool:
    """By what the system says: names that differ in case, or of two mounts, may be one folder."""
    try:
        return one.samefile(two)
    except OSError:
        return False


def _path(uri: str) -> str:
    return uri.partition("://")[2] if "://" in uri else uri
