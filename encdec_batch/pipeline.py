"""The path of a block: read, predict, write. The only module that composes the stages.

Each stage is a plain function of one value; `stream/` repeats them over many blocks, in one process or on a cluster.
What goes wrong with a block comes back as a record: no exception leaves a stage, save those that stop a run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from encdec_batch.commit.parts import MemoryParts
from encdec_batch.commit.scene import CommitOrder, commit_scene, commit_stored, part_path
from encdec_batch.errors import (
    CommitConflict,
    CredentialsExpired,
    EncdecError,
    LeaseHeld,
    PartMissing,
    PermanentStoreError,
    PreconditionFailed,
    SceneChanged,
    SpecError,
    UnsupportedScene,
    unexpected,
)
from encdec_batch.grid import Block, Grid
from encdec_batch.models.package import Package
from encdec_batch.plan.checks import check_block, check_grid, is_check_name
from encdec_batch.plan.item import Piece, WorkItem, is_small
from encdec_batch.plan.open import open_scene, open_staged_scene
from encdec_batch.plan.products import CELLS, needed_products
from encdec_batch.plan.recipe import CODEC_LEVELS, Recipe
from encdec_batch.plan.scene import ScenePlan, SetAside
from encdec_batch.plan.statistics import value_range_of
from encdec_batch.predict.device import choose_device
from encdec_batch.predict.prediction import Prediction
from encdec_batch.privacy import PRIVATE_SCHEME
from encdec_batch.process import peak_bytes
from encdec_batch.read.block import ReadRule, read_block
from encdec_batch.read.patch import Patch
from encdec_batch.read.reader import Reader
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.write.check import Check, encode_check
from encdec_batch.write.codec import Codec
from encdec_batch.write.encode import encode_part
from encdec_batch.write.layout import PartLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one block cost so far."""

    seconds: dict[str, float] = field(default_factory=dict)
    """By stage."""
    workers: dict[str, int] = field(default_factory=dict)
    """By stage: the thread that did it, told apart over all processes of a machine."""
    bytes_read: dict[str, int] = field(default_factory=dict)
    """By stage."""
    peak_bytes: dict[str, int] = field(default_factory=dict)
    """By stage: the most memory that its process has had resident so far."""

    def plus(self, stage: str, seconds: float, *, bytes_read: int = 0) -> Cost:
        return Cost(
            seconds={**self.seconds, stage: self.seconds.get(stage, 0.0) + seconds},
            workers={**self.workers, stage: threading.get_native_id()},
            bytes_read={**self.bytes_read, stage: self.bytes_read.get(stage, 0) + bytes_read},
            peak_bytes={**self.peak_bytes, stage: peak_bytes()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A block that was read, or a check window."""

    scene: ScenePlan
    row: int
    col: int
    patch: Patch
    cost: Cost
    check: int | None = None
    """Number of the check window, where it is one; row and column say nothing then."""
    checks: tuple[Patch, ...] = ()
    """All check windows of the scene, where this is its only block."""

    @property
    def block(self) -> Block:
        return _placed(self.scene, self.row, self.col, self.check)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """A block that went through the network, or a check window."""

    scene: ScenePlan
    row: int
    col: int
    prediction: Prediction
    cost: Cost
    check: int | None = None
    checks: tuple[Prediction, ...] = ()
    """As of `Read`."""

    @property
    def block(self) -> Block:
        return _placed(self.scene, self.row, self.col, self.check)[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of blocks of one scene, of its checks or its commit: all that the stages tell the driver. (Streams
    send `Alone` in its place for what killed its process, and tasks that read headers send what they planned.)
    """

    scene_id: str
    blocks: tuple[str, ...]
    """Names of the blocks that are through, well or not; empty for a record of a commit or of a check alone."""
    cost: Cost
    checks: tuple[str, ...] = ()
    """Names of the check windows that are through, likewise."""
    pixels: int = 0
    """Scene pixels that were computed."""
    tile_pixels: int = 0
    """Of the tiles of these blocks: what the network computed for them."""
    check_pixels: int = 0
    """Of the tiles of these check windows."""
    committed: bool = False
    trouble: SetAside | None = None
    replan: bool = False
    """The input changed, or the marker did: the driver plans the scene again, once."""
    missing: tuple[str, ...] = ()
    """Blocks and checks whose objects are gone or damaged: they run once more."""
    ends_run: EncdecError | None = None
    """Not a scene's: another run has taken over the output, nothing can be written to it any more, or the credentials
    have expired."""
    notes: tuple[str, ...] = ()


def read_item(recipe: Recipe, item: WorkItem) -> Iterator[Read | Record]:
    """The blocks and check windows of a work item, one after the other, each piece by one reader."""
    for piece in item.pieces:
        yield from _read_piece(recipe, piece)


def _read_piece(recipe: Recipe, piece: Piece) -> Iterator[Read | Record]:
    scene, rule, small = piece.scene, _read_rule(recipe), is_small(piece.scene)
    left: list[tuple[int, int, int | None]] = [(row, col, None) for row, col in piece.blocks]
    if not small:
        left += [(0, 0, number) for number in piece.checks]
    before, clock, cost, stage = 0, time.perf_counter(), Cost(), "read"
    try:
        with _open(recipe, scene) as reader:
            if scene.by_statistics:
                stage, header = "statistics", reader.bytes_read
                scene = replace(scene, value_range=value_range_of(recipe.card, scene, reader, open_output(recipe)))
                before = reader.bytes_read - header
                cost = cost.plus(stage, time.perf_counter() - clock, bytes_read=before)
                stage, clock = "read", time.perf_counter()
            while left:
                row, col, check = left[0]
                patch = read_block(reader, *_placed(scene, row, col, check), bands=scene.bands, rule=rule)
                _refuse_unruly(patch, recipe)
                # The checks of a small scene go along with its only block, which is committed from memory.
                checks = tuple(
                    read_block(reader, *_placed(scene, 0, 0, number), bands=scene.bands, rule=rule)
                    for number in (piece.checks if small else ())
                )
                cost = cost.plus(stage, time.perf_counter() - clock, bytes_read=reader.bytes_read - before)
                yield Read(scene=scene, row=row, col=col, patch=patch, cost=cost, check=check, checks=checks)
                cost = Cost()
                del left[0], patch, checks
                before, clock = reader.bytes_read, time.perf_counter()
    except Exception as error:  # noqa: BLE001  (the boundary: an error of one scene is a record, whatever it is)
        names = tuple(_placed(scene, *place)[1].name for place in left)
        yield _trouble(error, stage, scene, names, cost.plus(stage, time.perf_counter() - clock))


def _placed(scene: ScenePlan, row: int, col: int, check: int | None) -> tuple[Grid, Block]:
    """A block with the lattice that it is of, or a check window with its own."""
    grid = scene.grid()
    if check is None:
        return grid, grid.block(row, col)
    return check_grid(grid, scene.checks, check), check_block(grid, scene.checks, check)


def _open(recipe: Recipe, scene: ScenePlan) -> AbstractContextManager[Reader]:
    if scene.staged:
        return open_staged_scene(recipe.spec, scene)
    return open_scene(recipe.spec, scene.images, whole=True)


def _read_rule(recipe: Recipe) -> ReadRule:
    card = recipe.card
    return ReadRule(padding=card.padding, nodata=card.nodata.rule, nan_is_nodata=card.nodata.nan == "nodata")


def _refuse_unruly(patch: Patch, recipe: Recipe) -> None:
    """NaN where the card has no rule for it, and infinity, would spread over a whole tile without a word."""
    if patch.pixels.dtype.kind != "f":
        return
    values = patch.pixels[:, patch.valid_mask]
    if recipe.card.nodata.nan == "refuse" and np.isnan(values).any():
        raise UnsupportedScene(
            f"it holds NaN, and {recipe.card.name} has no rule for NaN",
            hint="declare NaN as the file's nodata, fill it, or use a card with nodata.nan: nodata",
        )
    if np.isinf(values).any():
        raise UnsupportedScene("it holds infinite values", hint="declare them as the file's nodata, or clip them")


class PredictStage:
    """The network, loaded once per process. Torch is imported here and nowhere before: readers and writers on a cluster
    start without it.
    """

    def __init__(self, recipe: Recipe, package: Package) -> None:
        from encdec_batch.predict.stage import BlockPredictor

        _refuse_other_device(recipe)
        self._predictor = BlockPredictor(recipe, package)

    def __call__(self, done: Read) -> Predicted | Record:
        clock = time.perf_counter()
        try:
            if done.check is None:
                prediction = self._predictor.predict(done.scene, done.block, done.patch)
            else:
                prediction = self._predictor.check(done.scene, done.check, done.patch)
            checks = tuple(self._predictor.check(done.scene, n, patch) for n, patch in enumerate(done.checks))
        except Exception as error:  # noqa: BLE001  (the boundary, as above)
            cost = done.cost.plus("predict", time.perf_counter() - clock)
            return _trouble(error, "predict", done.scene, (done.block.name,), cost)
        cost = done.cost.plus("predict", time.perf_counter() - clock)
        return Predicted(
            scene=done.scene,
            row=done.row,
            col=done.col,
            prediction=prediction,
            cost=cost,
            check=done.check,
            checks=checks,
        )


def _refuse_other_device(recipe: Recipe) -> None:
    """One run, one kind of device: equal keys promise equal bytes."""
    compute = recipe.spec.compute
    # Asked for by name: on a machine with a GPU, `auto` would find it in a worker that was given none.
    here = choose_device(recipe.resolved.torch_device, compute.precision, compute.batch).kind
    if here != recipe.resolved.device_kind:
        raise SpecError(
            f"this worker is a {here}, the run was planned for {recipe.resolved.device_kind}",
            hint="give the pool labels that only one kind of node has (compute.stream.labels)",
        )


class WriteStage:
    """Encodes a block; stores its part, or commits its scene from memory where that is all of it. Checks are stored."""

    def __init__(self, recipe: Recipe, lease_n: int) -> None:
        self._recipe, self._lease_n = recipe, lease_n
        self._store = open_output(recipe)

    def __call__(self, done: Predicted) -> Record:
        clock = time.perf_counter()
        scene, block = done.scene, done.block
        stage = "write"
        if done.check is not None:
            return self._write_check(done, done.check)
        try:
            part = encode_part(done.prediction, part_layout(self._recipe, scene, block))
            small = is_small(scene)
            if small:
                encoded = time.perf_counter()
                done = replace(done, cost=done.cost.plus("write", encoded - clock))
                stage, clock = "commit", encoded
                order = CommitOrder(recipe=self._recipe, scene=scene, lease_n=self._lease_n)
                checks = [_check_of(scene, number, made) for number, made in enumerate(done.checks)]
                commit_scene(self._store, order, MemoryParts([part], [block.name]), checks)
            else:
                self._store_part(scene, block, part)
        except Exception as error:  # noqa: BLE001  (the boundary, as above)
            return _trouble(error, stage, scene, (block.name,), done.cost.plus(stage, time.perf_counter() - clock))
        return Record(
            scene_id=scene.scene_id,
            blocks=(block.name,),
            cost=done.cost.plus(stage, time.perf_counter() - clock),
            checks=scene.checks.names if small else (),
            pixels=block.window.num_pixels,
            tile_pixels=len(block.rows.tiles) * len(block.cols.tiles) * prod(scene.grid().tile_shape),
            check_pixels=len(done.checks) * scene.checks.tile_pixels,
            committed=small,
            notes=done.prediction.notes,
        )

    def _write_check(self, done: Predicted, number: int) -> Record:
        clock = time.perf_counter()
        scene, name = done.scene, done.block.name
        try:
            self._store_part(scene, done.block, encode_check(_check_of(scene, number, done.prediction)))
        except Exception as error:  # noqa: BLE001  (the boundary, as above)
            return _trouble(error, "write", scene, (name,), done.cost.plus("write", time.perf_counter() - clock))
        cost = done.cost.plus("write", time.perf_counter() - clock)
        return Record(
            scene_id=scene.scene_id, blocks=(), checks=(name,), cost=cost, check_pixels=scene.checks.tile_pixels
        )

    def _store_part(self, scene: ScenePlan, block: Block, part: bytes) -> None:
        # The first part of a block wins: it was made of the same key.
        with suppress(PreconditionFailed):
            self._store.create(part_path(scene.part_key, block.name), part)


def _check_of(scene: ScenePlan, number: int, made: Prediction) -> Check:
    return Check(window=scene.checks.windows[number].scale(scene.geometry.scale), rasters=made.rasters)


def commit_parts(recipe: Recipe, scene: ScenePlan, lease_n: int) -> Record:
    """Assembles and commits a scene whose parts all lie in the store."""
    clock = time.perf_counter()
    try:
        commit_stored(open_output(recipe), CommitOrder(recipe=recipe, scene=scene, lease_n=lease_n))
    except Exception as error:  # noqa: BLE001  (the boundary, as above)
        return _trouble(error, "commit", scene, (), Cost().plus("commit", time.perf_counter() - clock))
    cost = Cost().plus("commit", time.perf_counter() - clock)
    return Record(scene_id=scene.scene_id, blocks=(), cost=cost, committed=True)


def commit_died(scene: ScenePlan, error: EncdecError) -> Record:
    """The record of a commit whose process died: nothing of it shows, and the next run takes the scene up again."""
    aside = SetAside(
        scene_id=scene.scene_id, uri=scene.uri, stage="commit", reason=error.message, hint=error.hint, transient=True
    )
    return Record(scene_id=scene.scene_id, blocks=(), cost=Cost(), trouble=aside)


def open_output(recipe: Recipe) -> Store:
    return open_store(recipe.spec.output.uri, recipe.spec.output.storage)


def part_layout(recipe: Recipe, scene: ScenePlan, block: Block) -> PartLayout:
    return PartLayout(
        products=needed_products(recipe.products, scene.outputs),
        out_window=block.window.scale(scene.geometry.scale),
        scene_shape=scene.grid().output_shape,
        levels=scene.levels,
        codec=Codec(name=recipe.codec, level=CODEC_LEVELS[recipe.codec]),
        cells=CELLS in scene.outputs,
    )


def _trouble(error: Exception, stage: str, scene: ScenePlan, names: tuple[str, ...], cost: Cost) -> Record:
    """An error as a record; `names` are of blocks and checks."""
    blocks = tuple(name for name in names if not is_check_name(name))
    checks = tuple(name for name in names if is_check_name(name))
    record = Record(scene_id=scene.scene_id, blocks=blocks, checks=checks, cost=cost)
    if isinstance(error, LeaseHeld | CredentialsExpired) or (
        stage in ("write", "commit") and isinstance(error, PermanentStoreError)
    ):
        return replace(record, ends_run=error)
    if isinstance(error, PartMissing) and (missing := tuple(error.context.get("blocks", ()))):
        return replace(record, missing=missing)
    private = scene.uri.startswith(PRIVATE_SCHEME)
    said = error if isinstance(error, EncdecError) else unexpected(error, stage, private=private)
    aside = SetAside(
        scene_id=scene.scene_id,
        uri=scene.uri,
        stage=stage,
        reason=said.message.removeprefix(f"{scene.uri}: "),
        hint=said.hint,
        block=names[0] if names else None,
        transient=said.transient,
    )
    return replace(record, trouble=aside, replan=isinstance(error, SceneChanged | CommitConflict))
