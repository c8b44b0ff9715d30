"""What a run has come to so far: counted by the driver while records come back, told at the end."""

from __future__ import annotations

from dataclasses import dataclass, field

from encdec_batch.job.aside import Asides
from encdec_batch.job.summary import Tally
from encdec_batch.job.tracker import Tracker


@dataclass(slots=True, kw_only=True)
class Outcome:
    """Of one run. Used by one thread."""

    asides: Asides
    keys: dict[str, str]
    """Scene id to the scene key that this run is to commit; of a scene that was planned again the later one."""
    tally: Tally = field(default_factory=Tally)
    tracker: Tracker = field(default_factory=Tracker)
    moved: set[str] = field(default_factory=set)
    """Ids of scenes whose marker this run moved."""
    tried_again: set[str] = field(default_factory=set)
    """Part keys, or scene keys where there were no parts yet, of what the next run takes up again."""
    seconds: float = 0.0
    """Since the first block was handed out."""
