from __future__ import annotations

import hashlib

from fakes import fake_marker
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.commit.digest import digest_of_markers

SCENES = [fake_marker("b", outputs=["mask.tif", "mask.png"]), fake_marker("a"), fake_marker("a.1")]


def test_the_digest_is_that_of_the_lines_as_the_format_says():
    lines = [f"{m.scene_id},{name},{file.sha256}" for m in SCENES for name, file in m.outputs.items()]
    text = "".join(line + "\n" for line in sorted(lines))
    assert digest_of_markers(SCENES) == hashlib.sha256(text.encode()).hexdigest()


def test_an_output_without_markers_has_the_digest_of_nothing():
    assert digest_of_markers([]) == hashlib.sha256(b"").hexdigest()


@given(st.permutations(SCENES))
def test_the_order_of_markers_does_not_count(markers):
    assert digest_of_markers(markers) == digest_of_markers(SCENES)


def test_how_an_output_came_about_does_not_count_but_its_bytes_do():
    marker = fake_marker()
    file = marker.outputs["mask.tif"]
    moved = file.model_copy(update={"path": "scenes/a/7-0123456789abcdef-01234567/mask.tif"})
    later = marker.model_copy(update={"generation": 7, "outputs": {"mask.tif": moved}})
    assert digest_of_markers([later]) == digest_of_markers([marker])
    other = marker.model_copy(update={"outputs": {"mask.tif": file.model_copy(update={"sha256": "0" * 64})}})
    assert digest_of_markers([other]) != digest_of_markers([marker])


def test_a_removed_scene_does_not_count():
    removed = fake_marker("z", generation=2, outputs=[])
    assert digest_of_markers([*SCENES, removed]) == digest_of_markers(SCENES)
