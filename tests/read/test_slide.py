from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from contracts import reader as contract
from fakes import FakeStore
from rasters import coordinate_image, gtiff
from slides import SECRET, SIDE, TILE, pyramid_of, smooth, write_aperio, write_ome, write_philips

from encdec_batch.errors import SceneUnreadable, UnsupportedScene
from encdec_batch.read.limits import Limits
from encdec_batch.read.open import contents_of, open_reader
from encdec_batch.read.options import ReadOptions
from encdec_batch.read.plane import WHOLE, Plane
from encdec_batch.read.reader import Reader
from encdec_batch.store.local import LocalStore
from encdec_batch.window import Window

BY_TILES = Limits(small_file_bytes=0)
SHARED = Path(__file__).parents[3] / "shared/data/medical/wsi"
CMU, CMU_OME = SHARED / "CMU-1-Small-Region.svs", SHARED / "cmu1_crop_pyramid.ome.tif"
needs_shared = pytest.mark.skipif(not CMU.exists(), reason="../shared/data/medical is not there")
LEVELS = pyramid_of(smooth(SIDE, SIDE + 37), 3)
FIVE_D = np.random.default_rng(5).integers(0, 60_000, (2, 3, 2, 100, 90), dtype=np.uint16)


def opening(path: Path, *, um: float | None = None, plane: Plane = WHOLE, limits: Limits = BY_TILES):
    store = LocalStore(str(path.parent))
    return lambda: open_reader(store, path.name, limits=limits, plane=plane, options=ReadOptions(um_per_px=um))


def whole(reader: Reader) -> np.ndarray:
    header = reader.header
    return reader.read(Window(0, 0, header.width, header.height), range(1, header.num_bands + 1), rule="any").pixels


def by_tifffile(path: Path, level: int = 0) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        pixels = tiff.series[0].levels[level].asarray()
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)) if pixels.shape[-1] == 3 else pixels


def by_openslide(path: Path, level: int = 0) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        rgba = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
    return np.ascontiguousarray(rgba[..., :3].transpose(2, 0, 1))


def aperio(path: Path, **options) -> None:
    write_aperio(path, LEVELS, **options)


def ome(axes: str, levels: list[np.ndarray], **options) -> Callable[[Path], None]:
    return lambda path: write_ome(path, levels, axes=axes, **options)


GREY = [coordinate_image(2, *level.shape[:2], "uint16") for level in LEVELS]
WRITERS: dict[str, Callable[[Path], None]] = {
    "aperio_rgb": aperio,
    "aperio_ycbcr": lambda path: aperio(path, photometric="ycbcr"),
    "aperio_lzw": lambda path: aperio(path, compression="lzw", predictor=True),
    "philips": lambda path: write_philips(path, LEVELS),
    "ome_rgb": ome("YXS", LEVELS, photometric="rgb", compression="jpeg"),
    "ome_channels": ome("CYX", GREY),
    "ome_deflate": ome("CYX", GREY, compression="zlib", predictor=True),
    "ome_big_endian_floats": ome("CYX", [level.astype(">f4") / 7 for level in GREY], compression="zstd", predictor=3),
    "ome_strips": ome("CYX", GREY, tile=None, rowsperstrip=33, compression="packbits"),
    "ome_apart": ome("SYX", [level[:2] for level in GREY], photometric="minisblack", planarconfig="separate"),
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Callable[[str], Path]:
    folder, made = tmp_path_factory.mktemp("slides"), {}

    def path_of(name: str) -> Path:
        if name not in made:
            made[name] = folder / f"{name}.tif"
            WRITERS[name](made[name])
        return made[name]

    return path_of


@pytest.mark.parametrize("name", WRITERS)
def test_every_window_has_tifffiles_pixels(name, written):
    path = written(name)
    for level, um in ((0, None), (1, 1.0), (2, 2.0)):
        expected = by_tifffile(path, level)
        expected = expected.astype(expected.dtype.newbyteorder("="))
        contract.check_crops(opening(path, um=um), expected, seed=level, count=2)
        header = opening(path, um=um)().header
        assert header.level0_downsample == (2.0**level, 2.0**level)
        assert header.pixel_size_um == (0.5 * 2**level, 0.5 * 2**level)
    contract.check_costs(opening(path), path)
    contract.check_costs(opening(path, limits=Limits()), path)
    contract.check_thumbnail(opening(path), path)


@pytest.mark.parametrize("name", ["aperio_rgb", "aperio_ycbcr", "philips"])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_colours_are_those_of_openslide(name, level, written):
    np.testing.assert_array_equal(
        whole(opening(written(name), um=0.5 * 2**level)()), by_openslide(written(name), level)
    )


@needs_shared
def test_a_real_slide_has_the_pixels_of_tifffile_and_openslide():
    reader, place = opening(CMU)(), Window(1000, 1500, 500, 300)
    patch = reader.read(place, (1, 2, 3), rule="any")
    with openslide.OpenSlide(CMU) as slide:
        rgba = np.asarray(slide.read_region((place.col_off, place.row_off), 0, (place.width, place.height)))
    np.testing.assert_array_equal(patch.pixels, rgba[..., :3].transpose(2, 0, 1))
    np.testing.assert_array_equal(patch.pixels, by_tifffile(CMU)[:, place.rows, place.cols])
    contract.check_costs(opening(CMU), CMU)
    assert reader.header.pixel_size_um == (0.499, 0.499)


@needs_shared
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_real_pyramid_has_tifffiles_pixels(level):
    contract.check_crops(opening(CMU_OME, um=0.499 * 2**level), by_tifffile(CMU_OME, level), count=2)


@pytest.mark.parametrize("compression", [33003, 33005])
def test_jpeg_2000_of_aperio_has_the_colours_of_openslide(compression, tmp_path):
    path, image = tmp_path / "slide.svs", smooth(128, 192)

    def tiles():
        for row in range(0, 128, TILE):
            for col in range(0, 192, TILE):
                tile = np.ascontiguousarray(image[row : row + TILE, col : col + TILE])
                yield imagecodecs.jpeg2k_encode(tile, level=0, codecformat="j2k", mct=False)

    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            tiles(), shape=image.shape, dtype=np.uint8, tile=(TILE, TILE), compression=compression, photometric="rgb",
            description="Aperio Image Library v10|MPP = 0.25", metadata=None,
        )  # fmt: skip
    found = whole(opening(path)())
    np.testing.assert_array_equal(found, by_openslide(path))
    if compression == 33005:
        np.testing.assert_array_equal(found, image.transpose(2, 0, 1))


