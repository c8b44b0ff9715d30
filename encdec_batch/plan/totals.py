"""What planned scenes come to, added up scene by scene: a run knows it without holding the scenes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from encdec_batch.plan.cost import Cost, cost_of
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.statistics import num_passes


@dataclass(slots=True, kw_only=True)
class PlanTotals:
    """Sums over the scenes that were planned so far."""

    recipe: Recipe
    scenes: int = 0
    blocks: int = 0
    """Still to be computed."""
    cost: Cost = field(default_factory=lambda: cost_of(()))
    bytes_to_read: int = 0
    """Of encoded pixels, beside what the headers bring along."""
    bytes_in_scenes: int = 0
    """Encoded pixels."""
    bytes_for_statistics: int = 0
    """Read beforehand, at most: what an earlier run counted is not counted again."""
    staged: int = 0
    block_sides: Counter[int] = field(default_factory=Counter)
    largest: dict[tuple[str, int], ScenePlan] = field(default_factory=dict)
    """By type of pixel and side of block: the scene of the largest tiles."""
    decoded_bytes: int = 0
    """The most that a decoder takes at a time."""
    _volumes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """Bytes to read that were counted for each volume that is fetched whole: they are those of all its slices."""

    def add(self, scene: ScenePlan, bytes_to_read: int) -> None:
        """One more scene, and the bytes of encoded pixels that its blocks cost."""
        header, grid = scene.header, scene.grid()
        self.scenes += 1
        self.blocks += grid.num_blocks - len(scene.blocks_done)
        self.cost = self.cost.plus(cost_of((scene,)))
        encoded_bytes = header.encoded_bytes
        if header.volume:
            volume = scene.uri, scene.etag, header.volume
            counted = self._volumes.get(volume)
            self._volumes[volume] = max(bytes_to_read, counted or 0)
            bytes_to_read = self._volumes[volume] - (counted or 0)
            encoded_bytes = encoded_bytes if counted is None else 0
        self.bytes_to_read += bytes_to_read
        self.bytes_in_scenes += encoded_bytes
        if scene.by_statistics:
            self.bytes_for_statistics += num_passes(header.dtype) * encoded_bytes
        self.staged += scene.staged
        self.block_sides[scene.tiling.block] += 1
        alike = header.dtype, scene.tiling.block
        if alike not in self.largest or max(grid.tile_shape) > max(self.largest[alike].grid().tile_shape):
            self.largest[alike] = scene
        self.decoded_bytes = max(self.decoded_bytes, _decoded_bytes(header))

    def add_again(self, scene: ScenePlan) -> None:
        """A scene that was added before and is to be computed once more."""
        self.blocks += scene.grid().num_blocks - len(scene.blocks_done)
        self.cost = self.cost.plus(cost_of((scene,)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user may not expect."""
        asked, resolved = self.recipe.spec.tiling, self.recipe.resolved
        said = []
        if asked.core not in ("auto", resolved.core):
            said.append(f"core {asked.core} is rounded up to {resolved.core}, a multiple of the network's stride")
        cut = sorted(side for side in self.block_sides if side < resolved.core)
        if cut:
            said.append(f"core {resolved.core} is cut to blocks of {', '.join(map(str, cut))} px")
        if asked.stitch.kind == "blend":
            said.append("tiles are blended: an approximation, but for scenes of one tile")
        elif not self.recipe.exact:
            said.append(f"halo {asked.halo} is below the reach of {self.recipe.geometry.reach} px: not exact")
        if self.recipe.exact and self.recipe.spec.output.certify != "off" and self.recipe.tolerance is None:
            kind = f"{resolved.torch_device}/{resolved.precision}"
            said.append(f"the card has no tolerance for {kind}: certificates state differences and refuse nothing")
        if self.staged:
            said.append(f"{self.staged} striped scenes are cut into tiles first, below .encdec/staged of the output")
        return tuple(said)


def _decoded_bytes(header: SceneHeader) -> int:
    """Of what a decoder takes at a time: one tile or strip with all its bands, or a whole PNG or JPEG."""
    bands = 1 if header.planar else header.num_bands
    return header.tile_height * header.tile_width * bands * np.dtype(header.dtype).itemsize
