"""Which blocks of which scenes are still out, and what records make of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from encdec_batch.pipeline import Record
from encdec_batch.plan.item import is_small
from encdec_batch.plan.scene import ScenePlan


@dataclass(slots=True)
class Tracker:
    """The scenes that are out. One that is committed, or troubled with no block left, is forgotten."""

    scenes: dict[str, ScenePlan] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)
    """Scene id to names of blocks that have not come back, and of checks."""
    troubled: set[str] = field(default_factory=set)
    """Scenes of which a block failed: what else comes back of them changes nothing."""
    part_keys: dict[str, str] = field(default_factory=dict)
    """Part key to scene id, of every scene so far that leaves parts."""
    scene_keys: dict[str, str] = field(default_factory=dict)
    """Scene id to the key it was taken up with last, of the same scenes."""

    def start(self, scenes: Iterable[ScenePlan]) -> list[ScenePlan]:
        """Takes up scenes; gives those of which every part lies in the store already."""
        ready = []
        for scene in scenes:
            self.scenes[scene.scene_id] = scene
            self.troubled.discard(scene.scene_id)
            left = {block.name for block in scene.grid().blocks()} - scene.blocks_done
            if not is_small(scene):
                left |= set(scene.checks.names) - scene.checks_done
            self.left[scene.scene_id] = left
            if is_small(scene):
                continue
            self.part_keys[scene.part_key] = scene.scene_id
            self.scene_keys[scene.scene_id] = scene.scene_key
            if not left:
                ready.append(scene)
        return ready

    def note(self, record: Record) -> ScenePlan | None:
        """The scene, if this record makes it ready to be committed from its parts."""
        scene, left = self.scenes[record.scene_id], self.left[record.scene_id]
        before = len(left)
        left.difference_update(record.blocks, record.checks)
        if record.trouble or record.missing:
            self.troubled.add(record.scene_id)
        troubled = record.scene_id in self.troubled
        if record.committed or (troubled and not left):
            self._forget(record.scene_id)
        complete = before > 0 and not left and not troubled
        return scene if complete and not record.committed else None

    def _forget(self, scene_id: str) -> None:
        del self.scenes[scene_id], self.left[scene_id]
        self.troubled.discard(scene_id)
