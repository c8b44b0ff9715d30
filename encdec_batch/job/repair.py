"""`verify --repair`: scenes whose files are not what their markers say are taken out, so that the next run makes them.

A file is a function of its name, and none is ever written twice: a damaged one is not mended where it lies. The scene
is made again, in a folder of its next generation, and the damaged folder is pruned in its time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from encdec_batch.commit.generation import OutputFolder
from encdec_batch.commit.marker import Marker, read_marker
from encdec_batch.commit.prune import take_out
from encdec_batch.commit.volume_paths import folder_of
from encdec_batch.errors import SceneUnreadable
from encdec_batch.job.history import newest_spec
from encdec_batch.job.maintain import leased
from encdec_batch.job.status import fault_of, open_output
from encdec_batch.plan.inputs import Inputs
from encdec_batch.report.derived import renew_derived
from encdec_batch.report.tables import markers_of
from encdec_batch.spec.base import StorageOptions
from encdec_batch.store.store import Store
from encdec_batch.volume.removed import take_out_damaged

NOTE = "taken out to be made again: a file of it was damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What `verify --repair` did."""

    taken_out: tuple[str, ...]
    """Ids of scenes that the next run makes again."""
    volumes: tuple[str, ...] = ()
    """Ids of volumes that it makes again."""
    left: Mapping[str, str]
    """Scene id to why it was left as it is."""


def repair_output(uri: str, bad: Collection[str], options: StorageOptions | None = None) -> Repaired:
    """Takes out the scenes of damaged files.

    Args:
        uri: of the output.
        bad: paths of files that `verify` found; each is read once more before its scene is taken out.
        options: of the output's store.

    Raises:
        EncdecError: nothing of ours is there, or no run has left its spec.
        LeaseHeld: a run is writing this output.
        CommitError: a marker cannot be read by this version.
        SpecError: the store cannot replace a marker safely.
    """
    store = open_output(uri, options)
    with leased(store) as lease:
        inputs, left = Inputs(newest_spec(store)), dict[str, str]()
        damaged = []
        for scene_id in _scenes_of(bad):
            found = read_marker(store, scene_id)
            if found is None or not _is_damaged(store, found[0], bad):
                continue
            if why := _not_again(inputs, found[0]):
                left[scene_id] = why
            else:
                damaged.append(scene_id)
        if damaged:
            take_out(store, damaged, lease_n=lease.n, note=NOTE)
            renew_derived(store, markers_of(store), lease.check)
        damaged_files = [path for path in bad if folder_of(path) is not None]
        volumes = take_out_damaged(store, damaged_files, lease_n=lease.n) if damaged_files else ()
    return Repaired(taken_out=tuple(damaged), volumes=volumes, left=left)


def _scenes_of(paths: Iterable[str]) -> list[str]:
    folders = (OutputFolder.parse(path) for path in paths)
    return sorted({folder.scene_id for folder in folders if folder is not None})


def _is_damaged(store: Store, marker: Marker, bad: Collection[str]) -> bool:
    """Still: a run may have made the scene again since it was looked at."""
    named = (one for file in marker.outputs.values() for one in file.objects())
    return any(fault_of(store, one) for one in named if one.path in bad)


def _not_again(inputs: Inputs, marker: Marker) -> str:
    """Why the next run could not make a scene again; empty: it can. What is well of it would be lost."""
    try:
        inputs.look_up(marker.input.uri)
    except SceneUnreadable as error:
        return f"its input cannot be read any more: {inputs.fault(marker.input.uri, error)}"
    return ""
