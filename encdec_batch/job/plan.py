"""`plan`: from a spec to a Plan, in two steps, so that a finished archive is known to be finished without opening a
scene or starting Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import ObjectMissing, SpecError
from encdec_batch.job.contents import Listing, list_scenes
from encdec_batch.job.looking import Told, untold
from encdec_batch.job.survey import survey
from encdec_batch.models.package import Package, load_package
from encdec_batch.plan.budget import NETWORK_COPIES, PROCESS_BYTES
from encdec_batch.plan.expand import Group
from encdec_batch.plan.identity import apart_from
from encdec_batch.plan.listing import passed_over_note
from encdec_batch.plan.memory import PlanMemory
from encdec_batch.plan.opening import make_plan, plan_scenes, wanted_of
from encdec_batch.plan.plan import Known, Plan, Planned, Sorted, sort_candidates
from encdec_batch.plan.public_spec import source_name
from encdec_batch.plan.recipe import Order, Recipe, Resolved
from encdec_batch.plan.scene import Candidate, SetAside
from encdec_batch.plan.table import read_resolved
from encdec_batch.plan.totals import PlanTotals
from encdec_batch.spec.compute import LocalStream, RayStream
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.open import open_store
from encdec_batch.store.store import Store
from encdec_batch.stream.local_room import num_processes_for, num_threads, process_bytes
from encdec_batch.stream.rules import Rules
from encdec_batch.stream.stream import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What is asked for, and the scenes it is asked for: nothing of the output was looked at yet."""

    order: Order
    package: Package
    listing: Listing
    note: str
    """Of what lies there and was not taken; may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that is known before a device is looked at."""

    order: Order
    package: Package
    known: Known
    work: Sorted
    note: str
    """Of the source; may be empty."""
    groups: tuple[Group, ...] = ()
    """Which scenes are slices of one volume."""


def build_plan(spec: JobSpec, told: Told = untold) -> Plan:
    """What `run` would do; writes nothing.

    Args:
        spec: the job.
        told: hears how many objects were looked into, of how many, where they may hold several images.

    Raises:
        SpecError, ModelError, StoreError: as `run`.
    """
    placed = place(spec, told)
    store = open_store(spec.output.uri, spec.output.storage)
    prepared = prepare(placed, survey(store))
    with host_of(_as_planned_here(spec), prepared.package, witnessed=False) as host:
        return finish_plan(prepared, host, store)


def place(spec: JobSpec, told: Told = untold) -> Placed:
    """Loads the package and lists the source.

    Args:
        spec: the job.
        told: as for `build_plan`.

    Raises:
        SpecError: the spec does not fit the package, or no scene is there.
        ModelError: the package cannot be used.
        StoreError: the source does not answer.
    """
    package = load_package(spec.model.package, spec.model.storage)
    # An alias may be moved tomorrow: from here on the spec, also the one that the run leaves, names the version.
    spec = spec.model_copy(update={"model": spec.model.model_copy(update={"package": package.uri})})
    order = Order(spec=spec, card=package.card, package_digest=package.digest)
    order.check()
    listing = list_scenes(spec, open_store(spec.output.uri, spec.output.storage), told, here=False)
    spec = _with_privacy(spec, private=listing.private)
    order = replace(order, spec=spec)
    note = passed_over_note(listing.passed_over, "source.pattern" if spec.source.kind == "glob" else "source.suffixes")
    if not listing.candidates and not listing.unnamed:
        where = "the list" if spec.source.kind == "list" else source_name(spec)
        raise SpecError(
            "; ".join(filter(None, [f"{where}: no scene is there", note])),
            hint="check source.uri, and source.suffixes or source.pattern",
        )
    return Placed(
        order=order,
        package=package,
        listing=listing,
        note=note,
    )


def _with_privacy(spec: JobSpec, *, private: bool) -> JobSpec:
    """The spec with `auto` resolved: from here on everybody knows whether names are hidden."""
    privacy = spec.privacy.resolved(private=private)
    report = spec.report if not private or privacy.pictures else spec.report.model_copy(update={"previews": 0})
    return spec.model_copy(update={"privacy": privacy, "report": report})


