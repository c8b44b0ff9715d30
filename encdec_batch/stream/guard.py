"""Round every stage of a block: the ledger is told of start and end, and the process has a deadline meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby

from encdec_batch.commit.attempts import COMMIT
from encdec_batch.pipeline import Predicted, Read, Record, read_item
from encdec_batch.plan.item import Piece, WorkItem, is_small
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.stream.deadline import Timer
from encdec_batch.stream.ledger import Ledger, Work, block_work
from encdec_batch.stream.rules import Rules

NOT_A_DEATH = (Exception, KeyboardInterrupt, GeneratorExit)
"""What else leaves a stage (SystemExit) ends the process: that is a death, like any other."""

_begun = threading.local()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """A block, a check window or a commit that took its process down too often: to be run in one of its own."""

    scene: ScenePlan
    name: str
    """Of the block or check window, or `commit`."""
    piece: Piece | None
    """That and nothing else; None: the commit."""
    pixels: int
    """Of the scene. 0: of a check window, which has too few to tell how fast a stage is."""


class Guard:
    """Used by all threads of a process.

    Args:
        ledger: of the run.
        rules: deadlines.
        timer: of this process; None: it is not ours to end.
    """

    def __init__(self, ledger: Ledger, rules: Rules, timer: Timer | None) -> None:
        self._ledger, self._rules, self._timer = ledger, rules, timer

    @contextmanager
    def doing(self, work: Work) -> Iterator[bool]:
        """Whether it may be done: not, where it is to be run alone."""
        start = self._ledger.start(work)
        if start.held:
            yield False
            return
        clock = time.perf_counter()
        with ExitStack() as stack:
            if self._timer is not None:
                first = not hasattr(_begun, work.stage)
                seconds = self._rules.deadline_s(work.stage, work.mpx, pace=start.pace, first=first)
                stack.enter_context(self._timer.within(seconds))
            try:
                yield True
            except NOT_A_DEATH:
                self._ledger.end(work, time.perf_counter() - clock)
                raise
        setattr(_begun, work.stage, True)
        self._ledger.end(work, time.perf_counter() - clock)

    def read(self, recipe: Recipe, item: WorkItem) -> Iterator[Read | Record | Alone]:
        """`pipeline.read_item`; a block that is to be run alone stands in its place.

        The place matters: a Ray task that is run again must give the same rows in the same order.
        """
        for piece in item.pieces:
            units = list(units_of(piece))
            held = self._ledger.held([reading(unit) for unit in units])
            for alone, group in groupby(units, key=lambda unit: reading(unit).place in held):
                if alone:
                    yield from group
                else:
                    yield from self._read_piece(recipe, list(group))

    def _read_piece(self, recipe: Recipe, units: list[Alone]) -> Iterator[Read | Record | Alone]:
        """Neighbours, by one reader."""
        works, piece = [reading(unit) for unit in units], _joined(units)
        values = read_item(recipe, WorkItem(pieces=(piece,)))
        if piece.scene.staged or piece.scene.by_statistics:
            # Before its first block the whole scene is cut or counted.
            works[0] = replace(works[0], mpx=works[0].mpx + piece.scene.num_pixels / 1e6)
        # Behind the last block comes what the reader does to end: no pixels, so that it is no measure of the pace.
        for work in (*works, replace(works[-1], mpx=0.0)):
            # Whether it is held was asked for all of the piece; nobody else reads these blocks meanwhile.
            with self.doing(work):
                value = next(values, None)
            if value is None:
                return
            yield value

    def predict(self, stage: Callable[[Read], Predicted | Record], done: Read) -> Predicted | Record | Alone:
        with self.doing(_work(done, "predict")) as may:
            return stage(done) if may else _unit(done)

    def write(self, stage: Callable[[Predicted], Record], done: Predicted) -> Record | Alone:
        with self.doing(_work(done, "write")) as may:
            return stage(done) if may else _unit(done)

    def commit(self, commit: Callable[[], Record], scene: ScenePlan) -> Record | Alone:
        with self.doing(block_work(scene, COMMIT, "commit", scene.num_pixels)) as may:
            return commit() if may else Alone(scene=scene, name=COMMIT, piece=None, pixels=scene.num_pixels)


def units_of(piece: Piece) -> Iterator[Alone]:
    """A piece, block by block and check by check: what can be run alone. Checks of a small scene go with its block."""
    together = piece.checks if is_small(piece.scene) else ()
    for place in piece.blocks:
        yield _unit_of(replace(piece, blocks=(place,), checks=together))
    for number in () if together else piece.checks:
        yield _unit_of(replace(piece, blocks=(), checks=(number,)))


def _unit_of(piece: Piece) -> Alone:
    if not piece.blocks:
        return Alone(scene=piece.scene, name=piece.scene.checks.names[piece.checks[0]], piece=piece, pixels=0)
    block = piece.scene.grid().block(*piece.blocks[0])
    return Alone(scene=piece.scene, name=block.name, piece=piece, pixels=block.window.num_pixels)


def _joined(units: list[Alone]) -> Piece:
    pieces = [unit.piece for unit in units if unit.piece is not None]
    blocks = tuple(block for piece in pieces for block in piece.blocks)
    return replace(pieces[0], blocks=blocks, checks=tuple(number for piece in pieces for number in piece.checks))


def _unit(done: Read | Predicted) -> Alone:
    if done.check is not None:
        return _unit_of(Piece(scene=done.scene, blocks=(), checks=(done.check,)))
    checks = tuple(range(len(done.checks)))
    return _unit_of(Piece(scene=done.scene, blocks=((done.row, done.col),), checks=checks))


def reading(unit: Alone) -> Work:
    """The first thing that is done with it."""
    return block_work(unit.scene, unit.name, "read", unit.pixels)


def _work(done: Read | Predicted, stage: str) -> Work:
    unit = _unit(done)
    return block_work(unit.scene, unit.name, stage, unit.pixels)
