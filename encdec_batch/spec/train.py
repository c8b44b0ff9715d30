"""One training: data, network, what is made small, and where checkpoints and package go."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from encdec_batch.spec.base import Spec, StorageOptions
from encdec_batch.spec.privacy import PrivacySpec
from encdec_batch.spec.train_compute import TrainComputeSpec
from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_loss import OF_CLASSES, AdversarialLoss, TrainLoss
from encdec_batch.spec.train_target import MaskTarget
from encdec_batch.uri import has_userinfo

Rate = Annotated[float, Field(gt=0, le=10)]
Share = Annotated[float, Field(ge=0, lt=1)]


class NetworkSpec(Spec):
    """What learns."""

    architecture: str
    """A key of encdec_batch/models/architectures.py."""
    arguments: dict[str, Any] = {}
    """Of its constructor; `in_channels`, `out_channels` and `scale` follow from the data where they are not said."""
    parent: str | None = None
    """A model package whose weights it begins with; it must be of this architecture and these arguments."""
    storage: StorageOptions = {}
    """Of `parent`."""


class AdamW(Spec):
    """Loshchilov and Hutter 2019; with `weight_decay: 0` it is Adam."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: Rate = 1e-3
    """At its peak."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    betas: tuple[Share, Share] = (0.9, 0.999)


class Sgd(Spec):
    """Stochastic gradient descent with momentum."""

    kind: Literal["sgd"]
    learning_rate: Rate = 0.1
    """At its peak."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0005
    momentum: Share = 0.9


Optimizer = Annotated[AdamW | Sgd, Field(discriminator="kind")]


class LearnSpec(Spec):
    """How it learns. Everything here, and the number of neither workers nor processes, decides the result."""

    losses: Annotated[tuple[TrainLoss, ...], Field(min_length=1)]
    """Their sum is made small."""
    steps: Annotated[int, Field(ge=1)]
    """Of the optimiser, in all."""
    batch: Annotated[int, Field(ge=1)] = 8
    """Samples of a step, over all workers together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Parts that a worker cuts its samples into, one after the other: less memory, the same step."""
    optimizer: Optimizer = AdamW()
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises to its peak."""
    final: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the peak that the last step learns with; between them lies half a cosine."""
    clip: Annotated[float, Field(gt=0)] | None = 1.0
    """Longest gradient of a step, as the norm over all weights; None: any."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, which is judged and published in their place; None: there is none."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="after")
    def _bounds(self) -> LearnSpec:
        if self.accumulate > self.batch:
            raise ValueError(f"accumulate {self.accumulate} cuts a batch of {self.batch} into more parts than samples")
        if self.warmup >= self.steps:
            raise ValueError(f"warmup {self.warmup} leaves none of the {self.steps} steps")
        kinds = [loss.kind for loss in self.losses]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"losses {kinds} name a kind twice")
        return self

    @property
    def adversarial(self) -> AdversarialLoss | None:
        return next((loss for loss in self.losses if isinstance(loss, AdversarialLoss)), None)


class CardWords(Spec):
    """What its author says in the cards of all versions of a package."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    description: str = ""
    task: Annotated[str, Field(min_length=1)]
    """`semantic-segmentation`, `denoising`, `super-resolution`, `image-to-image`, or your own."""
    data: Annotated[str, Field(min_length=1)]
    """What it learned from, in words."""
    licence: Annotated[str, Field(min_length=1)]
    """Of the data, and what it allows for the weights."""
    notes: str = ""
    bands: tuple[Annotated[str, Field(min_length=1)], ...] | None = None
    """Names of what the network sees; None: the classes of labels, else band1, band2, ..."""
    dtype: Literal["float32", "uint8", "uint16"] = "float32"
    """Of an image that the network makes; a class mask has its own."""
    range: tuple[float, float] | None = None
    """The network's values of the least and greatest output; None: what the targets have (a mask has none)."""


class CardSpec(CardWords):
    """The card of one version."""

    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")] = "1.0.0"


class TrainOutputSpec(Spec):
    """Where the training is kept, and how often."""

    uri: str
    """Folder of this one training: checkpoints, curve, pictures, TensorBoard's files."""
    storage: StorageOptions = {}
    package: str
    """Folder of the model package that comes out of it."""
    package_storage: StorageOptions = {}
    registry: str | None = None
    """URI of a registry that the package is added to as well, by its name and version; None: none."""
    registry_storage: StorageOptions = {}
    publish: Literal["last", "best"] = "last"
    """The weights at the end, or those of the evaluation with the best mean IoU or PSNR."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 200
    """Steps: so many are lost at most when everything dies."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Checkpoints that are kept, the newest ones."""
    evaluate_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between evaluations of all validation scenes; None: at the end alone."""
    log_every: Annotated[int, Field(ge=1)] = 10
    """Steps between points of the curve, each the mean of the steps since the last."""
    pictures: Annotated[int, Field(ge=0, le=64)] = 4
    """Validation scenes shown with target and prediction after each evaluation."""
    mlflow: str | None = None
    """Tracking URI of an MLflow server, which gets curve and figures as well; needs the extra `mlflow`."""

    @field_validator("mlflow")
    @classmethod
    def _without_password(cls, uri: str | None) -> str | None:
        if uri and has_userinfo(uri):
            raise ValueError(
                "it carries a user or password; take it out, and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD where the training runs"
            )
        return uri


class TrainSpec(Spec):
    """The whole training spec."""

    schema_version: Literal[1] = 1
    data: DataSpec
    network: NetworkSpec
    learn: LearnSpec
    card: CardSpec
    output: TrainOutputSpec
    compute: TrainComputeSpec = TrainComputeSpec()
    privacy: PrivacySpec = PrivacySpec()

    def with_privacy(self, *, private: bool) -> TrainSpec:
        """With `privacy.hide: auto` decided, and no pictures of private scenes unless they are asked for."""
        output = self.output
        if private and not self.privacy.pictures:
            output = output.model_copy(update={"pictures": 0})
        return self.model_copy(update={"privacy": self.privacy.resolved(private=private), "output": output})

    @model_validator(mode="after")
    def _fits(self) -> TrainSpec:
        classes = isinstance(self.data.target, MaskTarget)
        for loss in self.learn.losses:
            if classes != isinstance(loss, OF_CLASSES):
                wanted = "cross_entropy, dice or focal" if classes else "l1, mse, charbonnier or adversarial"
                raise ValueError(
                    f"learn.losses: {loss.kind} is not for a target of kind {self.data.target.kind}; take {wanted}"
                )
        if classes and (self.card.range is not None or self.card.dtype != "float32"):
            raise ValueError("card.range and card.dtype have no effect: a mask is no image")
        if self.data.split.kind == "none" and (self.output.evaluate_every or self.output.publish == "best"):
            raise ValueError("output.evaluate_every and publish: best need scenes to validate on: set data.split")
        most = self.compute.stream.most_workers
        if most > self.learn.batch:
            raise ValueError(
                f"compute.stream.workers: {most} workers have no sample each of a batch of {self.learn.batch}"
            )
        return self
