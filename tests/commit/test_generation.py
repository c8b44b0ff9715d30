from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdec_batch.commit.generation import OutputFolder, output_folder
from encdec_batch.errors import SpecError

folders = st.builds(
    OutputFolder,
    scene_id=st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True),
    generation=st.integers(1, 10**6),
    key_prefix=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    content=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)


@given(folders, st.sampled_from(["mask.tif", "cells.parquet", "mask.ome.zarr", "mask.ome.zarr/0/c/0/0"]))
def test_an_objects_path_gives_back_its_folder(folder, name):
    assert OutputFolder.parse(folder.path + name) == folder


@pytest.mark.parametrize(
    "path",
    [
        "scenes/a/1-0123456789abcdef-01234567",
        "scenes/a/1-0123456789abcdef-01234567/deeper/mask.tif",
        "scenes/a/0-0123456789abcdef-01234567/mask.tif",
        "scenes/a/01-0123456789abcdef-01234567/mask.tif",
        "scenes/a/1-0123456789ABCDEF-01234567/mask.tif",
        "scenes/a/1-0123456789abcdef/mask.tif",
        "scenes/.a/1-0123456789abcdef-01234567/mask.tif",
        "other/a/1-0123456789abcdef-01234567/mask.tif",
        "scenes/a/notes.txt",
    ],
)
def test_what_is_not_ours_is_not_parsed(path):
    assert OutputFolder.parse(path) is None


def test_names_that_could_not_be_parsed_cannot_be_made():
    with pytest.raises(SpecError):
        output_folder("../a", generation=1, scene_key="0" * 64, content="0" * 8)
    with pytest.raises(ValueError, match="output folder"):
        output_folder("a", generation=0, scene_key="0" * 64, content="0" * 8)
    with pytest.raises(ValueError, match="output folder"):
        output_folder("a", generation=1, scene_key="0" * 64, content="0" * 64)
