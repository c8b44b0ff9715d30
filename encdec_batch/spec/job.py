"""One job: scenes, network, outputs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from encdec_batch.spec.base import Spec, StorageOptions
from encdec_batch.spec.compute import ComputeSpec
from encdec_batch.spec.output import OutputSpec
from encdec_batch.spec.privacy import JobPrivacySpec
from encdec_batch.spec.source import Source
from encdec_batch.spec.tiling import TilingSpec

MAX_PREVIEWS = 24
"""Pictures that a page of at most 15 MB holds."""


class ModelSpec(Spec):
    """The model package: a folder with card.json, weights and golden sample."""

    package: str
    """The folder, or `REGISTRY/NAME@VERSION` or `REGISTRY/NAME@ALIAS` (models/reference.py)."""
    storage: StorageOptions = {}


class LimitsSpec(Spec):
    """What a scene may ask of a worker; beyond it the scene is set aside with the reason."""

    max_whole_megapixels: Annotated[float, Field(gt=0, le=1e6)] = 100.0
    """PNG and JPEG have no windows and are decoded whole; their files may have 256 MiB."""
    max_tile_mb: Annotated[float, Field(gt=0, le=1e6)] = 256.0
    """Decoded size of one tile or strip of a TIFF: stops files that inflate."""
    decoder_gib: Annotated[float, Field(gt=0, le=1e6)] | None = 4.0
    """What decoding may add to a process that only reads, by a limit of the system; None: no such limit."""
    max_volume_mib: Annotated[int, Field(ge=1, le=1 << 20)] = 512
    """Of a volume whose slices can only be had together: a .nii.gz unpacked, or a .nii across other axes than its
    slowest. A process keeps one."""
    max_planes: Annotated[int, Field(ge=1, le=1 << 24)] = 1 << 17
    """Images in one object: slices times points in time."""
    max_objects: Annotated[int, Field(ge=1, le=1 << 24)] = 1 << 19
    """Of a scene that is a folder (OME-Zarr), and twice as many chunks of one plane of it."""


class ReportSpec(Spec):
    """report/index.html."""

    previews: Annotated[int, Field(ge=0, le=MAX_PREVIEWS)] = 12
    """Scenes shown with input and result under a slider: the worst certificates, the largest, some drawn."""


class JobSpec(Spec):
    """The whole spec file."""

    schema_version: Literal[1] = 1
    source: Source
    model: ModelSpec
    output: OutputSpec
    tiling: TilingSpec = TilingSpec()
    compute: ComputeSpec = ComputeSpec()
    limits: LimitsSpec = LimitsSpec()
    report: ReportSpec = ReportSpec()
    privacy: JobPrivacySpec = JobPrivacySpec()