def prepare(placed: Placed, known: Known) -> Prepared:
    """What is left to do of an order."""
    listed = placed.listing.candidates
    candidates = apart_from(listed, known.committed)
    ids = {before.scene_id: now.scene_id for before, now in zip(listed, candidates, strict=True)}
    work = sort_candidates(placed.order, candidates, known)
    work = replace(work, set_aside=(*placed.listing.unnamed, *work.set_aside))
    return Prepared(
        order=placed.order,
        package=placed.package,
        known=known,
        work=work,
        note=placed.note,
        groups=tuple(group.renamed(ids) for group in placed.listing.groups),
    )


def leave(prepared: Prepared, keep: Callable[[Candidate], bool], markers: Iterable[tuple[Marker, Any]]) -> Prepared:
    """The same, less committed scenes that are to stay as they are, whatever network or options they were made with.

    A scene whose file was replaced, or of which other bands are asked for, never stays.

    Args:
        prepared: of the whole order.
        keep: says whether a scene stays.
        markers: of the output; what comes beside each is not looked at.
    """
    work, order = prepared.work, prepared.order
    asked = {one.scene_id: one for one in work.todo if one.scene_id in prepared.known.committed}
    stays = {
        marker.scene_id: marker.scene_key
        for marker, _ in markers
        if marker.outputs
        and (one := asked.get(marker.scene_id)) is not None
        and _same_input(marker, one, order)
        and keep(one)
    }
    work = replace(
        work,
        todo=tuple(one for one in work.todo if one.scene_id not in stays),
        done=(*work.done, *stays),
        keys={**work.keys, **stays},
    )
    return replace(prepared, work=work)


def _same_input(marker: Marker, candidate: Candidate, order: Order) -> bool:
    """Whether a marker is of the pixels that a candidate has now."""
    bands = candidate.bands or order.spec.source.bands or range(1, order.card.num_bands + 1)
    return marker.input.etag == candidate.etag and marker.summary.get("bands") == list(bands)


def finish_plan(prepared: Prepared, host: Host, store: Store) -> Plan:
    """`auto` resolved (once for an unfinished output), headers opened, scenes cut: the whole plan."""
    recipe = resolve_recipe(prepared, host, store)
    memory = PlanMemory(store, recipe.spec)
    plan = make_plan(recipe, prepared.work, prepared.known, host.openers(recipe), memory)
    return replace(plan, note=prepared.note)


def resolve_recipe(prepared: Prepared, host: Host, store: Store) -> Recipe:
    """The order with everything `auto` resolved.

    Raises:
        SpecError: there is something to do, and no block of any scene fits the budget.
    """
    recipe = Recipe(order=prepared.order, resolved=_resolve(prepared, host, store))
    if prepared.work.todo:
        recipe.check_budget()
    return recipe


def plan_ahead(prepared: Prepared, recipe: Recipe, host: Host, store: Store) -> Iterator[Planned | SetAside]:
    """The plan scene by scene, while others are already processed.

    Raises:
        SpecError: no block of any scene fits the budget.
    """
    known = prepared.known
    memory = PlanMemory(store, recipe.spec)
    return plan_scenes(recipe, wanted_of(prepared.work, known), host.openers(recipe), parts=known.parts, memory=memory)


def host_of(
    spec: JobSpec, package: Package, *, verbose: bool = False, rules: Rules | None = None, witnessed: bool = True
) -> Host:
    """Where the spec says the job runs; not `witnessed`, nothing is written where this process dies of a header."""
    stream = spec.compute.stream
    if isinstance(stream, LocalStream):
        from encdec_batch.stream.local import LocalHost

        return LocalHost(package, workers=stream.workers, rules=rules, witnessed=witnessed)
    from encdec_batch.stream.ray_data import RayHost

    return RayHost(package, stream, verbose=verbose, rules=rules)


