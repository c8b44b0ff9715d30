"""From markers, a plan and a summary to report/index.html."""

from __future__ import annotations

import importlib.metadata
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import EncdecError
from encdec_batch.plan.open import open_scene
from encdec_batch.plan.plan import Plan
from encdec_batch.plan.product import Product
from encdec_batch.read.open import open_reader
from encdec_batch.report.page import render_page
from encdec_batch.report.preview import preview_classes, preview_pixels
from encdec_batch.report.record import (
    ClassArea,
    Fact,
    MemoryPeak,
    RunReport,
    ScenePicture,
    SetAside,
    StageTime,
    Totals,
)
from encdec_batch.store.store import Store

REPORT = "report/index.html"
PICTURE_SIDE = 720
LIBRARIES = ("encdec-batch", "torch", "ray", "rasterio", "imagecodecs", "pyarrow", "numpy")


def write_report(store: Store, plan: Plan, summary: Mapping[str, Any], markers: Sequence[Marker]) -> None:
    """Draws the page of a run and puts it into the output."""
    store.put(REPORT, render_page(build_report(store, plan, summary, markers)).encode())


def build_report(store: Store, plan: Plan, summary: Mapping[str, Any], markers: Sequence[Marker]) -> RunReport:
    """Everything the page says; only pictures need the store."""
    recipe = plan.recipe
    num_aside = len(summary["set_aside"])
    return RunReport(
        title=f"{recipe.card.name} over {_source_name(plan)}",
        run_id=summary["run_id"],
        output_uri=store.uri,
        state="complete",
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        totals=Totals(
            num_scenes=summary["scenes_done"] + num_aside,
            num_done=summary["scenes_done"],
            num_set_aside=num_aside,
            num_pixels=summary["pixels"],
            seconds=summary["seconds"],
            bytes_read=summary["bytes_read"],
            bytes_in_scenes=sum(scene.header.encoded_bytes for scene in plan.scenes),
        ),
        stages=tuple(
            StageTime(name=name, seconds=seconds, num_pixels=summary["pixels"])
            for name, seconds in summary["stage_seconds"].items()
        ),
        memory=(MemoryPeak(process="worker", peak_bytes=summary["peak_bytes"]),),
        classes=tuple(_areas(recipe.products[0], markers)),
        pictures=tuple(_pictures(store, plan, markers)),
        set_aside=tuple(
            SetAside(
                scene_id=aside["scene_id"],
                stage=aside["stage"],
                reason=aside["reason"],
                hint=aside["hint"],
                block=aside["block"] or "",
            )
            for aside in summary["set_aside"]
        ),
        facts=tuple(_facts(plan, summary)),
        spec_text=yaml.safe_dump(recipe.spec.model_dump(mode="json"), sort_keys=False),
    )


def _source_name(plan: Plan) -> str:
    source = plan.recipe.spec.source
    return f"{len(source.uris)} scenes" if source.kind == "list" else source.uri


def _areas(product: Product, markers: Iterable[Marker]) -> Iterator[ClassArea]:
    """Pixels of each class over all scenes of the output, and square metres where scenes have a place."""
    pixels: dict[str, int] = defaultdict(int)
    area: dict[str, float] = defaultdict(float)
    for marker in markers:
        counted = marker.summary.get("class_pixels")
        each = marker.summary.get("pixel_area_m2")
        if not isinstance(counted, dict):
            continue
        for name, count in counted.items():
            pixels[name] += int(str(count))
            if isinstance(each, int | float):
                area[name] += int(str(count)) * each
    for name, color in zip(product.class_names, product.class_colors, strict=True):
        yield ClassArea(name=name, color=color, num_pixels=pixels[name], area_m2=area.get(name))


def _pictures(store: Store, plan: Plan, markers: Sequence[Marker]) -> Iterator[ScenePicture]:
    """Scenes spread over the archive; one that cannot be shown within the limits is left out."""
    wanted = plan.recipe.spec.report.previews
    by_id = {marker.scene_id: marker for marker in markers}
    scenes = [scene for scene in plan.scenes if scene.scene_id in by_id]
    step = max(1, -(-len(scenes) // wanted)) if wanted else 0
    product = plan.recipe.products[0]
    for scene in scenes[::step] if step else ():
        file = by_id[scene.scene_id].outputs.get(f"{product.name}.tif")
        if file is None:
            continue
        try:
            with open_scene(plan.recipe.spec, scene.uri, scene.etag) as reader:
                seen = reader.thumbnail(PICTURE_SIDE)
            result = open_reader(store, file.path)
            try:
                made = result.thumbnail(PICTURE_SIDE)
            finally:
                result.close()
        except EncdecError:
            continue
        bands = scene.bands[:3] if len(scene.bands) >= 3 else scene.bands[:1]
        shown = (
            preview_classes(made.pixels[0], product)
            if product.kind == "classes"
            else preview_pixels(made.pixels, made.valid_mask)
        )
        yield ScenePicture(
            scene_id=scene.scene_id,
            input_image=preview_pixels(seen.pixels, seen.valid_mask, bands=bands),
            result_image=shown,
            width=scene.header.width,
            height=scene.header.height,
            pixelated=product.kind == "classes",
        )


def _facts(plan: Plan, summary: Mapping[str, Any]) -> Iterator[Fact]:
    recipe = plan.recipe
    resolved, geometry = recipe.resolved, recipe.card.geometry
    yield Fact(name="digest of the output", value=summary["digest"])
    yield Fact(name="model", value=f"{recipe.card.name} {recipe.card.version}, {recipe.order.package_digest}")
    yield Fact(name="reach, stride, scale", value=f"{geometry.reach} px, {geometry.stride}, {geometry.scale}")
    yield Fact(name="exactness", value=geometry.exactness)
    yield Fact(name="core, halo", value=f"{resolved.core} px, {recipe.halo_pixels} px")
    yield Fact(name="device", value=f"{resolved.device_kind}, {resolved.precision}, batch {resolved.batch}")
    yield Fact(name="engine", value=resolved.engine)
    for name in LIBRARIES:
        yield Fact(name=name, value=importlib.metadata.version(name))
    yield Fact(name="python", value=platform.python_version())
