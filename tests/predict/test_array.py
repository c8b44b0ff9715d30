"""predict_array: the same predictor as a job's, on an image in memory; with the packages that are shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import torch
from dicom_slides import slide
from e2e.made import classes_package
from PIL import Image
from volume.made import ct_slice

import encdec_batch as eb
from encdec_batch.errors import SpecError, UnsupportedScene
from encdec_batch.models.card import NodataRule
from encdec_batch.models.network import build_network
from encdec_batch.models.package import Package
from encdec_batch.predict.device import choose_device
from encdec_batch.predict.eager import PRECISIONS, EagerEngine
from encdec_batch.window import Window

PACKAGES = Path(__file__).parents[2] / "jobs" / "packages"


def picture(bands: int, height: int, width: int) -> np.ndarray:
    """Smooth hills with noise: both classes appear."""
    rng = np.random.default_rng(height * width)
    rows, cols = np.mgrid[:height, :width]
    hills = [120 + 60 * np.sin(rows / (9 + b)) * np.cos(cols / (13 + 2 * b)) for b in range(bands)]
    return np.clip(np.stack(hills) + rng.normal(0, 12, (bands, height, width)), 0, 255).astype(np.uint8)


def with_card(name: str, **changes: Any) -> Package:
    """A shipped package whose card says something else."""
    package = eb.load_package(str(PACKAGES / name))
    return replace(package, card=package.card.model_copy(update=changes), digest=f"{package.digest} but {changes}")


def with_geometry(name: str, **changes: Any) -> Package:
    geometry = eb.load_package(str(PACKAGES / name)).card.geometry
    return with_card(name, geometry=geometry.model_copy(update=changes))


def margin_of_plain_pass(package: Package, image: np.ndarray, precision: str) -> np.ndarray:
    """How far apart the two highest classes are, by one pass over the whole image in the same precision."""
    card = package.card
    device = choose_device("auto", precision, "auto")
    engine = EagerEngine(build_network(package), device=device.torch_name, precision=device.precision)
    mean, std = (
        np.asarray(values, np.float32)[:, None, None] for values in (card.normalization.mean, card.normalization.std)
    )
    stride = card.geometry.stride
    height, width = image.shape[1:]
    after = [(0, -side % stride) for side in (height, width)]
    padded = np.pad(image, ((0, 0), *after), card.padding).astype(np.float32)
    x = torch.from_numpy((padded - mean) / std)[None].to(device.torch_name)
    (logits,) = engine.cores(x, [Window(0, 0, width, height)])
    values = logits.cpu().numpy()
    return np.abs(values[0]) if len(values) == 1 else np.abs(values[0] - values[1])


@pytest.mark.integration
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["vegetation-rgb", "nuclei"])
def test_labels_do_not_depend_on_the_core(name: str, precision: Any) -> None:
    package = eb.load_package(str(PACKAGES / name))
    image = picture(3, 403, 351)
    kind = f"{choose_device('auto', precision, 'auto').torch_name}/{precision}"
    if kind not in package.card.tolerance:
        pytest.skip(f"the card has no tolerance for {kind}")
    allowed = package.card.tolerance[kind].margin
    whole = eb.predict_array(package, image, core=10_000, precision=precision)
    assert whole.shape == (403, 351)
    assert 0.02 < (whole == 1).mean() < 0.98
    margin = margin_of_plain_pass(package, image, precision)
    assert (margin > allowed).mean() > 0.8, "a tolerance that forgives everything shows nothing"
    for core in (64, 150, 256):
        labels = eb.predict_array(package, image, core=core, precision=precision)
        assert not ((labels != whole) & (margin > allowed)).any(), core


def test_an_image_of_one_pixel_has_one_label() -> None:
    package = eb.load_package(str(PACKAGES / "vegetation-rgb"))
    assert eb.predict_array(package, picture(3, 1, 1)).shape == (1, 1)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((4, 9, 9), np.uint8), "wants (bands, height, width) with bands red, green, blue"),
        (np.zeros((9, 9), np.uint8), "has shape (9, 9)"),
        (np.zeros((3, 9, 9), np.float64), "takes uint8"),
        (np.zeros((3, 0, 9), np.uint8), "has shape (3, 0, 9)"),
    ],
)
def test_what_does_not_fit_the_card_is_refused_in_one_line(image: np.ndarray, says: str) -> None:
    package = eb.load_package(str(PACKAGES / "vegetation-rgb"))
    with pytest.raises(eb.EncdecError) as raised:
        eb.predict_array(package, image)
    assert says in str(raised.value)


NO_PADDING = {"margin": 20, "reach": 0}
GLOBAL = {"exactness": "global", "reach": 0}


@pytest.mark.parametrize(
    ("arguments", "geometry", "says", "hint"),
    [
        ({"stitch": "foo"}, {}, "stitch is 'foo'", "'crop', 'blend'"),
        ({"precision": "fp16"}, {}, "precision is 'fp16'", "'auto', 'float32', 'bfloat16', 'float16'"),
        ({"core": 0}, {}, "core is 0, not a whole number of pixels, 1 or more", "leave it out"),
        ({"core": 96.5}, {}, "core is 96.5", "leave it out"),
        ({"halo": -8}, {}, "halo is -8, not a whole number of pixels, 0 or more", "leave it out"),
        ({"halo": False}, {}, "halo is False", "leave it out"),
        ({"halo": 16}, NO_PADDING, "halo has no effect for nuclei", "leave it out"),
        ({}, GLOBAL, "nuclei is of global reach", 'stitch="blend"'),
        ({"stitch": "crop", "halo": 64}, GLOBAL, "nuclei is of global reach", 'stitch="blend"'),
    ],
)
def test_an_argument_without_meaning_or_effect_is_refused_in_one_line(
    arguments: dict[str, Any], geometry: dict[str, Any], says: str, hint: str
) -> None:
    with pytest.raises(SpecError) as raised:
        eb.predict_array(with_geometry("nuclei", **geometry), picture(3, 40, 40), **arguments)
    assert says in raised.value.message
    assert hint in raised.value.hint
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("rule", "value", "says"), [("refuse", np.nan, "NaN"), ("nodata", np.inf, "infinite")])
def test_values_that_would_spread_are_refused(rule: str, value: float, says: str) -> None:
    package = with_card("vegetation-rgb", dtypes=("float32",), nodata=NodataRule(nan=rule))
    image = picture(3, 40, 50).astype(np.float32)
    image[1, 7, 9] = value
    with pytest.raises(UnsupportedScene, match=says):
        eb.predict_array(package, image)


@pytest.mark.parametrize("rule", ["any", "all"])
def test_nan_is_nodata_in_and_out_where_the_card_says_so(rule: str) -> None:
    package = with_card("vegetation-rgb", dtypes=("float32",), nodata=NodataRule(nan="nodata", rule=rule))
    image = picture(3, 90, 200).astype(np.float32)
    whole = eb.predict_array(package, image, precision="float32")
    image[0, 10:30, 5:20] = np.nan
    image[:, 50:60, 5:20] = np.nan
    labels = eb.predict_array(package, image, precision="float32")
    missing = np.isnan(image)
    np.testing.assert_array_equal(labels == 255, missing.any(0) if rule == "any" else missing.all(0))
    # Beyond the reach of what was taken out nothing changes.
    beyond = np.s_[:, 20 + 2 * package.card.geometry.stride + package.card.geometry.reach :]
    np.testing.assert_array_equal(labels[beyond], whole[beyond])
    assert len(np.unique(whole[beyond])) == 2


def test_a_halo_is_taken_as_it_is_given() -> None:
    package, image = eb.load_package(str(PACKAGES / "vegetation-rgb")), picture(3, 250, 230)

    def labels(halo: int | None) -> np.ndarray:
        return eb.predict_array(package, image, core=64, halo=halo, precision="float32")

    assert package.card.network_geometry.halo == 48
    np.testing.assert_array_equal(labels(48), labels(None))
    assert (labels(0) != labels(None)).any()


def test_blended_tiles_are_near_the_plain_pass_and_not_the_cropped_ones() -> None:
    image = picture(3, 250, 230)
    package = with_geometry("vegetation-rgb", **GLOBAL)
    whole = eb.predict_array(str(PACKAGES / "vegetation-rgb"), image, core=10_000, precision="float32")
    blended = eb.predict_array(package, image, core=64, stitch="blend", precision="float32")
    assert 0 < (blended != whole).mean() < 0.05


@pytest.fixture
def volume(tmp_path) -> tuple[Path, np.ndarray]:
    """A NIfTI (i, j, k), and its slices (slices, bands, rows, columns)."""
    voxels = np.random.default_rng(3).integers(0, 255, (40, 36, 3), np.uint8)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "v.nii.gz")
    return tmp_path / "v.nii.gz", voxels.transpose(2, 1, 0)[:, None]


def test_a_file_of_several_images_is_predicted_as_its_array_is(volume, tmp_path) -> None:
    path, slices = volume
    package = classes_package()
    wanted = eb.predict_array(package, slices)
    assert wanted.shape == (3, 36, 40)
    np.testing.assert_array_equal(wanted[1], eb.predict_array(package, slices[1]))
    np.testing.assert_array_equal(eb.predict_array(package, path, plane="slice=1"), wanted[1])
    np.testing.assert_array_equal(eb.predict_array(package, str(path), plane="all"), wanted)
    sagittal = eb.predict_array(package, path, plane="slice=4", axis="sagittal")
    np.testing.assert_array_equal(sagittal, eb.predict_array(package, slices[:, :, :, 4].transpose(1, 0, 2)))
    Image.fromarray(slices[2, 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(eb.predict_array(package, tmp_path / "a.png"), wanted[2])


def test_neighbours_are_bands_of_a_slice(volume) -> None:
    path, slices = volume
    package = classes_package(3)
    padded = np.concatenate([slices[:1], slices, slices[-1:]])[:, 0]
    wanted = np.stack([eb.predict_array(package, padded[n : n + 3]) for n in range(3)])
    np.testing.assert_array_equal(eb.predict_array(package, slices, context_slices=1), wanted)
    np.testing.assert_array_equal(eb.predict_array(package, path, context_slices=1, plane="all"), wanted)
    np.testing.assert_array_equal(eb.predict_array(package, slices[[0, 1, 2, 0], 0][:3]), wanted[1])


def test_values_of_a_file_are_meant_as_a_job_means_them(tmp_path) -> None:
    """DICOM's rescale to Hounsfield units, where the card is of scaled values."""
    dataset = ct_slice(0, shape=(40, 36))
    stored = np.random.default_rng(0).integers(900, 1300, (40, 36)).astype(np.int16)
    dataset.PixelData = stored.tobytes()
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    package = classes_package(1, ("int16",), unit="scaled")
    np.testing.assert_array_equal(
        eb.predict_array(package, tmp_path / "a.dcm"), eb.predict_array(package, (stored - 1024)[None])
    )


