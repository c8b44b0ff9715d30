"""What holds for every scene of a job: the spec with everything `auto` resolved, and the card."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from encdec_batch.errors import SpecError
from encdec_batch.grid import NetworkGeometry, Tiling, round_up
from encdec_batch.models.card import Card, ClassesOutput, ToleranceCard
from encdec_batch.plan.budget import BlockSide, Burden, choose_block
from encdec_batch.plan.checks import NO_CHECKS, Checks, choose_checks
from encdec_batch.plan.keys import PartKeyFields, SceneKeyFields, canonical_json, part_key, scene_key
from encdec_batch.plan.overlap import check_apart
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import CELLS, needed_products, outlined_ids, products_of, wanted_outputs
from encdec_batch.plan.scene import ScenePlan, SourceImage
from encdec_batch.plan.volume_files import check_volume_files
from encdec_batch.read.plane import WHOLE
from encdec_batch.spec.job import JobSpec
from encdec_batch.spec.output import CogFile, GeojsonFile
from encdec_batch.spec.source import GlobSource, PrefixSource

FORMAT_VERSION = 1
"""Of what lies in an output (docs/format.md); a newer one redoes scenes."""
PART_FORMAT = 1
VALUE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
CODEC_LEVELS = {"deflate": 5, "zstd": 3}
"""Speed before size: deflate 6 and zstd 9 are smaller, and slower by more than that (docs/results.md)."""


def effective_halo(card: Card, core: int, asked: int | None) -> int | None:
    """The halo as the grid takes it: networks of global reach have none, and overlap by an eighth each side."""
    if asked is None and card.geometry.exactness == "global":
        return max(core // 8, card.geometry.stride)
    return asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What `auto` became, and on what: part of the key of every part."""

    device_kind: str
    torch_device: str
    precision: str
    batch: int
    engine: str
    core: int
    rates: tuple[tuple[int, float], ...] = ()
    """Side of core and measured scene Mpx/s of one worker, where `core: auto` measured some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for, before any device is looked at: enough to know what is done."""

    spec: JobSpec
    card: Card
    package_digest: str

    @property
    def products(self) -> tuple[Product, ...]:
        return products_of(self.card, self.spec.output)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The files that every scene is to have."""
        return wanted_outputs(self.products, self.spec.output)

    @property
    def codec(self) -> Literal["deflate", "zstd"]:
        cog = self.spec.output.file("cog")
        return cog.codec if isinstance(cog, CogFile) else "deflate"

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            SpecError: an option that has no effect, or no meaning, for this network.
        """
        asked, name = self.spec, self.card.name
        check_volume_files(asked, self.card)
        if isinstance(asked.source, PrefixSource | GlobSource):
            check_apart(asked.source, asked.output)
        if self.card.geometry.exactness == "global" and asked.tiling.stitch.kind == "crop":
            raise SpecError(
                f"{name} is of global reach: every pixel depends on all others, and cropped tiles would show seams",
                hint="say tiling.stitch: {kind: blend}; the result is then an approximation",
            )
        if not isinstance(self.card.output, ClassesOutput) and (asked.output.probability or asked.output.entropy):
            raise SpecError(
                f"output.probability and output.entropy are of classes, {name} makes images",
                hint="leave them out",
            )
        if (asked.output.probability or asked.output.entropy) and asked.output.file("cog") is None:
            raise SpecError(
                "output.probability and output.entropy are written as COG, and output.files has none",
                hint="add {kind: cog} to output.files, or leave them out",
            )
        outlines = asked.output.file("geojson")
        if isinstance(outlines, GeojsonFile):
            if not isinstance(self.card.output, ClassesOutput):
                raise SpecError(f"geojson holds outlines of classes, {name} makes images", hint="leave it out")
            outlined_ids(self.products[0], outlines.classes)
        if asked.tiling.halo is not None and self.card.geometry.margin:
            raise SpecError(
                f"tiling.halo has no effect for {name}: the context of a network without padding is its margin",
                hint="leave it out",
            )
        if asked.source.bands is not None and len(asked.source.bands) != self.card.num_bands:
            raise SpecError(
                f"source.bands names {len(asked.source.bands)} bands, {name} wants {self.card.num_bands}",
                hint=f"in this order: {', '.join(band.name for band in self.card.bands)}",
            )

    def trial_key(self, scene_key: str) -> str:
        """What a scene was tried with: its key, the limits, and how it was to be certified. One that failed is tried
        again when one of them changes.
        """
        asked = {**self.spec.limits.model_dump(mode="json"), "certify": self.spec.output.certify}
        return f"{scene_key}-{hashlib.sha256(canonical_json(asked)).hexdigest()[:8]}"

    def scene_key(self, images: Sequence[SourceImage], bands: tuple[int, ...] | None) -> str:
        """The key of a scene.

        Args:
            images: that it is read from: itself, and where it has some, its neighbours on both sides.
            bands: the scene's own, None where it has none of its own.
        """
        own = images[len(images) // 2]
        tiling, compute = self.spec.tiling, self.spec.compute
        options: dict[str, object] = {
            "bands": bands or self.spec.source.bands,
            "core": tiling.core,
            "halo": tiling.halo,
            "stitch": tiling.stitch.model_dump(),
            "precision": compute.precision,
            "codec": self.codec,
        }
        # Only where they say something: keys of scenes that are an object each stay what they were.
        if own.plane != WHOLE:
            options["plane"] = str(own.plane)
        if len(images) > 1:
            options["stack"] = [[image.uri, image.etag, str(image.plane)] for image in images]
        options |= self.spec.source.pixel_options
        fields = SceneKeyFields(
            scene_uri=own.uri,
            etag=own.etag,
            package_digest=self.package_digest,
            pixel_options=options,
            format_version=FORMAT_VERSION,
        )
        return scene_key(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An order with everything `auto` resolved, ready to be applied to scenes. Travels to every worker."""

    order: Order
    resolved: Resolved

    @property
    def spec(self) -> JobSpec:
        return self.order.spec

    @property
    def card(self) -> Card:
        return self.order.card

    @property
    def products(self) -> tuple[Product, ...]:
        return self.order.products

    @property
    def codec(self) -> Literal["deflate", "zstd"]:
        return self.order.codec

    @property
    def geometry(self) -> NetworkGeometry:
        return self.card.network_geometry

    @property
    def halo(self) -> int | None:
        """As the grid takes it. Networks of global reach have none; blended, they overlap by an eighth each side."""
        return effective_halo(self.card, self.resolved.core, self.spec.tiling.halo)

    @property
    def halo_pixels(self) -> int:
        """Context on each side of a core."""
        if self.geometry.margin:
            return self.geometry.margin
        return self.geometry.halo if self.halo is None else round_up(self.halo, self.geometry.stride)

    @property
    def exact(self) -> bool:
        """Whether tiles give the result of one plain pass: cropped, and with all the context that the network wants."""
        if self.spec.tiling.stitch.kind == "blend" or self.card.geometry.exactness == "global":
            return False
        return self.halo_pixels >= self.geometry.reach

    @property
    def tolerance(self) -> ToleranceCard | None:
        """What is rounding on this kind of device, in this precision; None: the card's author had no such device."""
        return self.card.tolerance.get(f"{self.resolved.torch_device}/{self.resolved.precision}")

    def checks(self, scene: ScenePlan) -> Checks:
        """The check windows of a scene; none where the product that they are of is not made this time."""
        if self.products[0] not in needed_products(self.products, scene.outputs):
            return NO_CHECKS
        has_reach = self.card.geometry.exactness != "global"
        certify = self.spec.output.certify
        return choose_checks(scene.grid(), scene.tiling, scene.scene_key, certify, has_reach=has_reach)

    def tiling(self, block: int) -> Tiling:
        return Tiling(core=self.resolved.core, block=block, halo=self.halo, stitch=self.spec.tiling.stitch.kind)

    def burden(self, itemsize: int) -> Burden:
        channels = self.card.output.num_channels
        on_cpu = self.resolved.torch_device == "cpu"
        return Burden(
            bands=self.card.num_bands,
            itemsize=itemsize,
            products=self.products,
            channels=channels,
            batch=self.resolved.batch,
            blended=self.spec.tiling.stitch.kind == "blend",
            activation_bytes=self.card.memory.activations * VALUE_BYTES[self.resolved.precision] if on_cpu else 0.0,
        )

    def block_side(self, itemsize: int) -> BlockSide:
        """B and L for scenes whose pixels have this size.

        Raises:
            SpecError: no block fits the budget.
        """
        tiling = self.spec.tiling
        budget = tiling.budget_gib * 2**30
        return choose_block(self.burden(itemsize), self.geometry, self.tiling(512), budget=budget, wanted=tiling.block)

    def check_budget(self) -> None:
        """What can be known of it before a header is read.

        Raises:
            SpecError: no block fits the budget, not even of the smallest pixels that the card takes.
        """
        self.block_side(min(np.dtype(name).itemsize for name in self.card.dtypes))

    def part_key(
        self, key: str, block: BlockSide, tile: tuple[int, int], outputs: tuple[str, ...], *, decoder: str = ""
    ) -> str:
        """The part key of a scene on this grid, for these files; `decoder` is its header's."""
        engine, _, version = self.resolved.engine.rpartition("-")
        products = needed_products(self.products, outputs)
        fields = PartKeyFields(
            block_side=block.side,
            levels=block.levels,
            core=self.resolved.core,
            tile=tile,
            halo=self.halo_pixels,
            scale=self.geometry.scale,
            products=tuple(product.name for product in products),
            cells=CELLS in outputs,
            precision=self.resolved.precision,
            batch=self.resolved.batch,
            engine=engine,
            engine_version=version,
            device_kind=self.resolved.device_kind,
            codec=self.codec,
            codec_level=CODEC_LEVELS[self.codec],
            part_format=PART_FORMAT,
            decoder=decoder,
        )
        return part_key(key, fields)