def test_planes_of_a_stack_go_through_space_and_then_through_time(tmp_path):
    path = tmp_path / "stack.ome.tif"
    write_ome(path, [FIVE_D], axes="TZCYX", compression="zlib")
    contents = contents_of(LocalStore(str(tmp_path)), path.name)
    assert contents.stacked_along == "z"
    assert [str(plane) for plane in contents.planes] == [f"t={t},z={z}" for t in range(2) for z in range(3)]
    for plane in contents.planes:
        np.testing.assert_array_equal(whole(opening(path, plane=plane)()), FIVE_D[plane["t"], plane["z"]])
    for missing in (WHOLE, Plane.of(t=0), Plane.of(t=0, z=3)):
        with pytest.raises(UnsupportedScene, match="no plane") as caught:
            opening(path, plane=missing)()
        assert "3 in z and 2 in t" in caught.value.hint


def test_planes_lie_where_the_description_says(tmp_path):
    path = tmp_path / "order.ome.tif"
    write_ome(path, [FIVE_D[0]], axes="ZCYX")
    text = tifffile.TiffFile(path).pages[0].description
    assert 'DimensionOrder="XYCZT"' in text
    turned = text.replace('DimensionOrder="XYCZT"', 'DimensionOrder="XYZCT"')
    path.write_bytes(path.read_bytes().replace(text.encode(), turned.encode()))
    flat = FIVE_D[0].reshape(6, 100, 90)
    np.testing.assert_array_equal(whole(opening(path, plane=Plane.of(z=1))()), flat[[1, 4]])
    block = '<TiffData IFD="0" PlaneCount="6"/>'
    assert block in turned
    moved = turned.replace(block, '<TiffData IFD="4" FirstC="1" />   ').ljust(len(turned))
    path.write_bytes(path.read_bytes().replace(turned.encode(), moved.encode()))
    with pytest.raises(SceneUnreadable, match="OME-XML"):
        opening(path, plane=Plane.of(z=0))()


@pytest.mark.parametrize(
    ("um", "level", "side"), [(0.5, 0, 400), (0.504, 0, 400), (0.9, 0, 223), (1.005, 1, 200), (1.5, 1, 134), (8, 2, 25)]
)
def test_the_coarsest_level_that_is_fine_enough_is_read(um, level, side, written):
    reader = opening(written("aperio_rgb"), um=um)()
    encoded = opening(written("aperio_rgb"), um=0.5 * 2**level)().header.encoded_bytes
    assert (reader.header.encoded_bytes, reader.header.height) == (encoded, side)


