"""Sample number i of an epoch: drawn, read, varied, posed, normalised. A pure function of seed, epoch and i."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from encdec_batch.spec.train_data import DataSpec
from encdec_batch.spec.train_target import LabelsInput, MaskTarget
from encdec_batch.train.batch import Batch
from encdec_batch.train.dataset.inspect import Inspected
from encdec_batch.train.dataset.normalization import units_of
from encdec_batch.train.dataset.prepare import Prepared
from encdec_batch.train.dataset.sampling import Cell, generator_of
from encdec_batch.train.pairs.reader import Raw
from encdec_batch.train.samples.augment import Geometry, draw_geometry, draw_light, zoomed
from encdec_batch.train.samples.cache import Scenes
from encdec_batch.train.samples.targets import Posed, pose
from encdec_batch.window import Window

_REDRAWN = 8
"""Times that a window with too little to learn from is drawn anew: half of them in the same cell, then anywhere."""
_MARGIN = 2
"""Input pixels around a window of super-resolution that the bicubic kernel sees: it reaches two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One of a batch."""

    posed: Posed
    image: NDArray[np.float32]
    """(bands, height, width), normalised, invalid pixels filled."""
    name: str


class Samples:
    """Makes samples. Keeps decoded images; pickles without them. Not thread-safe."""

    def __init__(self, prepared: Prepared, data: DataSpec) -> None:
        self._prepared, self._data = prepared, data
        self._scenes = Scenes(prepared.train, data)
        self._order = lru_cache(maxsize=2)(prepared.cells.order)

    def __reduce__(self) -> tuple[type[Samples], tuple[Prepared, DataSpec]]:
        return type(self), (self._prepared, self._data)

    def batch(self, seed: int, epoch: int, numbers: Sequence[int]) -> Batch:
        """These samples, stacked; classes as int64.

        Raises:
            SceneError, TransientStoreError: as `Scenes.read`.
        """
        made = [self.sample(seed, epoch, number) for number in numbers]
        target = np.stack([one.posed.target for one in made])
        return Batch(
            image=np.stack([one.image for one in made]),
            target=target.astype(np.int64) if isinstance(self._data.target, MaskTarget) else target,
            valid=np.stack([one.posed.counts for one in made]),
            names=tuple(one.name for one in made),
            noise_level=np.array([one.posed.level for one in made], np.float32),
        )

    def sample(self, seed: int, epoch: int, number: int) -> Sample:
        """One sample; the same whoever makes it, and whatever was made before."""
        data, rng = self._data, generator_of(seed, epoch, number)
        rows, cols = data.sampling.sides
        geometry = draw_geometry(data.augment, square=rows == cols, rng=rng)
        light = draw_light(data.augment, self._prepared.num_bands, rng)
        cell, window, raw = self._drawn(int(self._order(seed, epoch)[number]), geometry.zoom, rng)
        scene = self._scenes[cell.scene]
        units = units_of(self._prepared.normalization, scene.value_range)
        grown, raw = self._with_margin(cell, scene, window, raw)
        raw = zoomed(
            raw,
            (grown.height if grown != window else rows) * scene.scale,
            (grown.width if grown != window else cols) * scene.scale,
            labels_seen=isinstance(data.input, LabelsInput),
            labels_wanted=isinstance(data.target, MaskTarget),
        )
        if not isinstance(data.input, LabelsInput):
            raw = replace(raw, pixels=light.lit(raw.pixels.astype(np.float32), units, scene.value_dtype))
        if grown == window:
            # Before anything is drawn for single pixels, which are the result's.
            posed = pose(geometry.applied(raw), data, units, scene.value_dtype, rng)
        else:
            posed = _moved(_inner(pose(raw, data, units, scene.value_dtype, rng), window, grown, scene.scale), geometry)
        image = light.disturbed(units.normalised(posed.seen), rng)
        # As predict/normalize.py: NaN in its own band, what is invalid in all.
        image = np.where(posed.valid & ~np.isnan(image), image, np.float32(data.nodata.fill))
        place = window.scale(scene.scale).shift(scene.region.row_off, scene.region.col_off)
        name = f"{scene.pair.image.name}@{place.col_off},{place.row_off}"
        return Sample(posed=posed, image=image, name=name)

    def _drawn(self, number: int, zoom: float, rng: np.random.Generator) -> tuple[Cell, Window, Raw]:
        """A window of a cell, in input pixels, with enough to learn from, or the best of some."""
        cells = self._prepared.cells
        best: tuple[Cell, Window, Raw] | None = None
        most = -1.0
        for trial in range(1 + _REDRAWN):
            cell = cells[number if trial <= _REDRAWN // 2 else cells.drawn(rng)]
            scene = self._scenes[cell.scene]
            window = _zoomed_window(scene, scene.lattice.drawn(cell.row, cell.col, rng), zoom)
            raw = self._read(cell.scene, scene, window)
            share = raw.counts.sum() / _inside(scene, window.scale(scene.scale)).num_pixels
            if share > most:
                best, most = (cell, window, raw), share
            if share >= self._data.sampling.min_valid and share > 0:
                break
        if best is None:
            raise AssertionError("a window was drawn")
        return best

    def _read(self, number: int, scene: Inspected, window: Window) -> Raw:
        """The window, mirrored where it goes beyond the image; what is mirrored does not count."""
        wanted = window.scale(scene.scale)
        inside = _inside(scene, wanted)
        raw = self._scenes.read(number, inside)
        down, across = wanted.height - inside.height, wanted.width - inside.width
        if not down and not across:
            return raw
        pads = ((0, down), (0, across))
        deep = ((0, 0), *pads)
        target = raw.target
        if target is not None:
            target = np.pad(target, deep if target.ndim == 3 else pads, mode="reflect")
        return Raw(
            pixels=np.pad(raw.pixels, deep, mode="reflect"),
            valid=np.pad(raw.valid, pads, mode="reflect"),
            target=target,
            counts=np.pad(raw.counts, pads, constant_values=False),
        )

    def _with_margin(self, cell: Cell, scene: Inspected, window: Window, raw: Raw) -> tuple[Window, Raw]:
        """For super-resolution, where the size stays as it is: as much around the window as the kernel sees, so that
        it is a part of the whole image made smaller.
        """
        height, width = scene.region.height // scene.scale, scene.region.width // scene.scale
        if (
            scene.scale == 1
            or (window.height, window.width) != self._data.sampling.sides
            or window.row_stop > height
            or window.col_stop > width
        ):
            return window, raw
        grown = Window.from_bounds(
            (max(0, window.row_off - _MARGIN), min(height, window.row_stop + _MARGIN)),
            (max(0, window.col_off - _MARGIN), min(width, window.col_stop + _MARGIN)),
        )
        return grown, self._read(cell.scene, scene, grown) if grown != window else raw


def _zoomed_window(scene: Inspected, place: tuple[int, int], zoom: float) -> Window:
    """The window that becomes the wanted one when things in it are made larger by `zoom`: about the same centre, moved
    into the image, and no larger than it.
    """
    lattice = scene.lattice
    rows, cols = (
        _about(start, size, zoom, side)
        for start, size, side in zip(place, (lattice.rows, lattice.cols), (lattice.height, lattice.width), strict=True)
    )
    return Window.from_bounds(rows, cols)


def _about(start: int, size: int, zoom: float, side: int) -> tuple[int, int]:
    length = min(side, max(1, round(size / zoom)))
    begin = min(max(0, start + (size - length) // 2), side - length)
    return begin, begin + length


def _inside(scene: Inspected, window: Window) -> Window:
    """The part of a window that lies in the scene's region; places count from the region's corner."""
    return window.intersection(Window(0, 0, scene.region.width, scene.region.height))


def _inner(posed: Posed, window: Window, grown: Window, scale: int) -> Posed:
    seen = window.shift(-grown.row_off, -grown.col_off)
    wanted = seen.scale(scale)
    return replace(
        posed,
        seen=posed.seen[:, seen.rows, seen.cols],
        valid=posed.valid[seen.rows, seen.cols],
        target=posed.target[..., wanted.rows, wanted.cols],
        counts=posed.counts[wanted.rows, wanted.cols],
    )


def _moved(posed: Posed, geometry: Geometry) -> Posed:
    return replace(
        posed,
        seen=geometry.moved(posed.seen),
        valid=geometry.moved(posed.valid),
        target=geometry.moved(posed.target),
        counts=geometry.moved(posed.counts),
    )