def _as_planned_here(spec: JobSpec) -> JobSpec:
    """A plan for a Ray of this machine needs no Ray."""
    stream = spec.compute.stream
    if isinstance(stream, RayStream) and stream.address == "local":
        compute = spec.compute.model_copy(update={"stream": LocalStream(kind="local")})
        return spec.model_copy(update={"compute": compute})
    return spec


def _resolve(prepared: Prepared, host: Host, store: Store) -> Resolved:
    """What an unfinished run resolved stands while it was for the same order, engine and kind of device: parts are of
    its core. So a resumed run measures nothing again.
    """
    try:
        earlier = read_resolved(store, prepared.order)
    except ObjectMissing:
        earlier = None
    asked = prepared.order.spec
    if earlier is None or asked.tiling.core != "auto":
        return host.resolve(asked)
    fixed = asked.model_copy(update={"tiling": asked.tiling.model_copy(update={"core": earlier.core})})
    here = host.resolve(fixed)
    same = (here.device_kind, here.engine, here.precision) == (earlier.device_kind, earlier.engine, earlier.precision)
    return replace(here, rates=earlier.rates) if same else host.resolve(asked)


def projected_bytes(plan: Plan | PlanTotals) -> int:
    """Memory of a worker process: itself, and the largest block with all that is alive at a time, for each of its
    threads, the network's activations among it.
    """
    totals = plan.totals if isinstance(plan, Plan) else plan
    recipe = totals.recipe
    bills = [
        recipe.burden(np.dtype(scene.header.dtype).itemsize).block_bytes(
            scene.geometry, scene.tiling, max(scene.grid().tile_shape)
        )
        for scene in totals.largest.values()
    ]
    threads = _threads(recipe)
    network = NETWORK_COPIES * 4 * recipe.card.memory.parameters
    return PROCESS_BYTES + totals.decoded_bytes + threads * (network + max(bills)) if bills else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Helpers:
    """Processes beside the one of a local stream, which divide many small scenes among them."""

    number: int
    bytes: int
    """Memory of each, at most."""


def projected_helpers(plan: Plan) -> Helpers:
    """Of this plan; none, where it is not for a local stream or has few small scenes."""
    recipe = plan.recipe
    if not plan.scenes or not isinstance(recipe.spec.compute.stream, LocalStream):
        return Helpers(number=0, bytes=0)
    number = num_processes_for(recipe, _threads(recipe), plan.scenes)
    return Helpers(number=number, bytes=process_bytes(recipe) if number else 0)


def _threads(recipe: Recipe) -> int:
    """That run the network in one process."""
    stream = recipe.spec.compute.stream
    return num_threads(stream.workers, recipe.resolved.torch_device) if isinstance(stream, LocalStream) else 1


def to_dict(plan: Plan) -> dict[str, Any]:
    """The figures of a plan, for scripts."""
    totals, cost = plan.totals, plan.totals.cost
    return {
        "scenes": {"todo": len(plan.scenes), "done": len(plan.done), "set_aside": len(plan.set_aside)},
        "blocks": totals.blocks,
        "block_sides": sorted(totals.block_sides),
        "pixels": cost.scene_pixels,
        "tiles": cost.tiles,
        "tile_pixels": cost.tile_pixels,
        "halo": plan.recipe.halo_pixels,
        "halo_tax": cost.halo_tax,
        "checks": cost.checks,
        "check_share": cost.check_share,
        "dearest": {"scene_id": cost.dearest, "halo_tax": cost.dearest_tax},
        "exact": plan.recipe.exact,
        "bytes_to_read": totals.bytes_to_read,
        "bytes_for_statistics": totals.bytes_for_statistics,
        "bytes_in_scenes": totals.bytes_in_scenes,
        "projected_bytes": projected_bytes(totals),
        "helpers": asdict(projected_helpers(plan)),
        "resolved": asdict(plan.recipe.resolved),
        "set_aside": [asdict(aside) for aside in plan.set_aside],
        "notes": list(plan.notes),
    }
