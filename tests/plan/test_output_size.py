"""What no store can hold is set aside before a pixel is computed, and what it can hold is uploaded in parts enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as changed

import numpy as np
import pytest
from commit.scenes import encode_blocks, in_memory
from fakes import FakeStore
from plan.recipes import card, header, order, recipe, scene

from encdec_batch.commit.scene import CommitOrder, commit_scene
from encdec_batch.models.card import ImageOutput
from encdec_batch.plan.output_size import largest_cog
from encdec_batch.plan.plan import Known, cut_candidate
from encdec_batch.plan.scene import Candidate, ScenePlan, SetAside
from encdec_batch.read.header import SceneHeader
from encdec_batch.store.s3_upload import MAX_PARTS, part_size_for

NOTHING = Known(committed={}, quarantined={}, parts={})
SUPER = ImageOutput(kind="image", band_names=("r", "g", "b"), dtype="float32", range=(0.0, 1.0))


@dataclass(frozen=True)
class Seen:
    header: SceneHeader
    etag: str = "tag"
    size_bytes: int = 1


def cut(uri: str, side: int, scale: int = 4, **changes) -> ScenePlan | SetAside:
    """A scene whose header alone there is, by a network of super-resolution."""
    asked = order(
        card(scale=scale, output=SUPER, task="image-to-image"),
        output={"uri": uri, "files": [{"kind": "cog"}, {"kind": "quicklook"}]} | changes,
        tiling={"budget_gib": 16},
    )
    candidate = Candidate(scene_id="a", uri="s3://archive/a.tif", etag="tag", size_bytes=1)
    return cut_candidate(recipe(asked), candidate, Seen(header(side, side)), NOTHING)


@pytest.mark.parametrize("uri", ["s3://bucket/out", "s3a://bucket/out", "gs://bucket/out"])
def test_super_resolution_of_a_giant_is_set_aside_where_objects_have_an_end(uri):
    """370,000 px by 4: 2.2e12 px of 12 bytes."""
    row = cut(uri, 370_000)
    assert isinstance(row, SetAside)
    assert (row.stage, row.transient) == ("plan", False)
    assert "image.tif of 1,480,000 x 1,480,000 px may have 32.2 TiB" in row.reason
    assert f"an object of {uri} at most 5.0" in row.reason
    assert row.hint == "split the scene, or write to a file system"


def test_on_a_disk_it_is_not_and_neither_is_what_fits_or_makes_no_such_file():
    assert isinstance(cut("file:///out", 370_000), ScenePlan)
    assert isinstance(cut("/out", 370_000), ScenePlan)
    assert isinstance(cut("s3://bucket/out", 100_000), ScenePlan)
    assert isinstance(cut("s3://bucket/out", 370_000, files=[{"kind": "quicklook"}]), ScenePlan)


def test_the_limit_is_that_of_the_file_and_not_of_the_scene():
    """The side at which a scene goes over it, found by halving, is where the pyramid has 5 TiB."""
    fits, over = 100_000, 370_000
    while over - fits > 256:
        middle = (fits + over) // 2
        fits, over = (fits, middle) if isinstance(cut("s3://b/o", middle), SetAside) else (middle, over)
    assert (4 * fits) ** 2 * 12 * 4 / 3 == pytest.approx(5 * 2**40, rel=0.02)


@dataclass
class SizedStore(FakeStore):
    expected: dict[str, int] = field(default_factory=dict)

    def open_writer(self, path, *, expected_size=0):
        self.expected[path.rpartition("/")[2]] = expected_size
        return super().open_writer(path, expected_size=expected_size)


@pytest.mark.parametrize("side", [100, 100_000, 369_000])
def test_parts_of_an_upload_are_as_large_as_its_file_may_become(side):
    giant = changed(scene("a", 100, 120), header=header(side, side))
    for product in recipe().products:
        size = largest_cog(giant, product)
        assert size >= side * side
        assert part_size_for(size) * MAX_PARTS >= size


def test_a_commit_tells_the_store_how_large_its_files_may_become():
    """Those that are streamed: its COG. The rest is small."""
    store, made = SizedStore(), recipe()
    planned = scene("a", 100, 120)
    pixels = np.ones((1, 100, 120), np.uint8)
    parts = in_memory(encode_blocks(pixels, made.products[0], side=512, levels=0))
    commit_scene(store, CommitOrder(recipe=made, scene=planned, lease_n=1), parts, ())
    assert store.expected == {"mask.tif": largest_cog(planned, made.products[0])}
    assert store.expected["mask.tif"] >= 512 * 512