@pytest.mark.parametrize(
    ("arguments", "says", "hint"),
    [
        ({}, "which is not said of its 3 images", 'plane is one of "slice=0", "slice=1", "slice=2", or "all"'),
        ({"plane": "slice=9"}, "there is no slice=9 among its 3 images", '"slice=0"'),
        ({"plane": "slice=0", "axis": "up"}, "axis: Input should be", "see the arguments"),
        ({"plane": "slice=0", "bands": [2]}, "band 2 is asked for", "correct bands"),
        ({"plane": "slice=0", "context_slices": 1}, "it has 3 bands, classes wants 1", "in bands"),
    ],
)
def test_what_is_not_in_a_file_is_said_in_one_line(volume, arguments, says, hint) -> None:
    with pytest.raises(eb.EncdecError) as raised:
        eb.predict_array(classes_package(), volume[0], **arguments)
    assert says in raised.value.message
    assert hint in raised.value.hint
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("arguments", [{"plane": "z=0"}, {"um_per_px": 2.0}, {"context_slices": 1}])
def test_what_only_a_file_or_a_stack_has_is_refused_of_an_image(arguments) -> None:
    with pytest.raises(SpecError, match=f"{next(iter(arguments))} has no effect"):
        eb.predict_array(classes_package(), picture(1, 40, 40), **arguments)


@pytest.mark.parametrize("plane", ["", "all", "slice=1"])
def test_a_picture_beside_a_slide_is_none_of_its_images(tmp_path, plane) -> None:
    path = tmp_path / "label.dcm"
    path.write_bytes(slide(np.zeros((40, 40, 3), np.uint8), ImageType=["ORIGINAL", "PRIMARY", "LABEL"]))
    with pytest.raises(SpecError, match="holds no image of the scene, but a picture beside it"):
        eb.predict_array(classes_package(), path, plane=plane)
