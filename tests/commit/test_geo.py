"""Tags that say where an output lies: those that GDAL would write, whichever way they are come by."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from encdec_batch.commit.geo import Geo, _one_pixel_file, image_tags
from encdec_batch.plan.product import Product
from encdec_batch.write.codec import Codec

MASK = Product(
    name="mask",
    kind="classes",
    dtype="uint8",
    band_names=("class",),
    nodata=255,
    class_ids=(0, 1),
    class_names=("no", "yes"),
    class_colors=((0, 0, 0), (250, 9, 9)),
)
DEFLATE = Codec(name="deflate", level=6)
UTM, WORLD = CRS.from_epsg(32633).to_wkt(), CRS.from_epsg(4326).to_wkt()
ROTATED_POLE = CRS.from_string("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=40 +lon_0=10 +ellps=WGS84").to_wkt()
numbers = st.floats(-1e8, 1e8)
sizes = st.floats(1e-9, 1e6)


@settings(max_examples=60, deadline=None)
@given(
    crs=st.sampled_from([None, UTM, WORLD, ROTATED_POLE]),
    transform=st.one_of(
        st.none(),
        st.tuples(sizes, st.just(0.0), numbers, st.just(0.0), sizes.map(lambda size: -size), numbers),
        st.tuples(sizes, numbers, numbers, numbers, sizes, numbers),
        st.just((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)),
        st.just((1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),
    ),
)
def test_the_tags_are_those_that_gdal_writes(crs, transform):
    """Also where they were kept from another scene of the same CRS."""
    geo = Geo(crs_wkt=crs, transform=transform)
    tags, _ = image_tags(MASK, geo, DEFLATE)
    data = _one_pixel_file(MASK, geo, DEFLATE)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        written = {
            tag.code: data[tag.valueoffset : tag.valueoffset + tag.valuebytecount] for tag in tiff.pages.first.tags
        }
    ours = {tag.code: tag.data for tag in tags}
    assert ours == {code: value for code, value in written.items() if code in ours}
    assert written.keys() - ours.keys() == {256, 257, 324, 325}
    assert all(before.code < after.code for before, after in pairwise(tags))


@pytest.mark.parametrize("number", range(3))
def test_no_scene_has_the_place_of_another(number):
    geo = Geo(crs_wkt=UTM, transform=(10.0, 0.0, 500_000.0 + number, 0.0, -10.0, 5_000_000.0))
    other = Geo(crs_wkt=UTM, transform=(20.0, 0.0, 1.0, 0.0, -20.0, 2.0))
    before = image_tags(MASK, geo, DEFLATE)
    assert image_tags(MASK, other, DEFLATE) != before
    assert image_tags(MASK, geo, DEFLATE) == before
