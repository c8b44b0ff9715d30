"""What a job will do: scenes to process, scenes done, scenes set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from encdec_batch.errors import CredentialsExpired, EncdecError, HeaderTooLarge, SpecError, unexpected
from encdec_batch.models.card import Card
from encdec_batch.plan.budget import BlockSide
from encdec_batch.plan.cost import Cost
from encdec_batch.plan.fit import fitting_bands
from encdec_batch.plan.item import work_items
from encdec_batch.plan.open import look_up, open_scene
from encdec_batch.plan.outlines import refuse_outlines
from encdec_batch.plan.output_size import refuse_too_large
from encdec_batch.plan.recipe import Order, Recipe
from encdec_batch.plan.scene import Candidate, ScenePlan, SetAside
from encdec_batch.plan.totals import PlanTotals
from encdec_batch.privacy import PRIVATE_SCHEME
from encdec_batch.read.header import SceneHeader
from encdec_batch.read.reader import Reader
from encdec_batch.spec.job import JobSpec

LOOK_UPS = 16
"""Named objects whose etag is asked for at a time."""
STAGED_ABOVE = 2.0
"""Bytes read for each byte of a scene, above which it is cut into tiles first."""
STAGED_FROM_BYTES = 8 * 2**20
"""Smaller scenes are fetched by one get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """A marker, as far as planning needs it."""

    scene_key: str
    outputs: frozenset[str]
    generation: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A scene set aside by an earlier run."""

    trial_key: str
    """Of the order that set it aside (`Order.trial_key`)."""
    aside: SetAside


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What lies in the output when a run begins."""

    committed: Mapping[str, Committed]
    """By scene id."""
    quarantined: Mapping[str, Quarantined]
    """By scene id."""
    parts: Mapping[str, frozenset[str]]
    """Part key to names of the blocks whose parts are there, and of the checks."""


