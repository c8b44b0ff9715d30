"""What runs the network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from encdec_batch.spec.base import Spec


class RayStream(Spec):
    """A Ray Data expression: readers, a pool of actors that hold the network, writers."""

    kind: Literal["ray"] = "ray"
    address: str = "local"
    """`local` starts a Ray of this run's own; `auto` or `host:port` joins a cluster."""
    max_workers: Annotated[int, Field(ge=1)] | None = None
    """Actors that hold the network; None: one for each CPU (or GPU share) that Ray has when the run begins."""
    min_workers: Annotated[int, Field(ge=1)] | None = None
    """Actors that are kept when there is little to do; None: as many as `max_workers`."""
    cpus_per_worker: Annotated[float, Field(gt=0)] = 0.75
    """Logical CPUs of an actor; less than 1 leaves room for readers and writers on a small machine."""
    gpus_per_worker: Annotated[float, Field(ge=0)] | None = None
    """GPUs of an actor, several actors on one where this is a fraction; None: 1 where Ray has any, else 0."""
    readers: Annotated[int, Field(ge=1)] = 2
    writers: Annotated[int, Field(ge=1)] = 2
    labels: dict[str, str] = {}
    """Ray node labels that a node must have to hold the network."""
    io_labels: dict[str, str] = {}
    """Ray node labels that a node must have to read, write, commit and open headers; none: readers and writers go to
    any node, the others to that of the driver."""
    object_store_gib: Annotated[float, Field(gt=0)] | None = None
    """Shared memory of a Ray of this run's own; None: 2, some dozen blocks of the usual size."""

    @model_validator(mode="after")
    def _bounds(self) -> RayStream:
        if self.max_workers and self.min_workers and self.max_workers < self.min_workers:
            raise ValueError(f"max_workers {self.max_workers} is below min_workers {self.min_workers}")
        if self.address == "local" and (self.labels or self.io_labels):
            raise ValueError("labels and io_labels are of a cluster's nodes: a Ray of this run's own has none")
        if self.address != "local" and self.object_store_gib is not None:
            raise ValueError("object_store_gib is of a Ray of this run's own; a cluster's store is the cluster's")
        return self


class LocalStream(Spec):
    """Everything in this one process, without Ray; the bytes are the same. Only of many small scenes, on a CPU, all but
    the first are divided among as many further processes as there are workers and as half of the memory has room for;
    `plan` says how many, and what each takes.
    """

    kind: Literal["local"]
    workers: Annotated[int, Field(ge=1)] | None = None
    """Threads that run the network, one core each; None: one for each core that the process may use, two that share a
    GPU. With 1 there are no further processes."""


Stream = Annotated[RayStream | LocalStream, Field(discriminator="kind")]


class ComputeSpec(Spec):
    """Device and arithmetic. With core, batch, precision and kind of device fixed, the bytes are fixed."""

    stream: Stream = RayStream()
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 where the device computes it natively and results are classes or of 8 bits, else float32."""
    batch: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Tiles per forward pass; `auto`: 1 on a CPU, where more wins nothing, 8 on a GPU."""
