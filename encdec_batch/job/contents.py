"""The scenes of a source as a job sees them: what is listed, and what lies in objects that hold several images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from encdec_batch.job.looking import Told, look_at, untold
from encdec_batch.plan.contents_memory import Key, read_contents, write_contents
from encdec_batch.plan.discover import find_scenes
from encdec_batch.plan.expand import Group, Seen, expand
from encdec_batch.plan.keys import canonical_json
from encdec_batch.plan.private import errors_veiled, is_private, names_of, veiled
from encdec_batch.plan.private_map import private_map
from encdec_batch.plan.public_spec import named_by
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.privacy import pseudonyms_of
from encdec_batch.read.contents import Contents
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a source names."""

    candidates: tuple[Candidate, ...]
    """Each with its id."""
    unnamed: tuple[SetAside, ...]
    """What cannot be a scene, or cannot have an id."""
    passed_over: Mapping[str, int]
    """Ending of a name to the number of objects that look like images and were not asked for."""
    groups: tuple[Group, ...] = ()
    """Which scenes are slices of one volume."""
    contents: Mapping[Key, Contents] | None = None
    """Of the objects that were looked into; None: nothing new was seen."""
    private: bool = False
    """Names are hidden: ids and URIs here are keyed hashes."""


def list_scenes(spec: JobSpec, store: Store, told: Told = untold, *, here: bool = True) -> Listing:
    """Lists the source, and looks into what may hold several images and is not known yet; writes nothing.

    Args:
        spec: of the job.
        store: the root of its output, where the memory of what was seen lies.
        told: hears how many objects were looked into, of how many.
        here: by threads of this process; else by the workers of a cluster, where the job runs on one.

    Raises:
        SpecError, StoreError: as `find_scenes`; or names are to be hidden, and there is no key.
    """
    with errors_veiled(spec.privacy, named_by(spec.source), "listing the source"):
        return _listed(spec, _Looking(spec, store, told, here=here))


def _listed(spec: JobSpec, looking: _Looking) -> Listing:
    found = find_scenes(spec.source)
    expanded = expand(found.candidates, spec.source, looking)
    expanded = replace(expanded, set_aside=(*found.unnamed, *expanded.set_aside))
    private = is_private(spec, found.candidates, is_medical=looking.found_medical)
    if private:
        expanded = veiled(expanded, names_of(spec.privacy), spec.source)
    return Listing(
        candidates=expanded.candidates,
        unnamed=expanded.set_aside,
        passed_over=found.passed_over,
        groups=expanded.groups,
        contents=looking.known if looking.num_opened else None,
        private=private,
    )


def remember(spec: JobSpec, store: Store, listing: Listing) -> None:
    """Keeps what was seen for the next run, if anything new was. Under the lease."""
    if listing.contents is not None:
        names = names_of(spec.privacy) if listing.private else None
        write_contents(store, _asked(spec), listing.contents, names, private_map(store, spec.privacy))


class _Looking:
    """A `Look` that remembers."""

    def __init__(self, spec: JobSpec, store: Store, told: Told, *, here: bool) -> None:
        self._spec, self._store, self._told, self._here = spec, store, told, here
        self.known: dict[Key, Contents] = {}
        self.num_opened = 0

    @property
    def found_medical(self) -> bool:
        return any(contents.medical for contents in self.known.values())

    def __call__(self, candidates: Sequence[Candidate]) -> list[Seen]:
        privacy = self._spec.privacy
        names = pseudonyms_of(privacy.key) if privacy.hide != "off" else None
        before = read_contents(self._store, _asked(self._spec), names, private_map(self._store, privacy))
        results = look_at(self._spec, before, candidates, self._told, here=self._here)
        for seen in results:
            if not isinstance(seen, SetAside):
                key = (seen[0].uri, seen[0].etag)
                self.known[key] = seen[1]
                self.num_opened += key not in before
        return results


def _asked(spec: JobSpec) -> str:
    """What decides what an object holds."""
    # Levels of a pyramid may have other numbers of slices.
    asked = {
        "axis": spec.source.axis,
        "um_per_px": spec.source.um_per_px,
        "limits": spec.limits.model_dump(mode="json"),
    }
    return canonical_json(asked).decode()
