"""Retraining every night: what is learned from, how a candidate is judged, and what follows from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.spec.base import Spec, StorageOptions
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.train import CardWords, LearnSpec, NetworkSpec
from encdec_batch.spec.train_compute import TrainComputeSpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_pairs import NoSplit, TablePairs
from encdec_batch.spec.train_target import MaskTarget

Guard = Annotated[float, Field(ge=0)]
Metric = Annotated[str, Field(pattern=r"^(mean_iou|mean_dice|accuracy|(iou|dice)/.+|psnr|ssim)$")]
_OF_IMAGES = ("psnr", "ssim")


class NightData(DataSpec):
    """The data of a training whose split is the night's."""

    split: NoSplit = NoSplit(kind="none")


class NightTraining(Spec):
    """A training spec (jobs/train.yaml), less what each night says itself: split, version, parent, where it goes."""

    data: NightData
    network: NetworkSpec
    learn: LearnSpec
    card: CardWords
    compute: TrainComputeSpec = TrainComputeSpec()
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    """Steps: so many are lost at most when a night is preempted."""


class NightOutput(Spec):
    """Where decisions, pages and trainings go."""

    uri: str
    storage: StorageOptions = {}
    keep: Annotated[int, Field(ge=1)] = 10
    """Candidates that are kept in the registry, and nights whose trainings are, the newest. What was ever in
    production is kept for ever."""


class NightSplit(Spec):
    """To which side a scene belongs: by a hash of its id, or of its place. Fixed for ever by the first night."""

    by: Literal["scene", "group", "folder"] = "scene"
    """`scene`: its id. `group`: the place that the table's column train.data.train.group names. `folder`: the first
    `folders` folders of its id are the place."""
    folders: Annotated[int, Field(ge=1)] = 1
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of scenes, or places, that are judged on and never learned from."""
    audit: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share that is neither learned from nor decides: reported alone."""
    audit_scenes: Annotated[int, Field(ge=1)] = 10
    """The audit set is frozen, by name and etag, by the first night that finds so many."""
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _bounds(self) -> NightSplit:
        if self.held_out + self.audit >= 1:
            raise ValueError(f"held_out {self.held_out:g} and audit {self.audit:g} leave nothing to learn from")
        if self.by != "folder" and self.folders != 1:
            raise ValueError("folders has no effect: say by: folder")
        return self


class NoGroups(Spec):
    """Scenes are in no groups."""

    kind: Literal["none"] = "none"


class ColumnGroups(Spec):
    """A column of the table names the group of each scene."""

    kind: Literal["column"]
    column: str


class FolderGroups(Spec):
    """The first folders of a scene's id are its group."""

    kind: Literal["folder"]
    folders: Annotated[int, Field(ge=1)] = 1


Groups = Annotated[NoGroups | ColumnGroups | FolderGroups, Field(discriminator="kind")]


class JudgeSpec(Spec):
    """When a candidate is better than production."""

    metric: Metric = "mean_iou"
    """`mean_iou`, `mean_dice`, `accuracy`, `iou/NAME`, `dice/NAME`; of images `psnr`, `ssim`. Of all pixels of the
    held-out scenes together."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """The lower confidence bound of the gain is to be above this."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Of that bound, one-sided; of n nights since the last promotion each is asked for 1 - (1 - confidence) / n."""
    resamples: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """Of the bootstrap, at least; more where the confidence needs them."""
    seed: Annotated[int, Field(ge=0)] = 0
    least_scenes: Annotated[int, Field(ge=2)] = 20
    """Held-out scenes below which nothing is decided: a bootstrap over few knows too little of the others."""
    class_guard: Guard = 0.02
    """The IoU of no class may fall by more."""
    class_guards: dict[str, Guard] = {}
    """Classes with a guard of their own."""
    groups: Groups = NoGroups()
    group_guard: Guard = 0.02
    """The metric of no group may fall by more; one group are always the scenes that were there at the last
    promotion."""
    least_group: Annotated[int, Field(ge=1)] = 5
    """Held-out scenes of a group below which it is shown and has no guard: one scene falls by chance."""
    group_guards: dict[str, Guard] = {}
    """Groups with a guard of their own."""
    pictures: Annotated[int, Field(ge=0, le=24)] = 6
    """Held-out scenes on the page: those that fell most, then those that the candidate does worst."""

    @model_validator(mode="after")
    def _of_use(self) -> JudgeSpec:
        if self.group_guards and self.groups.kind == "none":
            raise ValueError("group_guards has no effect: say in groups what a group is")
        return self


class ArchiveRerun(Spec):
    """An archive that every night keeps up with what is in production."""

    spec: str
    """The job's file; its model.package is REGISTRY/NAME@production of this model."""
    policy: Literal["all", "new", "where_they_differ"] = "all"
    """Of scenes that another version has made: `all` does them again, `new` none of them, `where_they_differ` those of
    folders of which a sample shows that the versions differ. What is new is always done."""
    sample: Annotated[int, Field(ge=1, le=1000)] = 8
    """Of `where_they_differ`: scenes of each folder that are looked at, drawn by a hash, in one window each."""
    window: Annotated[int, Field(ge=64, le=8192)] = 1024
    """Side of that window, pixels, in the middle of the scene."""
    share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Of differing pixels in a folder's sample, above which its scenes are done again."""


class NightlySpec(Spec):
    """The whole spec of a nightly job."""

    schema_version: Literal[1] = 1
    registry: str
    """URI of the registry in which train.card.name has its versions (docs/registry.md)."""
    registry_storage: StorageOptions = {}
    output: NightOutput
    train: NightTraining
    begin: Literal["production", "scratch"] = "production"
    """The weights that a night begins with."""
    new_scenes: Annotated[int, Field(ge=1)] = 20
    """Labelled scenes to learn from that the last promoted version did not know, below which a night does nothing."""
    split: NightSplit = NightSplit()
    judge: JudgeSpec = JudgeSpec()
    shadow: bool = False
    """Decide, and move no alias."""
    archive: ArchiveRerun | None = None
    privacy: PrivacySpec = PrivacySpec()

    @model_validator(mode="after")
    def _fits(self) -> NightlySpec:
        data = self.train.data
        if self.train.network.parent is not None:
            raise ValueError("train.network.parent has no effect: begin says what a night begins with")
        table = data.train if isinstance(data.train, TablePairs) else None
        if self.split.by == "group" and (table is None or table.group is None):
            raise ValueError("split.by group needs a table with train.data.train.group, the column that names it")
        if table is not None and table.group is not None and self.split.by != "group":
            raise ValueError("train.data.train.group names what must not be on both sides: say split.by: group")
        if self.judge.groups.kind == "column" and table is None:
            raise ValueError("judge.groups.kind column needs train.data.train.kind table")
        self._check_metric()
        return self

    def _check_metric(self) -> None:
        target, metric = self.train.data.target, self.judge.metric
        if isinstance(target, MaskTarget) == (metric in _OF_IMAGES):
            wanted = "mean_iou, mean_dice, accuracy, iou/NAME or dice/NAME"
            wanted = wanted if isinstance(target, MaskTarget) else "psnr or ssim"
            raise ValueError(f"judge.metric {metric} is not for a target of kind {target.kind}; take {wanted}")
        names = [one.name for one in target.classes] if isinstance(target, MaskTarget) else []
        asked = [*self.judge.class_guards, *([metric.partition("/")[2]] if "/" in metric else [])]
        for name in asked:
            if name not in names:
                raise ValueError(f"judge names the class {name!r}; there are {', '.join(names) or 'none'}")
