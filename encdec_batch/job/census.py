"""Every marker of an output, looked at once: what a run must know of them, without holding them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from encdec_batch.commit.digest import OutputDigest
from encdec_batch.commit.marker import Marker
from encdec_batch.commit.packed import PackedMarkers
from encdec_batch.report.tables import StoredMarkers
from encdec_batch.store.object import ObjectInfo


class Census:
    """Filled while the markers pass through `noting`; complete when that has ended.

    Args:
        wanted: the outputs that every scene is to have.
    """

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)
        self._digest = OutputDigest()
        self.committed: dict[str, str] = {}
        """Scene id to the key of its marker."""
        self.whole: set[str] = set()
        """Scenes whose marker has all outputs that are wanted, of whatever key."""
        self.removed: set[str] = set()
        """Scenes whose marker has no outputs."""
        self.markers = PackedMarkers()
        self.in_table = False
        """The last table of scenes holds these very markers."""

    @property
    def digest(self) -> str:
        """Of the output."""
        return self._digest.hexdigest()

    def num_done(self, keys: Mapping[str, str]) -> int:
        """Scenes of these keys, by scene id, with all outputs."""
        return sum(keys.get(scene_id) == self.committed[scene_id] for scene_id in self.whole)

    def noting(self, found: Iterable[tuple[Marker, ObjectInfo]]) -> Iterator[tuple[Marker, ObjectInfo]]:
        """The same markers, noted as they pass."""
        for marker, info in found:
            self._note(marker)
            yield marker, info
        self.in_table = isinstance(found, StoredMarkers) and found.in_table

    def _note(self, marker: Marker) -> None:
        self._digest.add(marker)
        self.markers.append(marker)
        self.committed[marker.scene_id] = marker.scene_key
        if not marker.outputs:
            self.removed.add(marker.scene_id)
        if marker.outputs.keys() >= self._wanted:
            self.whole.add(marker.scene_id)
