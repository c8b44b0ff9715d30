"""What a run comes to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from encdec_batch.pipeline import Record
from encdec_batch.plan.recipe import Resolved
from encdec_batch.plan.scene import VOLUME, SetAside


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The end of a run, for people and scripts."""

    run_id: str
    output_uri: str
    report_uri: str
    scenes_done: int
    """With the outputs that are wanted, by this run or an earlier one."""
    scenes_committed: int
    """By this run."""
    scenes_removed: tuple[str, ...]
    """Ids of those that this run took out, as their input is gone."""
    volumes_done: int
    """With the files that are wanted."""
    set_aside: tuple[SetAside, ...]
    blocks: int
    pixels: int
    checks: int
    """Windows that this run computed once more for certificates."""
    check_share: float
    """Of their tiles, pixels for each pixel of the other tiles that the network computed."""
    seconds: float
    """Of the stream: from the first item handed out to the last marker."""
    bytes_read: int
    bytes_for_statistics: int
    stage_seconds: Mapping[str, float]
    stage_workers: Mapping[str, int]
    """Threads that took part in each stage."""
    peak_bytes: Mapping[str, int]
    """By stage, and of the driver: the most memory that one process which did it had resident."""
    projected_bytes: int
    """What `plan` said the largest block takes, beside the network; 0 where nothing was to do."""
    bytes_in_scenes: int
    """Encoded pixels of the scenes that this run was to process."""
    package_digest: str
    resolved: Resolved | None
    """What `auto` became; None where nothing was to do."""
    notes: tuple[str, ...]
    """What a user may not expect, as `plan` says it."""
    digest: str
    """Of the output: sha256 over scene ids, outputs and their digests."""
    removal_held_back: str = ""
    """Why scenes whose input is gone were not taken out, though that was asked for; empty: they were, or it was not."""
    stopped: str = ""
    """Why the run gave up before its end; empty: it did not."""

    @property
    def exit_code(self) -> int:
        """0 complete, 3 complete but with something set aside, 1 not all that was asked for was done."""
        if self.stopped or self.removal_held_back:
            return 1
        return 3 if self.set_aside else 0

    @property
    def num_scenes_aside(self) -> int:
        """A volume whose files could not be made is no scene: its slices are done."""
        return sum(one.stage != VOLUME for one in self.set_aside)

    @property
    def mpx_per_s(self) -> float:
        return self.pixels / 1e6 / self.seconds if self.seconds > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"mpx_per_s": self.mpx_per_s, "exit_code": self.exit_code}


@dataclass(slots=True)
class Tally:
    """Sums over records."""

    blocks: int = 0
    pixels: int = 0
    committed: int = 0
    planned_aside: int = 0
    """Scenes that were set aside when they were planned."""
    checks: int = 0
    check_pixels: int = 0
    tile_pixels: int = 0
    bytes_read: int = 0
    bytes_for_statistics: int = 0
    stage_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    peaks: dict[str, int] = field(default_factory=dict)
    workers: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    @property
    def check_share(self) -> float:
        return self.check_pixels / self.tile_pixels if self.tile_pixels else 0.0

    def add(self, record: Record) -> None:
        self.blocks += len(record.blocks) if not record.trouble else 0
        self.pixels += record.pixels
        self.checks += len(record.checks) if not record.trouble else 0
        self.check_pixels += record.check_pixels
        self.tile_pixels += record.tile_pixels
        self.committed += record.committed
        self.bytes_read += record.cost.bytes_read.get("read", 0)
        self.bytes_for_statistics += record.cost.bytes_read.get("statistics", 0)
        for stage, seconds in record.cost.seconds.items():
            self.stage_seconds[stage] += seconds
            self.workers[stage].add(record.cost.workers[stage])
        for stage, peak in record.cost.peak_bytes.items():
            self.peaks[stage] = max(self.peaks.get(stage, 0), peak)