def test_only_what_a_level_needs_is_read(tmp_path):
    path = tmp_path / "slide.svs"
    write_aperio(path, pyramid_of(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), dtype=np.uint8), 3))
    store = FakeStore()
    store.put("slide.svs", path.read_bytes())
    reader = open_reader(store, "slide.svs", limits=BY_TILES, options=ReadOptions(um_per_px=2.0))
    whole(reader)
    assert reader.bytes_read < 6 * (64 << 10) + 1.2 * reader.header.encoded_bytes
    assert reader.bytes_read < path.stat().st_size / 4


def test_missing_tiles_are_not_valid(tmp_path):
    path = tmp_path / "slide.svs"
    aperio(path)
    expected, valid = by_tifffile(path), np.ones((SIDE, SIDE + 37), np.bool_)
    with tifffile.TiffFile(path) as tiff:
        counts = tiff.pages[0].tags[325]
    data = bytearray(path.read_bytes())
    size = 2 if counts.dtype == 3 else 4
    data[counts.valueoffset + 8 * size : counts.valueoffset + 9 * size] = bytes(size)
    path.write_bytes(data)
    valid[64:128, 64:128] = False
    expected[:, ~valid] = 0
    contract.check_crops(opening(path), expected, valid_HW=valid)
    assert opening(path)().header.mask == "internal"


@pytest.mark.parametrize("name", ["aperio_rgb", "philips", "ome_rgb"])
def test_nothing_that_names_somebody_is_said(name, written):
    reader = opening(written(name))()
    assert SECRET.encode() in written(name).read_bytes()
    assert SECRET not in repr(reader.header)
    assert SECRET not in repr(contents_of(LocalStore(str(written(name).parent)), written(name).name))


def test_label_macro_and_thumbnail_are_never_fetched(tmp_path):
    path = tmp_path / "slide.svs"
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), dtype=np.uint8)
    write_aperio(path, pyramid_of(noise, 3))
    data, hidden = bytearray(path.read_bytes()), []
    with tifffile.TiffFile(path) as tiff:
        for page in tiff.pages:
            if not page.is_tiled:
                hidden += list(zip(page.dataoffsets, page.databytecounts, strict=True))
    assert len(hidden) > 3
    expected = {um: whole(opening(path, um=um)()) for um in (0.5, 1.0, 2.0)}
    thumbnails = {side: opening(path)().thumbnail(side).pixels for side in (50, 300, 2000)}
    for start, size in hidden:
        data[start : start + size] = bytes(size)
    path.write_bytes(data)
    for um, pixels in expected.items():
        np.testing.assert_array_equal(whole(opening(path, um=um)()), pixels)
    for side, pixels in thumbnails.items():
        np.testing.assert_array_equal(opening(path)().thumbnail(side).pixels, pixels)


def test_broken_label_and_macro_do_no_harm(tmp_path):
    path = tmp_path / "slide.svs"
    aperio(path)
    with tifffile.TiffFile(path) as tiff:
        label, macro = (tiff.pages[number].offset for number in (4, 5))
    data = bytearray(path.read_bytes())
    data[label + 2 : label + 14] = b"\xff" * 12
    data[macro : macro + 2] = b"\xff\xff"
    path.write_bytes(data)
    np.testing.assert_array_equal(whole(opening(path, um=2.0)()), by_openslide_of(aperio, tmp_path, level=2))
    assert opening(path)().thumbnail(64).pixels.shape[0] == 3


def by_openslide_of(write: Callable[[Path], None], folder: Path, *, level: int) -> np.ndarray:
    write(folder / "whole.svs")
    return by_openslide(folder / "whole.svs", level)


def test_a_place_on_the_ground_goes_before_a_description(tmp_path):
    pixels = coordinate_image(3, 100, 90)
    plain, named = tmp_path / "plain.tif", tmp_path / "named.tif"
    gtiff(pixels)(plain)
    gtiff(pixels, after=lambda dataset: dataset.update_tags(TIFFTAG_IMAGEDESCRIPTION="Aperio |MPP = 0.5"))(named)
    assert opening(named)().header == opening(plain)().header
    for path in (plain, named):
        with pytest.raises(UnsupportedScene, match="how large its pixels are") as caught:
            opening(path, um=0.5)()
        assert "source.um_per_px" in caught.value.hint


def test_a_slide_without_a_size_of_pixels_is_read_but_not_scaled(tmp_path):
    path = tmp_path / "slide.svs"
    aperio(path, mpp="0")
    assert opening(path)().header.pixel_size_um is None
    with pytest.raises(UnsupportedScene, match="how large its pixels are"):
        opening(path, um=0.5)()


def test_a_slide_of_a_scanner_is_medical_whatever_its_name(tmp_path):
    aperio(tmp_path / "scan")
    gtiff(coordinate_image(3, 100, 90))(tmp_path / "ground")
    store = LocalStore(str(tmp_path))
    assert contents_of(store, "scan").medical
    assert not contents_of(store, "ground").medical
