"""The network of a job, as the catalogue of its output describes it."""

from __future__ import annotations

from encdec_batch.models.package import Package
from encdec_batch.plan.recipe import Order
from encdec_batch.report.catalogue import Network


def network_of(order: Order, package: Package) -> Network | None:
    """None: the spec wants no catalogue."""
    if not order.spec.output.catalogue:
        return None
    return Network(card=package.card, digest=package.digest, uri=package.folder or package.uri, outputs=order.wanted)
