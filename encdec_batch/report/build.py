"""From what lies in an output to report/index.html."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from encdec_batch.commit.marker import Marker
from encdec_batch.commit.quarantine import QuarantineRecord
from encdec_batch.errors import EncdecError, UnsupportedScene
from encdec_batch.models.card import Card
from encdec_batch.plan.inputs import Inputs
from encdec_batch.plan.open import limits_of
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import QUICKLOOK, products_of
from encdec_batch.plan.public_spec import public_spec, source_name
from encdec_batch.plan.scene import VOLUME
from encdec_batch.read.open import open_reader
from encdec_batch.read.patch import Patch
from encdec_batch.report.certificates import certificates_of
from encdec_batch.report.choice import Choice, choose
from encdec_batch.report.page import render_page
from encdec_batch.report.preview import preview_classes, preview_pixels
from encdec_batch.report.record import (
    ClassArea,
    Fact,
    MemoryPeak,
    NotShown,
    RunReport,
    ScenePicture,
    SetAside,
    StageTime,
    State,
    Totals,
)
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store

log = logging.getLogger(__name__)

REPORT = "report/index.html"
PICTURE_SIDE = 720
LEAST_SIDE = 180
PICTURE_BYTES = 12_000_000
"""Of all pictures: the rest of a page takes less than 3 MB."""
SHOWN_URIS = 100
LIBRARIES = ("encdec-batch", "torch", "ray", "rasterio", "imagecodecs", "pyarrow", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What the page of a run is made from; all of it lies in the output, so that the page can be made anew."""

    spec: JobSpec
    card: Card
    summary: Mapping[str, Any]
    """As `RunSummary.to_dict` gives it."""
    markers: Sequence[Marker]
    """Of the whole output."""
    quarantine: Sequence[QuarantineRecord]
    state: State = "complete"


def write_report(store: Store, material: Material) -> None:
    """Draws the page of a run and puts it into the output."""
    store.put(REPORT, render_page(build_report(store, material)).encode())


def build_report(store: Store, material: Material) -> RunReport:
    """Everything the page says; only pictures need the store."""
    summary, spec = material.summary, material.spec
    num_aside = sum(record.stage != VOLUME for record in material.quarantine)
    product = products_of(material.card, spec.output)[0]
    drawn = list(_pictures(store, material, product))
    return RunReport(
        title=f"{material.card.name} over {source_name(spec)}",
        run_id=summary["run_id"],
        output_uri=store.uri,
        state=material.state,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        totals=Totals(
            num_scenes=max(summary.get("scenes_total", 0), summary["scenes_done"] + num_aside),
            num_done=summary["scenes_done"],
            num_set_aside=num_aside,
            num_pixels=summary["pixels"],
            seconds=summary["seconds"],
            bytes_read=summary["bytes_read"],
            bytes_in_scenes=summary["bytes_in_scenes"],
        ),
        stages=tuple(
            StageTime(name=name, seconds=seconds, num_pixels=summary["pixels"], num_workers=_workers(name, summary))
            for name, seconds in summary["stage_seconds"].items()
        ),
        memory=tuple(
            MemoryPeak(
                process=f"{name}, a process" if name != "driver" else name,
                peak_bytes=peak,
                projected_bytes=summary["projected_bytes"] or None if name != "driver" else None,
            )
            for name, peak in summary["peak_bytes"].items()
        ),
        classes=tuple(_areas(product, material.markers)),
        pictures=tuple(item for item in drawn if isinstance(item, ScenePicture)),
        not_shown=tuple(item for item in drawn if isinstance(item, NotShown)),
        set_aside=tuple(
            SetAside(
                scene_id=record.scene_id,
                stage=record.stage,
                reason=record.reason,
                hint=record.hint,
                block=record.block or "",
            )
            for record in material.quarantine
        ),
        certificates=certificates_of(material.markers),
        facts=tuple(_facts(material)),
        spec_text=_spec_text(spec),
    )


def _spec_text(spec: JobSpec) -> str:
    """As YAML; of a long list of scenes the first."""
    data = public_spec(spec)
    uris = data["source"].get("uris", [])
    if len(uris) > SHOWN_URIS:
        data["source"]["uris"] = [*uris[:SHOWN_URIS], f"... and {len(uris) - SHOWN_URIS} more"]
    return yaml.safe_dump(data, sort_keys=False)


def _workers(stage: str, summary: Mapping[str, Any]) -> int:
    """Processes that shared a stage; a stage that was never reached has one."""
    return max(1, int(summary["stage_workers"].get(stage, 1)))


def _areas(product: Product, markers: Iterable[Marker]) -> Iterator[ClassArea]:
    """Pixels of each class over all scenes of the output, and square metres where scenes have a place."""
    pixels: dict[str, int] = defaultdict(int)
    area: dict[str, float] = defaultdict(float)
    for marker in markers:
        for name, count in _of_classes(marker, "class_pixels"):
            pixels[name] += int(count)
        for name, covered in _of_classes(marker, "class_area_m2"):
            area[name] += covered
    for name, color in zip(product.class_names, product.class_colors, strict=True):
        yield ClassArea(name=name, color=color, num_pixels=pixels[name], area_m2=area.get(name))


