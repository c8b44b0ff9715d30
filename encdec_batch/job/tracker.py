"""Which blocks of which scenes are still out, and what records make of that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from encdec_batch.pipeline import Record
from encdec_batch.plan.item import is_small
from encdec_batch.plan.scene import ScenePlan


@dataclass(slots=True)
class Tracker:
    """The scenes of one pass."""

    scenes: dict[str, ScenePlan] = field(default_factory=dict)
    left: dict[str, set[str]] = field(default_factory=dict)
    """Scene id to names of blocks that have not come back, and of checks."""
    troubled: set[str] = field(default_factory=set)
    """Scenes of which a block failed: what else comes back of them changes nothing."""

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
            if not left and not is_small(scene):
                ready.append(scene)
        return ready

    def note(self, record: Record) -> ScenePlan | None:
        """The scene, if this record makes it ready to be committed from its parts."""
        left = self.left[record.scene_id]
        before = len(left)
        left.difference_update(record.blocks, record.checks)
        if record.trouble or record.missing:
            self.troubled.add(record.scene_id)
        complete = before > 0 and not left and record.scene_id not in self.troubled
        return self.scenes[record.scene_id] if complete and not record.committed else None
