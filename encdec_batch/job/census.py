"""Every marker of an output, looked at once: what a run must know of them, without holding them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from encdec_batch.commit.digest import OutputDigest
from encdec_batch.commit.marker import Marker
from encdec_batch.commit.packed import PackedMarkers
from encdec_batch.store.object import ObjectInfo


class Census:
    """Filled while the markers pass through `noting`; complete when that has ended.

    Args:
        keys: scene id to scene key, as they are wanted.
        wanted: the outputs that every scene is to have.
    """

    def __init__(self, keys: Mapping[str, str], wanted: frozenset[str]) -> None:
        self._keys, self._wanted = keys, wanted
        self._digest = OutputDigest()
        self.committed: dict[str, str] = {}
        """Scene id to the key of its marker."""
        self.whole: set[str] = set()
        """Scenes whose marker has all outputs that are wanted, of whatever key."""
        self.markers = PackedMarkers()
        self.num_done = 0
        """Of the wanted key, with all outputs."""

    @property
    def digest(self) -> str:
        """Of the output."""
        return self._digest.hexdigest()

    def noting(self, found: Iterable[tuple[Marker, ObjectInfo]]) -> Iterator[tuple[Marker, ObjectInfo]]:
        """The same markers, noted as they pass."""
        for marker, info in found:
            self._note(marker)
            yield marker, info

    def _note(self, marker: Marker) -> None:
        self._digest.add(marker)
        self.markers.append(marker)
        self.committed[marker.scene_id] = marker.scene_key
        if marker.outputs.keys() >= self._wanted:
            self.whole.add(marker.scene_id)
            self.num_done += self._keys.get(marker.scene_id) == marker.scene_key