def _of_classes(marker: Marker, key: str) -> Iterator[tuple[str, float]]:
    """Class and number, of what a marker's summary says by class; nothing where it says nothing."""
    said = marker.summary.get(key)
    for name, number in (said or {}).items() if isinstance(said, dict) else ():
        if isinstance(number, int | float):
            yield name, number


def _pictures(store: Store, material: Material, product: Product) -> Iterator[ScenePicture | NotShown]:
    """As many scenes as are wanted; one that cannot be shown within the limits says why."""
    chosen = choose(material.markers, material.spec.report.previews, seed=material.summary["digest"])
    inputs = Inputs(material.spec)
    for choice in chosen:
        marker = choice.marker
        try:
            yield _picture(store, inputs, choice, product, PICTURE_BYTES // len(chosen))
        except (EncdecError, ValueError, MemoryError) as error:
            # A picture is not worth a finished run.
            log.info("report.no_picture", extra={"scene_id": marker.scene_id, "reason": str(error)})
            said = error.message if isinstance(error, EncdecError) else str(error) or type(error).__name__
            hint = error.hint if isinstance(error, EncdecError) else ""
            # Without the place of the scene equal reasons are equal words, and shown as one.
            yield NotShown(scene_id=marker.scene_id, reason=said.removeprefix(f"{marker.input.uri}: "), hint=hint)


def _to_show(marker: Marker, product: Product) -> str:
    """Path of the file that the result is drawn from: the COG, else one of the PNGs of the same product.

    Raises:
        UnsupportedScene: the scene has none of them.
    """
    for name in (f"{product.name}.tif", QUICKLOOK, f"{product.name}.png"):
        if name in marker.outputs:
            return marker.outputs[name].path
    raise UnsupportedScene("no file of it is a picture", hint="add {kind: quicklook} to output.files")


def _picture(store: Store, inputs: Inputs, choice: Choice, product: Product, max_bytes: int) -> ScenePicture:
    marker, path = choice.marker, _to_show(choice.marker, product)
    with inputs.open(marker.input.images) as reader:
        header, seen = reader.header, reader.thumbnail(PICTURE_SIDE)
    result = open_reader(store, path, limits=limits_of(inputs.spec.limits))
    try:
        made = result.thumbnail(PICTURE_SIDE)
    finally:
        result.close()
    input_image, result_image = _pair(marker, product, seen, made, max_bytes)
    return ScenePicture(
        scene_id=marker.scene_id,
        input_image=input_image,
        result_image=result_image,
        width=header.width,
        height=header.height,
        caption=choice.why,
        pixelated=product.kind == "classes",
    )


def _pair(marker: Marker, product: Product, seen: Patch, made: Patch, max_bytes: int) -> tuple[str, str]:
    """Input and result; smaller where they are noise, which no codec packs, and many are shown."""
    listed = marker.summary.get("bands")
    bands = [int(str(band)) for band in listed] if isinstance(listed, list) else [1]
    shown = bands[:3] if len(bands) >= 3 else bands[:1]
    side = PICTURE_SIDE
    while True:
        before = preview_pixels(seen.pixels, seen.valid_mask, bands=shown, max_side=side)
        if product.kind == "classes":
            after = preview_classes(made.pixels[0], product, max_side=side)
        else:
            after = preview_pixels(made.pixels, made.valid_mask, max_side=side)
        if len(before) + len(after) <= max_bytes or side <= LEAST_SIDE:
            return before, after
        side //= 2


def _facts(material: Material) -> Iterator[Fact]:
    summary, card, resolved = material.summary, material.card, material.summary["resolved"]
    geometry = card.geometry
    yield Fact(name="digest of the output", value=summary["digest"])
    yield Fact(name="model", value=f"{card.name} {card.version}, {summary['package_digest']}")
    yield Fact(name="reach, stride, scale", value=f"{geometry.reach} px, {geometry.stride}, {geometry.scale}")
    inexact = sum(1 for marker in material.markers if marker.summary.get("exact") is False)
    said = f"{inexact} scenes approximate one plain pass" if inexact else "every scene equals one plain pass"
    yield Fact(name="exactness", value=f"{said} (network: {geometry.exactness})")
    if resolved is not None:
        yield Fact(name="core", value=f"{resolved['core']} px")
        device = f"{resolved['device_kind']}, {resolved['precision']}, batch {resolved['batch']}"
        yield Fact(name="device", value=device)
        yield Fact(name="engine", value=resolved["engine"])
    for name in LIBRARIES:
        yield Fact(name=name, value=importlib.metadata.version(name))
    yield Fact(name="python", value=platform.python_version())
