"""The STAC catalogue of an output, kept up while its markers pass by: derived, written by the driver alone.

A reader never finds a link to nothing: what is linked is written before the link, what is no longer linked is deleted
after it. Each link to a scene says of what its item was made, so that a later run knows which items still hold without
reading one; a link is written after its item, so what it says is true. docs/decisions/024 says why it is so.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, Self

from encdec_batch.commit.catalogue_paths import (
    CATALOGUE_PREFIX,
    COLLECTION,
    MODELS,
    is_of_catalogue,
    item_path,
    shard_of,
    shard_path,
)
from encdec_batch.commit.marker import Marker
from encdec_batch.report import stac
from encdec_batch.report.catalogue_before import (
    MADE_OF,
    OF_TABLE,
    read_children,
    read_collection,
    read_items,
    read_network,
)
from encdec_batch.report.gone_since import Gone
from encdec_batch.report.place import place_of
from encdec_batch.report.stac import ModelEntry
from encdec_batch.report.stac_network import Network, model_entry, model_item
from encdec_batch.store.object import ObjectInfo
from encdec_batch.store.store import Store

ITEM_FORMAT = 1
"""Raised when an item says something else of the same marker: then all are written again."""
WRITERS = 16
AHEAD = 256
"""Items that are written, or about to be, at a time; between so many the lease is looked at."""
DELETES_A_REQUEST = 1000
_ID = re.compile(r"[^A-Za-z0-9._-]+")


class Catalogue:
    """One pass: `with`, then the markers through `noting`, then `finish` once the table of scenes is written.

    Args:
        store: the root of the output.
        check: raises when the lease is no longer ours.
        gone: whose inputs are gone.
        network: of this run; None: nobody knows, and the collection goes on saying what it says.
        anew: no earlier item is believed, and what nothing links to is looked for and deleted.
    """

    def __init__(
        self, store: Store, check: Callable[[], None], gone: Gone, *, network: Network | None, anew: bool = False
    ) -> None:
        self._store, self._check, self._gone, self._network, self._anew = store, check, gone, network, anew
        self._collection: dict[str, Any] = {}
        self._before: dict[str, dict[str, str]] = {}
        """Sub-catalogue to its items, and to what each was made of; those that were met are taken out."""
        self._now: dict[str, dict[str, str]] = defaultdict(dict)
        self._changed: set[str] = set()
        """Sub-catalogues whose links are to be written."""
        self._models: dict[str, ModelEntry] = {}
        """By package digest, and by name and version."""
        self._boxes: list[tuple[float, ...]] = []
        self._times: list[float] = []
        self._pool = ThreadPoolExecutor(WRITERS)
        self._writing: set[Future[Any]] = set()
        self._num_items = 0

    def __enter__(self) -> Self:
        self._check()
        try:
            self._read()
            self._begin()
        except BaseException:
            self._pool.shutdown(cancel_futures=True)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def noting(self, found: Iterable[tuple[Marker, ObjectInfo]]) -> Iterator[tuple[Marker, ObjectInfo]]:
        """The same markers; the items of those that changed are written as they pass."""
        for marker, info in found:
            if marker.outputs:
                self._note(marker, info)
            yield marker, info

    def finish(self, scenes_etag: str) -> None:
        """Links, and what they no longer lead to; the etag is that of the table of scenes, written just before."""
        self._wait(0)
        self._check()
        self._changed |= {shard for shard, items in self._before.items() if items}
        for shard, items in self._now.items():
            if items and (shard in self._changed or self._anew):
                self._write(shard_path(shard), self._sub_catalogue(shard))
        self._wait(0)
        self._check()
        self._store.put(COLLECTION, stac.encode(self._whole_collection(scenes_etag)))
        self._check()
        stale = self._stale()
        while chunk := list(islice(stale, DELETES_A_REQUEST)):
            self._store.delete(chunk)

    def _read(self) -> None:
        """What an earlier run left: the links, and the networks."""
        self._collection = read_collection(self._store)
        shards = [shard for shard in read_children(self._store) or () if shard != MODELS]
        for shard, items in zip(shards, self._pool.map(lambda one: read_items(self._store, one), shards), strict=True):
            if items is not None:
                self._before[shard] = items
        networks = read_items(self._store, MODELS) or {}
        found = self._pool.map(lambda name: read_network(self._store, MODELS, name), networks)
        for (name, made_of), network in zip(networks.items(), found, strict=True):
            if network is not None:
                self._know(*network)
                self._now[MODELS][name] = made_of

    def _begin(self) -> None:
        """What every item links to is there before the first of them: the collection, and the network."""
        if not isinstance(self._collection.get("id"), str):
            name = self._store.uri.rstrip("/").rpartition("/")[2]
            self._collection = {"id": _ID.sub("-", name) or "output", "description": "outputs of encdec-batch"}
            self._collection = self._described() | {OF_TABLE: ""}
            self._store.put(COLLECTION, stac.encode(self._collection))
        network = self._network
        if network is None:
            return
        entry = model_entry(network.card, network.digest)
        self._know(network.digest, f"{network.card.name} {network.card.version}", entry)
        item = stac.encode(model_item(network.card, network.digest, network.uri))
        made_of = hashlib.sha256(item).hexdigest()[:16]
        if self._now[MODELS].get(entry.item_id) == made_of:
            return
        if not self._now[MODELS]:
            self._store.put(shard_path(MODELS), stac.encode(self._sub_catalogue(MODELS)))
        self._store.put(item_path(MODELS, entry.item_id), item)
        self._now[MODELS][entry.item_id] = made_of
        self._changed.add(MODELS)

    def _know(self, digest: str, name: str, entry: ModelEntry) -> None:
        self._models[digest] = self._models[name] = entry

    def _note(self, marker: Marker, info: ObjectInfo) -> None:
        shard, gone = shard_of(marker.scene_id), self._gone.date_of(marker)
        model = self._models.get(str(marker.summary.get("package") or marker.summary.get("model")))
        # What an item is a function of; the marker's etag stands for the marker.
        told = (ITEM_FORMAT, self._collection["id"], info.etag, int(info.modified), gone, model and model.item_id)
        made_of = hashlib.sha256(repr(told).encode()).hexdigest()[:16]
        before = self._before.get(shard, {}).pop(marker.scene_id, "")
        self._extend(marker, info)
        if before == made_of and not self._anew:
            self._now[shard][marker.scene_id] = before  # one text less for each of very many
            return
        self._now[shard][marker.scene_id] = made_of
        self._changed.add(shard)
        if shard not in self._before:
            # Items link to it: it is there before them, with no items yet, and linked by nothing.
            self._before[shard] = {}
            self._store.put(shard_path(shard), stac.encode(stac.sub_catalogue(shard, _SCENES, [])))
        item = stac.scene_item(marker, info.modified, collection=self._collection["id"], model=model, gone=gone)
        self._write(item_path(shard, marker.scene_id), item)

    def _extend(self, marker: Marker, info: ObjectInfo) -> None:
        place = place_of(marker.summary)
        if place is not None:
            self._boxes.append(place.bbox)
        self._times.append(info.modified)
        if len(self._times) > AHEAD:
            self._times = [min(self._times), max(self._times)]
            if self._boxes:
                self._boxes = [tuple(stac.extent(self._boxes, [])["spatial"]["bbox"][0])]

    def _write(self, path: str, value: dict[str, Any]) -> None:
        self._num_items += 1
        if self._num_items % AHEAD == 0:
            self._check()
        self._writing.add(self._pool.submit(self._store.put, path, stac.encode(value)))
        self._wait(AHEAD)

    def _wait(self, most: int) -> None:
        """Until no more than so many objects are being written."""
        while len(self._writing) > most:
            done, self._writing = wait(self._writing, return_when="FIRST_COMPLETED")
            for future in done:
                future.result()

    def _sub_catalogue(self, shard: str) -> dict[str, Any]:
        items = sorted(self._now[shard].items())
        said = _NETWORKS if shard == MODELS else _SCENES
        return stac.sub_catalogue(shard, said, ((name, {MADE_OF: made_of}) for name, made_of in items))

    def _described(self) -> dict[str, Any]:
        """The collection as this run describes it, or as it was."""
        network = self._network
        if network is None:
            fallback = {"type": "Collection", "stac_version": stac.STAC_VERSION, "license": "other"}
            return fallback | {"extent": stac.extent([], []), "links": []} | self._collection
        about = stac.About(
            collection_id=self._collection["id"],
            description=f"{network.card.name} {network.card.version}, by encdec-batch",
            outputs=network.outputs,
            model=model_entry(network.card, network.digest),
        )
        return stac.collection(about)

    def _whole_collection(self, scenes_etag: str) -> dict[str, Any]:
        children = [shard for shard, items in sorted(self._now.items()) if items]
        links = [
            {"rel": "root", "href": "./collection.json", "type": stac.JSON},
            *(stac.child(shard) for shard in children),
        ]
        return self._described() | {
            "extent": stac.extent(self._boxes, self._times), "links": links, OF_TABLE: scenes_etag,
        }  # fmt: skip

    def _stale(self) -> Iterator[str]:
        """Paths that nothing links to any more."""
        if self._anew:
            linked = {item_path(shard, name) for shard, items in self._now.items() for name in items}
            linked |= {shard_path(shard) for shard, items in self._now.items() if items}
            found = (info.path for info in self._store.list(CATALOGUE_PREFIX))
            yield from (path for path in found if is_of_catalogue(path) and path not in linked)
            return
        for shard, items in self._before.items():
            yield from (item_path(shard, name) for name in items)
            if not self._now.get(shard):
                yield shard_path(shard)


_SCENES, _NETWORKS = "scenes, by a hash of their ids", "networks that made them"
