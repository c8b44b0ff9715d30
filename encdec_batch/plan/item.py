"""What a worker is handed: a run of neighbouring blocks of one block row, a group of small scenes, or check windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby, pairwise

from pydantic import TypeAdapter
from pydantic_core import to_json

from encdec_batch.grid import Padding
from encdec_batch.plan.checks import check_source
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.window import Window

RUN = 8
"""Blocks of a run, at least, where the scene has them: read in one go, columns that two blocks share are read once."""
GROUP_PIXELS = 2048 * 2048
"""Pixels of a group of small scenes, about those of one block; scenes of a group come back one by one."""
GROUP_SCENES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Blocks of one scene that are read by one reader, in this order."""

    scene: ScenePlan
    """Without the names of what is done."""
    blocks: tuple[tuple[int, int], ...]
    """Block rows and columns."""
    checks: tuple[int, ...] = ()
    """Numbers of check windows, read after the blocks; of a small scene they go along with its block."""

    def source_windows(self, padding: Padding) -> list[Window]:
        """The scene pixels that are read, in their order."""
        grid, checks = self.scene.grid(), self.scene.checks
        blocks = [grid.source_window(grid.block(row, col), padding) for row, col in self.blocks]
        return blocks + [check_source(grid, checks, number, padding) for number in self.checks]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """The unit of scheduling."""

    pieces: tuple[Piece, ...]

    def to_json(self) -> bytes:
        return to_json(self, inf_nan_mode="constants")

    @classmethod
    def from_json(cls, data: bytes) -> WorkItem:
        return _adapter().validate_json(data)


def is_small(scene: ScenePlan) -> bool:
    """A scene of one block leaves no parts: its worker commits it from memory."""
    return scene.grid().num_blocks == 1


def work_items(scenes: Iterable[ScenePlan]) -> Iterator[WorkItem]:
    """The blocks that are still to be made, in the order of the scenes."""
    group: list[Piece] = []
    pixels = 0
    for scene in scenes:
        if not is_small(scene):
            yield from (WorkItem(pieces=(piece,)) for piece in _runs(scene))
            continue
        if group and (pixels + scene.num_pixels > GROUP_PIXELS or len(group) == GROUP_SCENES):
            yield WorkItem(pieces=tuple(group))
            group, pixels = [], 0
        group.append(Piece(scene=scene, blocks=((0, 0),), checks=tuple(range(len(scene.checks.windows)))))
        pixels += scene.num_pixels
    if group:
        yield WorkItem(pieces=tuple(group))


def _runs(scene: ScenePlan) -> Iterator[Piece]:
    todo = [b for b in scene.grid().blocks() if b.name not in scene.blocks_done]
    checks = tuple(n for n, name in enumerate(scene.checks.names) if name not in scene.checks_done)
    # Workers do not ask what is done, and each of many pieces would carry all of it.
    scene = scene.with_done(())
    if scene.staged or scene.by_statistics:
        # One reader cuts the scene, or counts its values, and then reads all of it.
        yield Piece(scene=scene, blocks=tuple((block.row, block.col) for block in todo), checks=checks)
        return
    for _, row in groupby(todo, key=lambda block: block.row):
        # Neighbours have the same difference of column and position: a gap begins a new run.
        for _, neighbours in groupby(enumerate(row), key=lambda pair: pair[1].col - pair[0]):
            blocks = [(block.row, block.col) for _, block in neighbours]
            num_runs = max(1, len(blocks) // RUN)
            edges = [len(blocks) * i // num_runs for i in range(num_runs + 1)]
            for start, stop in pairwise(edges):
                yield Piece(scene=scene, blocks=tuple(blocks[start:stop]))
    if checks:
        yield Piece(scene=scene, blocks=(), checks=checks)


@cache
def _adapter() -> TypeAdapter[WorkItem]:
    return TypeAdapter(WorkItem)
