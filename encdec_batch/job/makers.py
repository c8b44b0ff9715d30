"""What a committed scene was made by: the spec of a run, its package, and the network, ready on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from encdec_batch.commit.marker import Marker
from encdec_batch.errors import ModelError, SpecError, StoreError
from encdec_batch.job.history import is_of, spec_of
from encdec_batch.job.status import run_ids
from encdec_batch.models.card import Card, ToleranceCard
from encdec_batch.models.package import Package, load_package
from encdec_batch.plan.inputs import Inputs
from encdec_batch.plan.product import Product
from encdec_batch.plan.products import products_of
from encdec_batch.plan.recipe import Order
from encdec_batch.spec.job import JobSpec
from encdec_batch.store.store import Store

if TYPE_CHECKING:
    from encdec_batch.predict.engine import Engine

SPECS = 50
"""Newest specs that are looked through for the one that a scene was made by."""


class NotComparedError(Exception):
    """A scene cannot be made again here; the message is why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Everything but the input that a scene was made of."""

    spec: JobSpec
    card: Card
    product: Product
    """The mask or the image."""
    engine: Engine
    tolerance: ToleranceCard
    inputs: Inputs


class Makers:
    """Finds them; specs, packages and networks are loaded once each."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._orders: list[tuple[Order, Package, Inputs]] | None = None
        self._missing = ""
        self._engines: dict[tuple[str, str, str], Engine] = {}

    def of(self, marker: Marker) -> Maker:
        """That of a scene.

        Raises:
            NotComparedError: it is no longer there, or says nothing of single windows, or not here.
        """
        order, package, inputs = self._order(marker)
        card, product = package.card, products_of(package.card, order.spec.output)[0]
        if marker.summary.get("exact") is not True or card.geometry.exactness == "global":
            raise NotComparedError("an approximation, which another tiling does not repeat")
        if f"{product.name}.tif" not in marker.outputs:
            raise NotComparedError(f"without {product.name}.tif no file has the network's own pixels")
        engine, tolerance = self._engine(package, marker)
        return Maker(spec=order.spec, card=card, product=product, engine=engine, tolerance=tolerance, inputs=inputs)

    def _order(self, marker: Marker) -> tuple[Order, Package, Inputs]:
        if self._orders is None:
            self._orders = [(order, package, Inputs(order.spec)) for order, package in self._load()]
        for order, package, inputs in self._orders:
            if is_of(order, marker):
                return order, package, inputs
        raise NotComparedError(self._missing or "the spec or package that made it is no longer there")

    def _load(self) -> Iterator[tuple[Order, Package]]:
        seen: list[JobSpec] = []
        for run_id in run_ids(self._store):
            if len(seen) == SPECS:
                return
            try:
                spec = spec_of(self._store, run_id)
                if spec is None or spec in seen:
                    continue
                seen.append(spec)
                package = load_package(spec.model.package, spec.model.storage)
            except (SpecError, ModelError, StoreError) as error:
                self._missing = self._missing or error.message
                continue
            yield Order(spec=spec, card=package.card, package_digest=package.digest), package

    def _engine(self, package: Package, marker: Marker) -> tuple[Engine, ToleranceCard]:
        """In the precision that the scene was made in, on a device of that family."""
        from encdec_batch.predict.engines import open_engine
        from encdec_batch.predict.resolve import device_for

        precision, kind = str(marker.summary.get("precision")), str(marker.summary.get("device_kind"))
        family = "cuda" if kind.startswith("cuda") else "cpu"
        tolerance = package.card.tolerance.get(f"{family}/{precision}")
        if tolerance is None:
            raise NotComparedError(f"the card of {package.card.name} has no tolerance for {family}/{precision}")
        key = package.digest, family, precision
        if key not in self._engines:
            try:
                device = device_for(package.card, family, precision, "auto")
            except SpecError:
                raise NotComparedError(f"made on {kind}, and there is none here") from None
            self._engines[key] = open_engine(package, device=device.torch_name, precision=device.precision)
        return self._engines[key], tolerance
