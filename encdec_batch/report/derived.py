"""The table of scenes and the catalogue in one pass over the markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from encdec_batch.commit.marker import Marker
from encdec_batch.report.catalogue import Catalogue
from encdec_batch.report.catalogue_before import has_catalogue
from encdec_batch.report.gone_since import Gone, gone_before
from encdec_batch.report.stac_network import Network
from encdec_batch.report.tables import write_scenes
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store


def write_derived(
    store: Store,
    found: Iterable[tuple[Marker, ObjectInfo]],
    check: Callable[[], None],
    gone: Gone,
    network: Network | None,
) -> None:
    """Both, by a run that has looked which inputs are gone.

    Args:
        store: the root of the output.
        found: every marker.
        check: raises when the lease is no longer ours.
        gone: whose inputs are gone.
        network: of the run.
    """
    with Catalogue(store, check, gone, network=network) as catalogue:
        catalogue.finish(write_scenes(store, catalogue.noting(found), gone.date_of).etag)


def renew_derived(
    store: Store,
    found: Iterable[tuple[Marker, ObjectInfo]],
    check: Callable[[], None],
    *,
    network: Network | None = None,
    anew: bool = False,
) -> None:
    """The table, and the catalogue where there is one or `network` is given, after something was taken out of an
    output; inputs that were gone still are.

    Args:
        store: the root of the output.
        found: every marker.
        check: raises when the lease is no longer ours.
        network: for a catalogue that is to be made, or described anew.
        anew: every item is written again.
    """
    gone = gone_before(store)
    if network is None and not has_catalogue(store):
        write_scenes(store, found, gone.date_of)
        return
    with Catalogue(store, check, gone, network=network, anew=anew) as catalogue:
        catalogue.finish(write_scenes(store, catalogue.noting(found), gone.date_of).etag)
