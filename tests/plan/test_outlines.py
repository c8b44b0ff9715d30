"""Of which scenes there are outlines in pixels of the finest level."""

from __future__ import annotations

import dicom_slides
import numpy as np
import pytest
from fakes import FakeStore
from plan.recipes import header, scene

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.outlines import refuse_outlines
from encdec_batch.read.open import open_reader

OUTLINED = ("mask.tif", "outlines.geojson")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"crs_wkt": "EPSG:4326"}, "it lies on a map"),
        ({"downsample_known": False}, "does not say how large the finest"),
    ],
)
def test_outlines_are_refused_where_pixels_of_the_finest_level_are_not_known(changes, said):
    with pytest.raises(UnsupportedScene, match=said):
        refuse_outlines(scene("a", 100, 120, header=header(**changes), outputs=OUTLINED))
    refuse_outlines(scene("a", 100, 120, header=header(**changes)))
    refuse_outlines(scene("a", 100, 120, outputs=OUTLINED))


@pytest.mark.parametrize(("flavour", "known"), [("NONE", True), ("RESAMPLED", False)])
def test_a_level_in_dicom_that_was_made_of_a_finer_one_is_such_a_scene(flavour, known):
    store = FakeStore()
    image = np.zeros((60, 70, 3), np.uint8)
    store.put("a.dcm", dicom_slides.slide(image, ImageType=["DERIVED", "PRIMARY", "VOLUME", flavour]))
    assert open_reader(store, "a.dcm").header.downsample_known == known
