"""Ground area of classes, against geodesics of another library and against scale factors that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pyproj import Geod, Transformer
from rasterio.crs import CRS

from encdec_batch.commit.area import class_areas, ring_area
from encdec_batch.commit.geo import Geo
from encdec_batch.window import Window

GEOD = Geod(ellps="WGS84")
SIDE = 400
WHOLE = Window(0, 0, SIDE, SIDE)


def place(epsg: int, pixel: float, left: float, top: float) -> Geo:
    return Geo(crs_wkt=CRS.from_epsg(epsg).to_wkt(), transform=(pixel, 0, left, 0, -pixel, top))


def by_geodesics(epsg: int, pixel: float, left: float, top: float) -> float:
    """Of the whole window: its border in 4000 short geodesics."""
    along = np.linspace(0, 1, 1001)[:-1]
    x = np.concatenate([along, np.ones(1000), 1 - along, np.zeros(1000)]) * SIDE * pixel + left
    y = np.concatenate([np.zeros(1000), along, np.ones(1000), 1 - along]) * -SIDE * pixel + top
    longitude, latitude = Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return abs(GEOD.polygon_area_perimeter(longitude, latitude)[0])


PLACES = {
    "degrees": (4326, 0.0001, 8.5, 47.4),
    "degrees_south": (4326, 0.001, -70.0, -33.0),
    "web_mercator_at_47_north": (3857, 1.0, 946_000.0, 5_942_000.0),
    "utm_zone_at_its_edge": (32633, 10.0, 166_000.0, 5_300_000.0),
    "feet_of_a_state_plane": (2264, 3.0, 2_000_000.0, 700_000.0),
    "a_polar_projection": (3413, 25.0, -500_000.0, -900_000.0),
}


@pytest.mark.parametrize("where", PLACES.values(), ids=PLACES)
def test_the_area_is_that_of_geodesics(where):
    counts = (SIDE * SIDE - 1000, 1000, 0)
    areas = class_areas([(WHOLE, counts)], place(*where))
    expected = by_geodesics(*where)
    assert sum(areas) == pytest.approx(expected, rel=1e-6)
    assert areas == pytest.approx([expected * count / SIDE**2 for count in counts], rel=1e-6)


def test_a_pixel_of_web_mercator_at_47_north_is_less_than_half_of_its_square():
    """Its scale factor on the ellipsoid, from the radii of curvature: Snyder 1987, equations 4-18 and 4-20."""
    latitude = math.radians(47)
    e2 = 0.00669437999014
    prime = 6378137 / math.sqrt(1 - e2 * math.sin(latitude) ** 2)
    meridian = prime * (1 - e2) / (1 - e2 * math.sin(latitude) ** 2)
    top = 6378137 * math.log(math.tan(math.pi / 4 + latitude / 2)) + SIDE / 2
    areas = class_areas([(WHOLE, (SIDE * SIDE,))], place(3857, 1.0, 946_000.0, top))
    expected = math.cos(latitude) ** 2 * prime * meridian / 6378137**2
    assert areas[0] / SIDE**2 == pytest.approx(expected, rel=1e-6)
    assert 0.46 < expected < 0.47


def test_a_pixel_on_the_central_meridian_of_a_utm_zone():
    areas = class_areas([(WHOLE, (SIDE * SIDE,))], place(32633, 1.0, 500_000.0 - SIDE / 2, 5_000_000.0))
    assert areas[0] / SIDE**2 == pytest.approx(1 / 0.9996**2, rel=1e-7)


def test_blocks_count_by_their_own_latitude():
    """Ten degrees of latitude: pixels in the north are smaller, and a class that lies there covers less."""
    geo = place(4326, 0.025, 0.0, 60.0)
    north, south = Window(0, 0, SIDE, 200), Window(0, 200, SIDE, 200)
    areas = class_areas([(north, (1000, 0)), (south, (0, 1000))], geo)
    assert areas[0] < 0.9 * areas[1]


def test_outlines_over_the_antimeridian_round_a_pole_and_round_the_earth():
    sphere_like = 510_065_621_724_089.0  # of the ellipsoid, Moritz 2000, Geodetic Reference System 1980: 5.1006562e14
    whole = class_areas([(Window(0, 0, 360, 180), (360 * 180,))], place(4326, 1.0, -180.0, 90.0))
    assert whole[0] == pytest.approx(sphere_like, rel=1e-7)
    across = class_areas([(WHOLE, (SIDE**2,))], place(4326, 0.001, 179.9, 10.0))
    beside = class_areas([(WHOLE, (SIDE**2,))], place(4326, 0.001, 10.0, 10.0))
    assert across == pytest.approx(beside, rel=1e-9)
    # 400 km a side round the north pole, where this projection is too small by 3.03 % in length.
    pole = class_areas([(WHOLE, (SIDE**2,))], place(3413, 1000.0, -200_000.0, 200_000.0))
    assert pole[0] / 4e5**2 == pytest.approx(1 / 0.9698**2, rel=1e-2)


@pytest.mark.parametrize(
    "geo",
    [
        Geo(),
        Geo(crs_wkt=CRS.from_epsg(32633).to_wkt()),
        Geo(transform=(1, 0, 0, 0, -1, 0)),
        Geo(crs_wkt='LOCAL_CS["paper",UNIT["metre",1]]', transform=(1, 0, 0, 0, -1, 0)),
        Geo(crs_wkt="no CRS", transform=(1, 0, 0, 0, -1, 0)),
    ],
    ids=["nothing", "no_transform", "no_crs", "local", "unknown"],
)
def test_without_a_place_there_is_no_area(geo):
    assert class_areas([(WHOLE, (1, 2))], geo) is None


def test_beyond_the_limb_of_a_full_disk_only_classified_pixels_matter():
    disk = CRS.from_proj4("+proj=geos +lon_0=0 +h=35785831 +datum=WGS84 +units=m").to_wkt()
    geo = Geo(crs_wkt=disk, transform=(1000, 0, -5_500_000, 0, -1000, 5_500_000))
    corner, middle = Window(0, 0, 100, 100), Window(5450, 5450, 100, 100)
    assert class_areas([(corner, (0,)), (middle, (10_000,))], geo)[0] == pytest.approx(1e10, rel=1e-2)
    assert class_areas([(corner, (1,)), (middle, (10_000,))], geo) is None


def test_nothing_classified_is_no_area_but_a_number():
    assert class_areas([(WHOLE, (0, 0))], place(4326, 0.001, 0.0, 0.0)) == [0.0, 0.0]


def test_a_ring_may_run_either_way():
    ring = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], np.float64)
    # A parallel lies below the geodesic between its ends, hence the tolerance.
    assert ring_area(ring) == ring_area(ring[::-1]) == pytest.approx(GEOD.polygon_area_perimeter(*ring.T)[0], rel=1e-4)
