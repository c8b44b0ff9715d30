"""`verify --deep`: a sample of windows computed again from the inputs, and compared with the files that were written.

Nothing of the job's tiling is used: each window is read, with all its context and no more, and goes through the network
on a tile of its own (`predict/window.py`). What is a fault is what is one before a commit (`commit/difference.py`). An
input that is gone or was replaced since says nothing of the output: its scene is named as not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from encdec_batch.commit.difference import Comparison, Difference, tolerance_for, total
from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.commit.marker import Marker, read_markers
from encdec_batch.errors import EncdecError, SceneChanged, SceneError, SpecError, StoreError
from encdec_batch.job.makers import Maker, Makers, NotComparedError
from encdec_batch.job.status import open_output
from encdec_batch.plan.draw import Draw
from encdec_batch.plan.open import limits_of
from encdec_batch.plan.statistics import value_range_again
from encdec_batch.read.open import open_reader
from encdec_batch.read.reader import Reader
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.store import Store
from encdec_batch.window import Window
from encdec_batch.write.check import Check

SCENES = 32
"""Of an output that are looked at, drawn by a seed."""
WINDOWS = 4
"""Of each of them."""
SIDE = 64
"""Of a window, input pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepVerdict:
    """What a sample of windows came to."""

    seed: str
    """The digest of the output: the same output, the same windows."""
    scenes: int
    """Of which windows were compared."""
    windows: int
    pixels: int
    """Of outputs, compared: valid on both sides."""
    largest: float
    """Difference of a value, or margin of a class that came out otherwise, in units of the network's output."""
    differ: tuple[str, ...]
    """A line for each window that came out otherwise than rounding explains, and for a scene of too many flips."""
    not_compared: Mapping[str, tuple[str, ...]]
    """By reason, the ids of scenes of the sample that say nothing."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    scenes: int = 0
    windows: int = 0
    pixels: int = 0
    largest: float = 0.0
    differ: list[str] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    """The input of a scene, as its statistics are kept by."""

    uri: str
    etag: str
    bands: tuple[int, ...]


def verify_deep(
    uri: str, options: StorageOptions | None = None, *, on_scene: Callable[[int, int], None] = lambda *_: None
) -> DeepVerdict:
    """Computes windows of up to `SCENES` committed scenes again, and compares.

    Args:
        uri: of the output.
        options: of its store.
        on_scene: told how many scenes of how many are through, for a progress line.

    Raises:
        CommitError: a marker cannot be read by this version.
        EncdecError: nothing of ours is there.
        StoreError: the output does not answer.
    """
    store = open_output(uri, options)
    markers = [marker for marker, _ in read_markers(store)]
    seed = digest_of_markers(markers)
    drawn = sorted((m for m in markers if m.outputs), key=lambda m: _lot(seed, m.scene_id))[:SCENES]
    makers, tally = Makers(store), _Tally()
    for number, marker in enumerate(sorted(drawn, key=lambda m: m.scene_id), 1):
        try:
            _compare_scene(store, makers.of(marker), marker, seed, tally)
        except NotComparedError as reason:
            tally.skipped.setdefault(str(reason), []).append(marker.scene_id)
        on_scene(number, len(drawn))
    return DeepVerdict(
        seed=seed,
        scenes=tally.scenes,
        windows=tally.windows,
        pixels=tally.pixels,
        largest=tally.largest,
        differ=tuple(tally.differ),
        not_compared={why: tuple(ids) for why, ids in tally.skipped.items()},
    )


def windows_of(seed: str, scene_id: str, shape: tuple[int, int], core: int) -> list[Window]:
    """Where a scene is looked at: its borders, the borders of its cores, and anywhere.

    By the side of the cores alone, not by the lattice of the job as in `plan/checks.py`: what is wrong with that must
    not decide where one looks.

    Args:
        seed: of the draw.
        scene_id: of the scene.
        shape: its height and width.
        core: side of the cores it was made of, at whose borders tiling would show.
    """
    draw = Draw(f"deep {seed} windows {scene_id}")
    chosen: dict[Window, None] = {}
    for _ in range(WINDOWS):
        rows, cols = (_span(draw, side, core) for side in shape)
        chosen[Window.from_bounds(rows, cols)] = None
    return list(chosen)


def _span(draw: Draw, side: int, core: int) -> tuple[int, int]:
    last = max(side - SIDE, 0)
    seams = [at - SIDE // 2 for at in range(core, side, core)]
    places = [0, last, draw.below(last + 1), draw.one_of(seams or [0])]
    start = min(max(draw.one_of(places), 0), last)
    return start, min(start + SIDE, side)


def lines_of(
    scene_id: str, comparison: Comparison, checks: Sequence[Check], found: Sequence[Difference]
) -> Iterator[str]:
    """What is to be said of a scene: of each window that has a fault, and of all of them where too many labels flip.

    Args:
        scene_id: of the scene.
        comparison: that was made.
        checks: its windows, at least one.
        found: what each of them came to.
    """
    for check, difference in zip(checks, found, strict=True):
        faults, place = list(comparison.faults(difference)), check.window
        if faults:
            at = f"row {place.row_off}, column {place.col_off}"
            yield f"{scene_id} at {at}: of {place.width * place.height} pixels {', and '.join(faults)}"
    together = total(found)
    for fault in comparison.flips(together):
        yield f"{scene_id}: of {together.pixels} pixels {fault}"


def _lot(seed: str, scene_id: str) -> float:
    return Draw(f"deep {seed} lot {scene_id}").unit()


def _compare_scene(store: Store, maker: Maker, marker: Marker, seed: str, tally: _Tally) -> None:
    core = marker.summary.get("core")
    try:
        with maker.inputs.open(marker.input.images) as reader:
            shape = reader.header.height, reader.header.width
            windows = windows_of(seed, marker.scene_id, shape, core if isinstance(core, int) and core > 0 else SIDE)
            checks = list(_again(store, maker, marker, reader, windows))
    except SceneChanged:
        raise NotComparedError("its input was replaced since") from None
    except (SceneError, StoreError, SpecError) as error:
        raise NotComparedError(f"its input cannot be read: {maker.inputs.fault(marker.input.uri, error)}") from None
    tally.scenes += 1
    try:
        _compare_windows(store, maker, marker, checks, tally)
    except EncdecError as error:
        tally.differ.append(f"{marker.scene_id}: its file cannot be read back: {error.message}")


def _again(store: Store, maker: Maker, marker: Marker, reader: Reader, windows: Sequence[Window]) -> Iterator[Check]:
    from encdec_batch.predict.normalize import affine_of
    from encdec_batch.predict.window import ReadyNetwork, context_of, predict_window

    card, header = maker.card, reader.header
    ready = ReadyNetwork(engine=maker.engine, card=card, product=maker.product)
    listed = marker.summary.get("bands")
    bands = tuple(int(str(band)) for band in listed) if isinstance(listed, list) else (1,)
    scales, offsets = ([values[band - 1] for band in bands] for values in (header.scales, header.offsets))
    version = _Input(uri=marker.input.uri, etag=marker.input.etag, bands=bands)
    affine = affine_of(card, scales, offsets, value_range_again(card, version, reader, store))
    for window in windows:
        context = context_of(window, (header.height, header.width), card.network_geometry)
        patch = reader.read(context, bands, rule=card.nodata.rule, nan_is_nodata=card.nodata.nan == "nodata")
        made = predict_window(ready, patch, affine, window.shift(-context.row_off, -context.col_off))
        yield Check(window=window.scale(card.geometry.scale), rasters=made)


def _compare_windows(store: Store, maker: Maker, marker: Marker, checks: Sequence[Check], tally: _Tally) -> None:
    path = marker.outputs[f"{maker.product.name}.tif"].path
    bands = range(1, maker.product.num_bands + 1)
    comparison = Comparison(
        output=maker.card.output,
        product=maker.product,
        tolerance=tolerance_for(maker.card.output, maker.tolerance),
    )
    found: list[Difference] = []
    written = open_reader(store, path, limits=limits_of(maker.spec.limits))
    try:
        for check in checks:
            pixels = written.read(check.window, bands, rule="any", nan_is_nodata=False).pixels
            found.append(comparison.of(pixels, check))
    finally:
        written.close()
    together = total(found)
    tally.windows += len(found)
    tally.pixels += together.pixels
    tally.largest = max(tally.largest, together.worst)
    tally.differ += lines_of(marker.scene_id, comparison, checks, found)