class Seen(Protocol):
    """What planning wants to know of an object: a reader says it, and so does a row of an earlier plan."""

    @property
    def header(self) -> SceneHeader: ...

    @property
    def etag(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A scene that is to be processed."""

    scene: ScenePlan
    bytes_to_read: int
    """Of encoded pixels, that its blocks which are left cost, beside what its header brings along."""
    remembered: bool = False
    """An earlier plan of this output holds its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The work of one run."""

    recipe: Recipe
    scenes: tuple[ScenePlan, ...]
    """To be processed, in the order of the listing."""
    bytes_to_read: Mapping[str, int]
    """By scene id: bytes of encoded pixels that its blocks cost."""
    done: tuple[str, ...]
    """Ids of scenes whose committed output is what is wanted."""
    set_aside: tuple[SetAside, ...]
    """By this plan, and by earlier runs where nothing has changed since."""
    keys: Mapping[str, str]
    """Scene id to scene key, of everything that has one."""
    note: str = ""
    """Of the source; may be empty."""

    @property
    def num_blocks(self) -> int:
        """Blocks still to be computed."""
        return sum(scene.grid().num_blocks - len(scene.blocks_done) for scene in self.scenes)

    @property
    def totals(self) -> PlanTotals:
        """What the scenes come to."""
        totals = PlanTotals(recipe=self.recipe)
        for scene in self.scenes:
            totals.add(scene, self.bytes_to_read[scene.scene_id])
        return totals

    @property
    def bytes_for_statistics(self) -> int:
        """Read beforehand, at most: what an earlier run counted is not counted again."""
        return self.totals.bytes_for_statistics

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user may not expect."""
        return (*filter(None, [self.note]), *self.totals.notes)

    def cost(self) -> Cost:
        """What is still to be computed."""
        return self.totals.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """Candidates by what is to become of them; no object was opened for it."""

    todo: tuple[Candidate, ...]
    """Each with its etag."""
    done: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    keys: Mapping[str, str]


def sort_candidates(order: Order, candidates: Iterable[Candidate], known: Known) -> Sorted:
    """Which scenes are done, which stay set aside, and which are to do: by keys alone."""
    done: list[str] = []
    aside: list[SetAside] = []
    keys: dict[str, str] = {}
    todo: list[Candidate] = []
    for found in _with_etags(order.spec, candidates):
        if isinstance(found, SetAside):
            aside.append(found)
            continue
        key = keys[found.scene_id] = _key(order, found)
        verdict = _verdict(order, known, found.scene_id, key)
        if verdict is None:
            todo.append(found)
        elif isinstance(verdict, SetAside):
            aside.append(verdict)
        else:
            done.append(found.scene_id)
    return Sorted(todo=tuple(todo), done=tuple(done), set_aside=tuple(aside), keys=keys)


def aside_from(error: EncdecError, *, scene_id: str, uri: str, stage: str, block: str | None = None) -> SetAside:
    """The record of an error that concerns one scene."""
    return SetAside(
        scene_id=scene_id,
        uri=uri,
        stage=stage,
        # Beside its own column the URI says nothing.
        reason=error.message.removeprefix(f"{uri}: "),
        hint=error.hint,
        block=block,
        transient=error.transient,
    )


def _key(order: Order, candidate: Candidate) -> str:
    return order.scene_key(candidate.images, candidate.bands)


def _verdict(order: Order, known: Known, scene_id: str, key: str) -> SetAside | bool | None:
    """True: done. SetAside: by an earlier run, and nothing has changed since. None: to do."""
    marker = known.committed.get(scene_id)
    if marker is not None and marker.scene_key == key and marker.outputs >= set(order.wanted):
        return True
    earlier = known.quarantined.get(scene_id)
    if earlier is not None and earlier.trial_key == order.trial_key(key) and not earlier.aside.transient:
        return earlier.aside
    return None


def _with_etags(spec: JobSpec, candidates: Iterable[Candidate]) -> Iterator[Candidate | SetAside]:
    """In their order. Scenes that were listed come with their etag; those that were named are looked up."""
    named = list(candidates)
    if all(candidate.etag for candidate in named):
        yield from named
        return
    with ThreadPoolExecutor(LOOK_UPS) as pool:
        yield from pool.map(lambda candidate: with_etag(spec, candidate), named)


def with_etag(spec: JobSpec, candidate: Candidate) -> Candidate | SetAside:
    """Listed objects come with their etag; those that were named are looked up."""
    if candidate.etag:
        return candidate
    try:
        info = look_up(spec, candidate.images[0])
    except Exception as error:  # noqa: BLE001  (the boundary: one scene must not stop the others)
        return _aside_of(error, candidate)
    return replace(candidate, etag=info.etag, size_bytes=info.size)


def open_candidate(
    recipe: Recipe, candidate: Candidate, known: Known, *, max_header_bytes: int | None = None
) -> Planned | SetAside:
    """The scene cut and keyed, and the bytes of pixels that its blocks cost: its header is read.

    Raises:
        SpecError: no block of any scene fits the budget.
        HeaderTooLarge: the header needs more than `max_header_bytes`, where these are given.
    """
    try:
        with open_scene(recipe.spec, candidate.images, max_header_bytes=max_header_bytes) as reader:
            scene = _cut(recipe, candidate, reader, known)
            bytes_to_read = _bytes_to_read(scene, reader, recipe.card)
            if _needs_staging(scene, bytes_to_read):
                # Read once from end to end instead; the tiles cost about what the scene does.
                return Planned(scene=replace(scene, staged=True), bytes_to_read=scene.header.encoded_bytes)
            return Planned(scene=scene, bytes_to_read=bytes_to_read)
    except SpecError as error:
        return _beyond_budget(recipe, candidate, error)
    except Exception as error:
        if isinstance(error, HeaderTooLarge) and max_header_bytes is not None:
            raise
        return _aside_of(error, candidate)  # the boundary, as above


def cut_candidate(recipe: Recipe, candidate: Candidate, seen: Seen, known: Known) -> ScenePlan | SetAside:
    """The scene cut and keyed from a header that was read before; the object is not opened.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    try:
        return _cut(recipe, candidate, seen, known)
    except SpecError as error:
        return _beyond_budget(recipe, candidate, error)
    except Exception as error:  # noqa: BLE001  (the boundary, as above)
        return _aside_of(error, candidate)


def _beyond_budget(recipe: Recipe, candidate: Candidate, error: SpecError) -> SetAside:
    """No block of this scene fits: it waits for a larger budget, or that is the spec's fault and ends the run."""
    recipe.check_budget()
    # Transient: the budget is no property of the scene, and in no trial key. The next run looks again.
    return replace(_aside_of(error, candidate), transient=True)


def _aside_of(error: Exception, candidate: Candidate) -> SetAside:
    if isinstance(error, CredentialsExpired):
        raise error  # no scene's fault either, and the same for all of them
    private = candidate.uri.startswith(PRIVATE_SCHEME)
    said = error if isinstance(error, EncdecError) else unexpected(error, "plan", private=private)
    return aside_from(said, scene_id=candidate.scene_id, uri=candidate.uri, stage="plan")


def _cut(recipe: Recipe, candidate: Candidate, reader: Seen, known: Known) -> ScenePlan:
    bands = fitting_bands(reader.header, recipe.card, candidate.bands or recipe.spec.source.bands)
    key = _key(recipe.order, candidate)
    marker = known.committed.get(candidate.scene_id)
    current = marker is not None and marker.scene_key == key
    outputs = tuple(name for name in recipe.order.wanted if not (marker and current and name in marker.outputs))
    block = _block_side(recipe, reader.header.dtype)
    header = reader.header
    if recipe.spec.privacy.hide == "on":
        # Descriptions in a file are free text.
        header = replace(header, band_names=(None,) * header.num_bands)
    scene = ScenePlan(
        scene_id=candidate.scene_id,
        uri=candidate.uri,
        etag=reader.etag,
        size_bytes=reader.size_bytes,
        header=header,
        bands=bands,
        asked_bands=candidate.bands,
        geometry=recipe.geometry,
        tiling=recipe.tiling(block.side),
        levels=block.levels,
        scene_key=key,
        part_key="",
        outputs=outputs,
        generation=marker.generation + 1 if marker else 1,
        marker_etag=marker.etag if marker else None,
        by_statistics=recipe.card.by_statistics,
        link=candidate.link,
        plane=candidate.plane,
        stack=candidate.stack,
    )
    refuse_too_large(scene, recipe)
    refuse_outlines(scene)
    part_key = recipe.part_key(key, block, scene.grid().tile_shape, outputs, decoder=header.decoder)
    scene = replace(scene, part_key=part_key, checks=recipe.checks(scene))
    return scene.with_done(known.parts.get(part_key, frozenset()))


def _block_side(recipe: Recipe, dtype: str) -> BlockSide:
    try:
        return recipe.block_side(np.dtype(dtype).itemsize)
    except SpecError as error:
        raise SpecError(f"its pixels are {dtype}: {error.message}", hint=error.hint) from error


def _needs_staging(scene: ScenePlan, bytes_to_read: int) -> bool:
    """Strips as wide as the scene are read again for every block beside it: dear for wide scenes."""
    large = scene.header.encoded_bytes > STAGED_FROM_BYTES
    return large and scene.header.layout == "striped" and bytes_to_read > STAGED_ABOVE * scene.header.encoded_bytes


def _bytes_to_read(scene: ScenePlan, reader: Reader, card: Card) -> int:
    pieces = [piece for item in work_items([scene]) for piece in item.pieces]
    return sum(reader.bytes_for(piece.source_windows(card.padding), scene.bands) for piece in pieces)
