"""What trains the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.spec.base import Spec

Count = Annotated[int, Field(ge=1, le=4096)]


class RayTraining(Spec):
    """Ray Train: workers that learn together, each from its share of every batch."""

    kind: Literal["ray"] = "ray"
    address: str = "local"
    """`local` starts a Ray of this training's own; `auto` or `host:port` joins a cluster."""
    workers: Count | tuple[Count, Count] = 1
    """How many; `[min, max]`: as many of them as there is room for, more or fewer when that changes."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0
    """Logical CPUs that Ray books for one."""
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    """GPUs of one; None: 1 where Ray has any, else 0."""
    max_failures: Annotated[int, Field(ge=-1)] = 3
    """How often workers that died are started again, from the newest checkpoint; -1: always."""
    object_store_gib: Annotated[float, Field(gt=0)] | None = None
    """Shared memory of a Ray of this training's own; None: 1."""

    @model_validator(mode="after")
    def _bounds(self) -> RayTraining:
        if isinstance(self.workers, tuple) and self.workers[0] > self.workers[1]:
            raise ValueError(f"workers {list(self.workers)}: the first is to be the smaller")
        if self.address != "local" and self.object_store_gib is not None:
            raise ValueError("object_store_gib is of a Ray of this training's own; a cluster's store is the cluster's")
        return self

    @property
    def most_workers(self) -> int:
        return self.workers if isinstance(self.workers, int) else self.workers[1]


class LocalTraining(Spec):
    """This one process, without Ray; the steps are the same."""

    kind: Literal["local"]

    @property
    def most_workers(self) -> int:
        return 1


TrainStream = Annotated[RayTraining | LocalTraining, Field(discriminator="kind")]


class TrainComputeSpec(Spec):
    """Device and arithmetic."""

    stream: TrainStream = RayTraining()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the forward pass (autocast); weights stay in float32. `auto`: bfloat16 where the device computes it natively,
    else float32. float16 needs CUDA: the loss is scaled there so that small gradients do not vanish. Evaluations take
    what a job takes, whatever this is."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Of each worker on a CPU. Equal curves need equal numbers of them."""
