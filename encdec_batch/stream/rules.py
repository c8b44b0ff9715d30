"""The numbers by which a stream tells a block that takes its process down, or never ends, from one that is slow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Fixed; no option of a spec, since no value but these has been of use. Tests have shorter ones."""

    deaths: int = 2
    """After so many a block runs alone, in a process of its own."""
    least_s: float = 120.0
    """A forward pass has at least this long."""
    least_io_s: float = 900.0
    """Reads, writes and commits have at least this long: their requests have time-outs and another try of their own
    (`store/retry.py`), and a store that is down for a while must not look like a hang."""
    first_s: float = 900.0
    """Until the pace of a stage is known, and for the first item of a process, which warms up."""
    first_s_per_mpx: float = 1.0
    """On top of that: commits, and scenes that are cut anew or counted before their first block, may be giants."""
    times_median: float = 10.0
    """As many times slower per Mpx than the median is a hang."""
    known_after: int = 20
    """Items, until a median is believed."""
    grace_s: float = 60.0
    """How much longer a process that runs a block alone is given, before it is killed from outside."""

    def deadline_s(self, stage: str, mpx: float, *, pace: float | None, first: bool) -> float:
        """Longest time for one item.

        Args:
            stage: plan (a header), read, predict, write or commit.
            mpx: of the item, scene pixels.
            pace: median seconds per Mpx of the stage; None while it is not known.
            first: nothing of this stage was done by this process (or thread) before.
        """
        least = self.least_s if stage == "predict" else self.least_io_s
        usual = 0.0 if pace is None else self.times_median * pace * mpx
        unknown = self.first_s + self.first_s_per_mpx * mpx if pace is None or first else 0.0
        return max(least, usual, unknown)
