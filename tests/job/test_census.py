from __future__ import annotations

from fakes import fake_marker

from encdec_batch.commit.digest import digest_of_markers
from encdec_batch.job.census import Census
from encdec_batch.store.object import ObjectInfo


def test_what_is_counted_is_of_the_wanted_key_with_all_outputs():
    markers = [
        fake_marker("done", outputs=("mask.tif", "mask.png", "more.tif")),
        fake_marker("lacking", outputs=("mask.tif",)),
        fake_marker("older", key="B", outputs=("mask.tif", "mask.png")),
        fake_marker("not-in-the-source", outputs=("mask.tif", "mask.png")),
        fake_marker("removed", outputs=()),
    ]
    key = markers[0].scene_key
    census = Census(dict.fromkeys(["done", "lacking", "older", "removed"], key), frozenset({"mask.tif", "mask.png"}))
    infos = [ObjectInfo(path=m.scene_id, size=1, etag="e", modified=0.0) for m in markers]
    passed = list(census.noting(zip(markers, infos, strict=True)))
    assert passed == list(zip(markers, infos, strict=True))
    assert census.num_done == 1
    assert census.whole == {"done", "older", "not-in-the-source"}
    assert census.committed == {marker.scene_id: marker.scene_key for marker in markers}
    assert census.digest == digest_of_markers(markers)
    assert list(census.markers) == markers
