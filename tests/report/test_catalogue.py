"""The catalogue of an output: valid, whole at every moment, and written again only where something changed."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes import FakeStore, fake_marker
from hypothesis import given, settings
from hypothesis import strategies as st
from models.made import declared
from report.validation import refusals

from encdec_batch.commit.catalogue_paths import is_of_catalogue, item_path, shard_of, shard_path
from encdec_batch.commit.foreign import is_ours
from encdec_batch.commit.marker import Marker, marker_path
from encdec_batch.errors import LeaseHeld, SpecError
from encdec_batch.models.card import Card, GeometryCard, MemoryCard
from encdec_batch.report.catalogue import Catalogue
from encdec_batch.report.catalogue_before import is_kept_up, refuse_foreign
from encdec_batch.report.catalogue_check import catalogue_fault
from encdec_batch.report.gone_since import Gone
from encdec_batch.report.stac import extent
from encdec_batch.report.stac_network import Network, model_item
from encdec_batch.report.tables import markers_of, write_scenes

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DIGEST = "d" * 64
PLACE = {
    "height": 100, "width": 200, "bounds_wgs84": [15.0, 36.1, 15.1, 36.2], "crs": "EPSG:32633", "package": DIGEST,
    "transform": [1.0, 0.0, 5e5, 0.0, -1.0, 4e6], "model": "unet 1",
    "outline_wgs84": [[[15.0, 36.2], [15.0, 36.1], [15.1, 36.1], [15.1, 36.2], [15.0, 36.2]]],
}  # fmt: skip


def card(**changes) -> Card:
    """Of two classes, one of whose names is no word of ASCII."""
    made = declared(**changes).model_dump()
    return Card.model_validate(
        {
            **made,
            "format_version": 1,
            "geometry": GeometryCard(scale=1, stride=2, reach=8, exactness="exact"),
            "memory": MemoryCard(parameters=100, activations=9.0),
            "files": {"weights.safetensors": "a" * 64, "golden.safetensors": "b" * 64},
        }
    )


def network() -> Network:
    return Network(card=card(), digest=DIGEST, uri="s3://models/unet", outputs=("mask.tif", "quicklook.png"))


def marker(scene_id: str, *, generation: int = 1, placed: bool = True, outputs=("mask.tif", "quicklook.png")) -> Marker:
    made = fake_marker(scene_id, generation=generation, outputs=outputs)
    return made.model_copy(update={"summary": PLACE if placed else {"height": 9, "width": 9, "package": DIGEST}})


def put(store: FakeStore, *markers: Marker) -> None:
    for one in markers:
        store.put(marker_path(one.scene_id), one.to_json())


def write(store: FakeStore, *, gone: Gone | None = None, given: Network | None = None, anew: bool = False, check=None):
    """A pass over all markers, as a run makes it at its end."""
    gone = gone or Gone(since={}, now=NOW)
    with Catalogue(store, check or (lambda: None), gone, network=given or network(), anew=anew) as catalogue:
        table = write_scenes(store, catalogue.noting(markers_of(store)), gone.date_of)
        catalogue.finish(table.etag)


def read(store: FakeStore, path: str) -> dict:
    return json.loads(store.get(path))


def links(store: FakeStore, path: str) -> Iterator[tuple[str, str]]:
    """Relation and path of what an object links to."""
    for link in read(store, path).get("links", ()):
        yield link["rel"], posixpath.normpath(posixpath.join(posixpath.dirname(path), link["href"]))


def reached(store: FakeStore, path: str = "collection.json") -> set[str]:
    """Every object that is reached from the collection, itself among them; a link to nothing raises."""
    found = {path}
    for relation, other in links(store, path):
        if relation in ("child", "item"):
            found |= reached(store, other)
    return found


def changes(store: FakeStore) -> list[str]:
    """What was put since the requests were last cleared."""
    return [path for verb, path in store.requests if verb == "put" and is_of_catalogue(path)]


def test_every_object_is_valid_and_every_link_leads_somewhere():
    store = FakeStore()
    put(store, marker("a"), marker("b", placed=False), marker("catalog"), marker("removed", outputs=()))
    write(store)
    objects = reached(store)
    assert {item_path(shard_of(name), name) for name in ("a", "b", "catalog")} <= objects
    assert not any(path.endswith("/removed.json") for path in objects)
    for path in objects:
        assert refusals(read(store, path)) == []
        assert is_ours(path)
        for _, other in links(store, path):
            assert store.get(other)


def test_the_schemas_refuse_what_is_wrong():
    """Else their silence would prove nothing."""
    store = FakeStore()
    put(store, marker("a"))
    write(store)
    item = read(store, item_path(shard_of("a"), "a"))
    for broken in (
        item | {"bbox": None},
        item | {"properties": {**item["properties"], "proj:cod": "EPSG:4326"}},
        item | {"assets": {"mask.tif": {**item["assets"]["mask.tif"], "classification:classes": [{"value": 1}]}}},
    ):
        assert refusals(broken)
    model = model_item(card(), DIGEST, "s3://models/unet")
    del model["properties"]["mlm:output"]
    assert refusals(model)


def test_what_an_item_says():
    store = FakeStore()
    put(store, marker("a"))
    write(store)
    item = read(store, item_path(shard_of("a"), "a"))
    assert item["bbox"] == PLACE["bounds_wgs84"]
    assert item["geometry"] == {"type": "Polygon", "coordinates": PLACE["outline_wgs84"]}
    assert item["properties"]["proj:code"] == "EPSG:32633"
    mask = item["assets"]["mask.tif"]
    assert (mask["proj:shape"], mask["proj:transform"]) == ([100, 200], PLACE["transform"])
    assert [(one["value"], one["title"]) for one in mask["classification:classes"]] == [
        (one.id, one.name) for one in card().output.classes
    ]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(item_path(shard_of("a"), "a")), mask["href"]))
    assert path == marker("a").outputs["mask.tif"].path
    assert "encdec:input" not in item["properties"]


def test_a_scene_without_a_place_has_an_item_without_geometry():
    store = FakeStore()
    put(store, marker("a", placed=False))
    write(store)
    item = read(store, item_path(shard_of("a"), "a"))
    assert item["geometry"] is None
    assert "bbox" not in item
    assert read(store, "collection.json")["extent"]["spatial"]["bbox"] == [[-180, -90, 180, 90]]


def test_an_item_is_written_again_only_if_it_says_something_else():
    store = FakeStore()
    put(store, *(marker(f"s{n}") for n in range(20)))
    write(store)
    store.requests.clear()
    write(store)
    assert changes(store) == ["collection.json"]
    assert not any(path.startswith("stac/") and path.count("/") == 2 for verb, path in store.requests if verb == "get"
                   and "models" not in path)  # fmt: skip
    put(store, marker("s7", generation=2))
    store.requests.clear()
    write(store)
    shard = shard_of("s7")
    assert changes(store) == [item_path(shard, "s7"), shard_path(shard), "collection.json"]
    store.requests.clear()
    write(store, gone=Gone(since={"s3": NOW}, now=NOW))
    assert set(changes(store)) == {item_path(shard_of("s3"), "s3"), shard_path(shard_of("s3")), "collection.json"}
    said = read(store, item_path(shard_of("s3"), "s3"))["properties"]
    assert (said["encdec:input"], said["encdec:input_gone"]) == ("gone", "2026-03-01T00:00:00Z")


ids = st.sets(st.sampled_from([f"s{n}" for n in range(12)]), max_size=12)


@settings(max_examples=25)
@given(before=ids, after=ids, changed=ids, stop=st.integers(0, 40))
def test_a_reader_never_finds_a_link_to_nothing_whenever_a_run_dies(before, after, changed, stop):
    """After every change of an object, and after a death at any request; the next run makes all well."""
    store = FakeStore()
    put(store, *(marker(name) for name in before))
    write(store)
    put(store, *(marker(name, outputs=(), generation=2) for name in before - after))
    put(store, *(marker(name, generation=3) for name in after if name in changed or name not in before))

    def look(path, old, new):
        if is_of_catalogue(path):
            for found in reached(store):
                assert all(store.objects[other] for _, other in links(store, found))

    seen = []

    def die(verb, path):
        if verb in ("put", "delete") and is_of_catalogue(path):
            seen.append(path)
            if len(seen) > stop:
                raise KeyboardInterrupt

    store.changed, store.before = look, die
    with pytest.MonkeyPatch.context() as patch:
        # In the order of the code: which of two threads is first is no matter for the law.
        patch.setattr("encdec_batch.report.catalogue.WRITERS", 1)
        with contextlib.suppress(KeyboardInterrupt):
            write(store)
        store.before = lambda verb, path: None
        write(store)
    items = {
        path for path in reached(store) if path.startswith("stac/") and "models" not in path and path.count("/") > 1
    }
    assert items == {item_path(shard_of(name), name) for name in after}
    store.changed = lambda path, old, new: None
    write(store, anew=True)
    lying = {path for path in store.objects if path.startswith("stac/")}
    assert lying == reached(store) - {"collection.json"}


def test_anew_every_item_is_written_and_what_nothing_links_to_goes():
    store = FakeStore()
    put(store, marker("a"), marker("b"))
    write(store)
    orphan, foreign = item_path("00", "nobody"), "stac/notes.txt"
    store.put(orphan, b"{}")
    store.put(foreign, b"mine")
    store.put(item_path(shard_of("a"), "a"), b"{}")
    write(store, anew=True)
    assert orphan not in store.objects
    assert store.get(foreign) == b"mine"
    assert read(store, item_path(shard_of("a"), "a"))["id"] == "a"


FOREIGN = [
    ({"collection.json": b'{"id": "theirs"}'}, "collection.json"),
    ({"collection.json": b"[1, 2]"}, "collection.json"),
    ({"collection.json": b"cut sh"}, "collection.json"),
    ({"stac/models/resnet.json": b"{}"}, "stac/models/resnet.json"),
    ({"stac/models.json": b"{}"}, "stac/models.json"),
]
"""What lies there before the first run, and what is said to be there."""


@pytest.mark.parametrize(("theirs", "said"), FOREIGN)
def test_what_no_run_has_written_is_refused_and_stays(theirs, said):
    store = FakeStore()
    put(store, marker("a"))
    for path, data in theirs.items():
        store.put(path, data)
    before = dict(store.objects)
    for call in (refuse_foreign, write, lambda store: write(store, anew=True)):
        with pytest.raises(SpecError, match=f"{said} is there, and not as a run writes it"):
            call(store)
    assert store.objects == before


def test_other_files_below_stac_are_nobodys_business():
    store = FakeStore()
    put(store, marker("a"))
    store.put("stac/notes.txt", b"mine")
    refuse_foreign(store)
    write(store)
    write(store, anew=True)
    assert store.get("stac/notes.txt") == b"mine"


SHAPES = [
    None, [], "x", 7, {"links": None}, {"links": 3}, {"links": [None]}, {"links": [{"rel": "item"}]},
    {"links": [{"rel": "item", "href": 5}]}, {"links": [{"rel": "item", "href": "./a", "encdec:made_of": []}]},
]  # fmt: skip


@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=json.dumps)
def test_what_is_json_of_another_shape_is_made_anew(shape, anew):
    store = FakeStore()
    put(store, marker("a"))
    write(store)
    whole = dict(store.objects)
    item = next(path for path in whole if path.startswith("stac/models/"))
    for path in ("stac/models.json", shard_path(shard_of("a")), item):
        store.put(path, json.dumps(shape).encode())
    ours = read(store, "collection.json")
    more = shape if isinstance(shape, dict) else {"links": shape}
    store.put("collection.json", json.dumps(ours | more | {"id": shape}).encode())
    assert catalogue_fault(store, [marker("a")])
    write(store, anew=anew)
    assert catalogue_fault(store, [marker("a")]) == ""
    assert reached(store) == {path for path in store.objects if is_of_catalogue(path)} == {
        path for path in whole if is_of_catalogue(path)
    }  # fmt: skip
    assert all(refusals(read(store, path)) == [] for path in reached(store))


@pytest.mark.parametrize("change", [{"properties": {}}, {"properties": None}, {"id": "other"}, {"id": 3}],
                         ids=json.dumps)  # fmt: skip
def test_a_network_that_cannot_be_read_is_described_anew(change):
    store = FakeStore()
    put(store, marker("a"))
    write(store)
    path = next(path for path in store.objects if path.startswith("stac/models/"))
    whole = read(store, path)
    store.put(path, json.dumps(whole | change).encode())
    write(store)
    assert read(store, path) == whole


def test_scenes_of_an_earlier_network_keep_their_classes_and_their_link():
    store = FakeStore()
    put(store, marker("a"))
    write(store)
    later = replace(network(), digest="e" * 64)
    put(store, marker("a", generation=2))  # an output was added: still of the earlier network
    write(store, given=later)
    write(store, given=later, anew=True)
    item = read(store, item_path(shard_of("a"), "a"))
    assert item["assets"]["mask.tif"]["classification:classes"]
    [model] = [path for relation, path in links(store, item_path(shard_of("a"), "a")) if relation == "derived_from"]
    assert read(store, model)["properties"]["encdec:package_digest"] == DIGEST
    assert sum(path.startswith("stac/models/") for path in reached(store)) == 2


def test_an_overtaken_run_writes_no_links():
    store = FakeStore()
    put(store, marker("a"))

    calls = []

    def check():
        calls.append(len(changes(store)))
        if len(calls) > 1:
            raise LeaseHeld("overtaken")

    with pytest.raises(LeaseHeld):
        write(store, check=check)
    assert reached(store) == {"collection.json"}


def test_it_is_kept_up_as_long_as_the_table_is_the_one_it_was_made_with():
    store = FakeStore()
    put(store, marker("a"))
    assert not is_kept_up(store)
    write(store)
    assert is_kept_up(store)
    put(store, marker("b"))
    write_scenes(store, markers_of(store))
    assert not is_kept_up(store)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(1, 2, 3, 4), (0, 3, 2, 9)], [0, 2, 3, 9]),
        ([(179, 2, -179, 4), (0, 3, 2, 9)], [-180, 2, 180, 9]),
    ],
)
def test_the_extent_is_around_all(boxes, expected):
    assert extent(boxes, [0, 86400])["spatial"]["bbox"] == [expected]
    assert extent(boxes, [0, 86400])["temporal"]["interval"] == [["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]]


@pytest.mark.parametrize("name", ["x", "9-lives", "a-"])
def test_a_network_of_any_name_is_valid(name):
    assert refusals(model_item(card(name=name, version="1.0+cpu."), DIGEST, "/packages/p")) == []
