"""Inputs of scenes that are committed, opened again: markers name them without what opens a signed link."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from encdec_batch.errors import EncdecError
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.open import look_up, open_scene
from encdec_batch.plan.private import names_of
from encdec_batch.plan.scene import SourceImage
from encdec_batch.privacy import PRIVATE_SCHEME
from encdec_batch.read.reader import Reader
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.object import ObjectInfo


class Inputs:
    """Of the scenes of one spec. Where a link may be signed, its source is read once, and what it says now is opened.

    Args:
        spec: of the run that made them, or of a later one. That a run left behind holds no signed links; a table that
            it names may.
    """

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self._links: dict[str, str] | None = None

    def open(self, images: Sequence[SourceImage]) -> AbstractContextManager[Reader]:
        """As `open_scene`.

        Args:
            images: as a marker has them.

        Raises:
            SpecError, StoreError: the source cannot be read.
        """
        return open_scene(self.spec, [replace(image, link=self._opened(image.uri)) for image in images])

    def look_up(self, uri: str) -> ObjectInfo:
        """As `plan.open.look_up`, of a marker's URI."""
        return look_up(self.spec, SourceImage(uri=uri, etag="", link=self._opened(uri)))

    def fault(self, uri: str, error: EncdecError) -> str:
        """Why an input could not be opened, and what to do where its link may have been signed.

        Args:
            uri: as a marker has it.
            error: that `open` or `look_up` raised.
        """
        said = error.message.removeprefix(f"{uri}: ")
        if not _is_of_web(uri):
            return said
        if self.spec.source.kind == "list":
            more = "if its link was signed: of a list no signature is kept; name such links in a table "
            return f"{said}; {more}(source.kind: table), which is read again, and run once: nothing is done again"
        if self._opened(uri) != uri:
            return f"{said}; its link is signed: sign those of {self.spec.source.uri} anew"
        return said

    def _opened(self, uri: str) -> str:
        private = uri.startswith(PRIVATE_SCHEME)
        if not private and not _is_of_web(uri):
            return uri
        if self._links is None:
            found = find_scenes(self.spec.source).candidates
            names = names_of(self.spec.privacy) if private else None
            self._links = {names.uri(one.uri) if names else one.uri: one.opened for one in found}
        return self._links.get(uri, uri)


def _is_of_web(uri: str) -> bool:
    return uri.lower().startswith(("http://", "https://"))
