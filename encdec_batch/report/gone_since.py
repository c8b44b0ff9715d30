"""Since when inputs are gone, for tables and catalogue: as the last table of scenes says it, or as a run finds its
source (`job/gone_inputs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from encdec_batch.commit.marker import Marker
from encdec_batch.report.tables import gone_scenes
from encdec_batch.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Of every scene of an output.

    Markers say nothing of it: an input that comes back must not have changed them.
    """

    since: Mapping[str, datetime]
    """By scene id, as it was known before."""
    now: datetime
    is_gone: Callable[[Marker], bool] | None = None
    """None: nobody has looked; what was known before holds."""

    def date_of(self, marker: Marker) -> datetime | None:
        """Since when the input of a scene is known to be gone; None: it is there, or the scene was removed."""
        if not marker.outputs:
            return None
        before = self.since.get(marker.scene_id)
        if self.is_gone is None:
            return before
        return (before or self.now) if self.is_gone(marker) else None


def gone_before(store: Store) -> Gone:
    """What the last table says."""
    return Gone(since=gone_scenes(store), now=datetime.fromtimestamp(int(store.now()), UTC))
