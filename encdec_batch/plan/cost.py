"""What the blocks that are left cost the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from encdec_batch.plan.scene import ScenePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of some scenes; pixels are input pixels."""

    tiles: int
    tile_pixels: int
    """Of all these tiles: what goes through the network."""
    scene_pixels: int
    """What comes of it."""
    checks: int
    """Windows that are computed once more for certificates."""
    check_pixels: int
    """Of their tiles."""
    dearest: str | None
    """Id of the scene with the highest halo tax."""
    dearest_tax: float

    @property
    def halo_tax(self) -> float:
        """Pixels computed for each pixel of the scenes, 1 or more."""
        return self.tile_pixels / self.scene_pixels if self.scene_pixels else 1.0

    @property
    def check_share(self) -> float:
        """What certificates cost: pixels of check windows for each pixel of the other tiles."""
        return self.check_pixels / self.tile_pixels if self.tile_pixels else 0.0

    def plus(self, other: Cost) -> Cost:
        """Of both; of two equally dear scenes the first is named."""
        dearer = other if other.dearest_tax > self.dearest_tax else self
        return Cost(
            tiles=self.tiles + other.tiles,
            tile_pixels=self.tile_pixels + other.tile_pixels,
            scene_pixels=self.scene_pixels + other.scene_pixels,
            checks=self.checks + other.checks,
            check_pixels=self.check_pixels + other.check_pixels,
            dearest=dearer.dearest,
            dearest_tax=dearer.dearest_tax,
        )


def cost_of(scenes: Iterable[ScenePlan]) -> Cost:
    """What is still to be computed of these scenes."""
    tiles = tile_pixels = scene_pixels = checks = check_pixels = 0
    dearest, dearest_tax = None, 0.0
    for scene in scenes:
        grid = scene.grid()
        left = [block for block in grid.blocks() if block.name not in scene.blocks_done] if scene.blocks_done else None
        count = grid.num_tiles if left is None else sum(len(b.rows.tiles) * len(b.cols.tiles) for b in left)
        pixels = scene.num_pixels if left is None else sum(block.window.num_pixels for block in left)
        tiles += count
        tile_pixels += count * prod(grid.tile_shape)
        scene_pixels += pixels
        checks_left = len(scene.checks.windows) - len(scene.checks_done)
        checks += checks_left
        check_pixels += checks_left * scene.checks.tile_pixels
        if pixels and count * prod(grid.tile_shape) / pixels > dearest_tax:
            dearest, dearest_tax = scene.scene_id, count * prod(grid.tile_shape) / pixels
    return Cost(
        tiles=tiles,
        tile_pixels=tile_pixels,
        scene_pixels=scene_pixels,
        checks=checks,
        check_pixels=check_pixels,
        dearest=dearest,
        dearest_tax=dearest_tax,
    )
