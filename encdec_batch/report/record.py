"""The figures of one run, as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Literal

State = Literal["complete", "running", "stopped", "interrupted"]
"""Of the run whose page this is; `stopped`: it gave up; `interrupted`: it was killed or failed, and the page was made
afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The run in numbers."""

    num_scenes: int
    """All scenes of the plan; those neither done nor set aside are still to do."""
    num_done: int
    num_set_aside: int
    num_pixels: int
    """Input pixels of the scenes done by this run."""
    seconds: float
    """From the first block's start to the last marker, or to now."""
    bytes_read: int
    bytes_in_scenes: int
    """Encoded bytes of the scenes done: what one perfect read would have cost."""

    @property
    def num_left(self) -> int:
        return max(self.num_scenes - self.num_done - self.num_set_aside, 0)

    @property
    def mpx(self) -> float:
        return self.num_pixels / 1e6

    @property
    def mpx_per_s(self) -> float:
        return self.mpx / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """Work of one stage, summed over its workers."""

    name: str
    seconds: float
    num_pixels: int
    """Scene pixels that went through the stage."""
    num_workers: int = 1

    @property
    def mpx_per_s(self) -> float:
        """Megapixels per second that all workers of the stage would do if they never waited."""
        return self.num_pixels * self.num_workers / self.seconds / 1e6 if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPeak:
    """The most memory that one kind of process had resident, shared pages counted, against what plan projected."""

    process: str
    peak_bytes: int
    projected_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassArea:
    """How much of the archive one class covers."""

    name: str
    color: tuple[int, int, int]
    num_pixels: int
    """Output pixels of all scenes done."""
    area_m2: float | None = None
    """On the ground, of the georeferenced scenes alone; None where no scene has a place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePicture:
    """One scene before and after, small enough to look at."""

    scene_id: str
    input_image: str
    """A data URI (report.preview makes them)."""
    result_image: str
    """A data URI of the same aspect."""
    width: int
    height: int
    """Of the scene, in pixels."""
    caption: str = ""
    pixelated: bool = False
    """Show enlarged result pixels as squares: right for classes."""

    def __post_init__(self) -> None:
        for image in (self.input_image, self.result_image):
            if not image.startswith("data:image/"):
                raise ValueError(
                    f"scene {self.scene_id!r}: an image of the page must be a data URI, not {image[:40]!r}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotShown:
    """A scene that was to be shown and could not be."""

    scene_id: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """One row of the quarantine."""

    scene_id: str
    stage: str
    reason: str
    hint: str = ""
    block: str = ""
    """Empty where the whole scene is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCheck:
    """The certificate of one scene of which windows were checked."""

    scene_id: str
    windows: int
    pixels: int
    """Of the output, compared."""
    differing: int
    """Of another class, or of another value by more than the tolerance."""
    worst: float | None
    """The largest margin or difference, in units of the network's output; None: not finite."""
    tolerance: float | None

    @property
    def badness(self) -> tuple[float, float]:
        """Sorts certificates; what is near its tolerance, or beyond it, is worse than what is far from it."""
        worst = inf if self.worst is None else self.worst
        return worst / self.tolerance if self.tolerance else worst, self.differing / max(self.pixels, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What certificates say of all scenes done."""

    counts: tuple[tuple[str, int], ...] = ()
    """Result and number of scenes."""
    worst_first: tuple[SceneCheck, ...] = ()
    """Those that were checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name and a value of the provenance list: a version, a digest, a machine."""

    name: str
    value: str


NO_CERTIFICATES = Certificates()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Everything the page says."""

    title: str
    run_id: str
    output_uri: str
    state: State
    written: str
    """When the figures were taken, for people: `2026-11-22 14:03 UTC`."""
    totals: Totals
    stages: tuple[StageTime, ...] = ()
    memory: tuple[MemoryPeak, ...] = ()
    classes: tuple[ClassArea, ...] = ()
    pictures: tuple[ScenePicture, ...] = ()
    not_shown: tuple[NotShown, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    """As many rows as there are; the page shows some of each cause."""
    certificates: Certificates = NO_CERTIFICATES
    facts: tuple[Fact, ...] = ()
    spec_text: str = field(default="", repr=False)
    """The spec of the run, as YAML, without secrets."""
