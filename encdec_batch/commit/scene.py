"""The commit of one scene: its files from its parts, into the folder of its generation, then the marker.

The steps, and what a reader sees after a death at each of them: docs/format.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from pydantic import JsonValue

from encdec_batch.commit.certificate import certify, without_checks
from encdec_batch.commit.checks import stored_checks
from encdec_batch.commit.files import FileOrder, file_notes, file_options, write_files
from encdec_batch.commit.generation import output_folder
from encdec_batch.commit.marker import InputObject, Marker, MoveResult, carry_on, move_marker, read_marker
from encdec_batch.commit.parts import MemoryParts, Parts, SceneTiles, StoredParts, digest_d
from encdec_batch.commit.prune import PARTS_PREFIX
from encdec_batch.commit.pyramid import COARSE, has_coarse, write_coarse
from encdec_batch.commit.summary import scene_summary
from encdec_batch.errors import CertificateFailed, CommitConflict, PartMissing
from encdec_batch.plan.output_size import largest_cog
from encdec_batch.plan.products import needed_products
from encdec_batch.plan.recipe import Recipe
from encdec_batch.plan.scene import ScenePlan
from encdec_batch.store.store import Store
from encdec_batch.write.check import Check
from encdec_batch.write.versions import encoder_versions


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOrder:
    """What is to be committed, and under which lease."""

    recipe: Recipe
    scene: ScenePlan
    lease_n: int


def part_path(part_key: str, name: str) -> str:
    """Path of a part from the root of the output."""
    return f"{PARTS_PREFIX}{part_key}/{name}"


def commit_stored(store: Store, order: CommitOrder) -> MoveResult:
    """Commits a scene whose parts lie in the store.

    Raises:
        PartMissing: parts are gone or damaged; the damaged ones were deleted.
        CertificateFailed: the parts are not what check windows give; they were deleted.
        CommitConflict: the marker is another's.
        LeaseHeld: another run has taken over.
    """
    scene = order.scene
    prefix = part_path(scene.part_key, "")
    parts = StoredParts(store, prefix, [block.name for block in scene.grid().blocks()])
    try:
        return commit_scene(store, order, parts, stored_checks(store, prefix, scene))
    except CertificateFailed:
        # Under this key they would be used again.
        store.delete([info.path for info in store.list(prefix)])
        raise
    except PartMissing:
        # A faster committer may have been done and its parts removed: then all is well.
        found = read_marker(store, scene.scene_id)
        if (
            found is not None
            and found[0].scene_key == scene.scene_key
            and found[0].outputs.keys() >= set(scene.outputs)
        ):
            return MoveResult(marker=found[0], etag=found[1], moved=False)
        raise


def commit_scene(store: Store, order: CommitOrder, parts: Parts, checks: Sequence[Check]) -> MoveResult:
    """Writes the files that are still to be made and moves the marker; `parts` and `checks` (of all windows of the
    scene, in their order) may never have been stored.
    """
    scene = order.scene
    previous = _previous(store, scene)
    coarse = _coarse(store, order, parts)
    certificate = _certificate(order, parts, coarse, checks, previous)
    folder = output_folder(
        scene.scene_id,
        generation=scene.generation,
        scene_key=scene.scene_key,
        content=digest_d(parts, encoder_versions() | file_options(order.recipe)),
    )
    made = write_files(store, FileOrder(recipe=order.recipe, scene=scene, parts=parts, coarse=coarse), folder)
    asked = order.recipe.order.wanted
    marker = Marker(
        scene_id=scene.scene_id,
        generation=scene.generation,
        scene_key=scene.scene_key,
        outputs={**carry_on(previous, scene_key=scene.scene_key, asked=asked), **made},
        input=InputObject.of(scene.images),
        certificate=certificate,
        summary=_summary(order, parts, previous),
        notes=tuple(file_notes(order.recipe, scene)),
    )
    return move_marker(store, marker, expected_etag=scene.marker_etag, lease_n=order.lease_n)


def _certificate(
    order: CommitOrder, parts: Parts, coarse: Parts | None, checks: Sequence[Check], previous: Marker | None
) -> dict[str, JsonValue] | None:
    """Of the parts that the main product's files are of: where such a file is carried on, that of the marker before.
    None: nobody asked for one.
    """
    scene, recipe = order.scene, order.recipe
    main, found = recipe.products[0], None
    if recipe.spec.output.certify != "off" and main in needed_products(recipe.products, scene.outputs):
        tiles = SceneTiles(main, scene.grid().output_shape, parts, coarse)
        # Also where the one before stands: files that are added are not committed if they fail.
        found = certify(recipe, scene, tiles, checks) if checks else without_checks(scene)
    if previous is None or previous.scene_key != scene.scene_key:
        return found
    carried = main in needed_products(recipe.products, tuple(previous.outputs))
    return previous.certificate if carried else found


def _summary(order: CommitOrder, parts: Parts, previous: Marker | None) -> dict[str, JsonValue]:
    """An added output says nothing new of the scene: what the marker of this key said holds."""
    made = scene_summary(order.scene, order.recipe, parts)
    if previous is None or previous.scene_key != order.scene.scene_key:
        return made
    return {**made, **previous.summary}


def _previous(store: Store, scene: ScenePlan) -> Marker | None:
    """The marker as it was when the scene was planned.

    Raises:
        CommitConflict: it is another one by now, and not of this work.
    """
    if scene.marker_etag is None:
        return None
    found = read_marker(store, scene.scene_id)
    if found is not None and found[1] == scene.marker_etag:
        return found[0]
    if found is not None and found[0].scene_key == scene.scene_key:
        return found[0]
    raise CommitConflict(
        f"{store.uri}: the marker of scene {scene.scene_id} changed since it was planned",
        hint="the next run plans it again if need be",
        scene_id=scene.scene_id,
    )


def _coarse(store: Store, order: CommitOrder, parts: Parts) -> Parts | None:
    """The levels above L: in one more object beside the parts, or in memory where the parts are."""
    scene = order.scene
    if not has_coarse(scene.grid().output_shape, scene.levels):
        return None
    products = needed_products(order.recipe.products, scene.outputs)
    if isinstance(parts, MemoryParts):
        buffer = BytesIO()
        write_coarse(buffer, products, parts)
        return MemoryParts([buffer.getvalue()], [COARSE])
    # Levels above the first are a quarter of a pyramid.
    expected = sum(largest_cog(scene, product) for product in products) // 4
    with store.open_writer(part_path(scene.part_key, COARSE), expected_size=expected) as writer:
        write_coarse(writer, products, parts)
        writer.finish()
    return StoredParts(store, part_path(scene.part_key, ""), [COARSE])
