"""When a run gives up: scene after scene is condemned, and the cause is probably not the data."""

from __future__ import annotations

from dataclasses import dataclass, field

from encdec_batch.errors import RunStopped
from encdec_batch.pipeline import Record
from encdec_batch.plan.scene import SetAside

IN_A_ROW = 10
FIRST = 1000
"""Scenes of a run that its share of condemned ones is taken of; later, only those in a row count."""
SHARE = 0.05
AT_LEAST = 20
"""Condemned among the first, whatever share of them that is."""
NOT_COUNTED = ("plan", "read", "statistics")
"""A file that cannot be read is the data's fault, however many there are."""


@dataclass(slots=True)
class Stop:
    """Counts scenes that this run condemned; told of every record, and of what was set aside by its header."""

    in_a_row: int = 0
    condemned: int = 0
    ended: set[str] = field(default_factory=set)
    """Ids of the scenes that were committed or condemned."""

    def note(self, record: Record) -> None:
        if record.replan:
            return  # once more, as it is now
        if record.trouble is None:
            # Not by a block: a scene whose commit will fail has well ones before.
            if record.committed:
                self.in_a_row = 0
                self.ended.add(record.scene_id)
            return
        self.note_aside(record.trouble)

    def note_aside(self, aside: SetAside) -> None:
        """A scene that this run sets aside."""
        counts = aside.died or aside.stage not in NOT_COUNTED
        if counts and not aside.transient and aside.scene_id not in self.ended:
            self.ended.add(aside.scene_id)
            self.in_a_row += 1
            self.condemned += 1

    def check(self) -> None:
        """Raises:
        RunStopped: it is to end here.
        """
        among_first = len(self.ended) <= FIRST and self.condemned >= max(AT_LEAST, SHARE * len(self.ended))
        if self.in_a_row >= IN_A_ROW or among_first:
            many = f"{self.in_a_row} in a row" if self.in_a_row >= IN_A_ROW else f"{self.condemned}"
            raise RunStopped(
                f"stopped: {many} of {len(self.ended)} scenes were condemned; the cause is probably not the data",
                hint="read their reasons, look at model, drivers and machines; when it is mended, "
                "`encdec-batch retry` and run again: it goes on",
            )
