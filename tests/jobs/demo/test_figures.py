from __future__ import annotations

import numpy as np
import pytest

from jobs.demo import denoising, enlarging, infrared, segmentation, tissue, tomography
from jobs.demo.record import Figure
from jobs.demo.results import as_pixels

RNG = np.random.default_rng(5)
CLEAN = RNG.integers(0, 256, (3, 40, 60)).astype(np.uint8)


def figure(network: float, *, higher_is_better: bool = True) -> Figure:
    plain = {"weak": 1.0 if higher_is_better else 9.0, "strong": 5.0}
    return Figure(measure="m", higher_is_better=higher_is_better, plain=plain, networks={"net": network})


@pytest.mark.parametrize(("network", "higher", "fault"), [
    (5.1, True, ""), (5.0, True, "no better than strong"), (3.0, True, "no better than strong"),
    (4.9, False, ""), (5.0, False, "no better than strong"), (7.0, False, "no better than strong"),
])  # fmt: skip
def test_a_network_must_beat_the_best_plain_method(network, higher, fault):
    assert figure(network, higher_is_better=higher).fault("net") == fault


def test_a_network_that_gives_no_number_beats_nothing():
    assert figure(np.nan).fault("net") == "no better than strong"


def test_a_plain_method_has_no_fault():
    assert figure(0.0).fault("weak") == ""


def test_a_figure_that_compares_nothing_is_none():
    with pytest.raises(ValueError, match="compares nothing"):
        Figure(measure="m", higher_is_better=True, plain={}, networks={"net": 1.0})


def test_iou_is_over_all_pixels_not_the_mean_of_images():
    truth = np.zeros((10, 10), np.uint8)
    truth[:, :4] = 7  # labels count nuclei
    shifted, none = np.roll(truth, 2, axis=1) > 0, np.zeros((10, 10), np.uint8)
    judged = segmentation.figure([
        (truth, {"Otsu": none, "U-Net": shifted}), (truth, {"Otsu": truth, "U-Net": truth > 0}),
    ])  # fmt: skip
    assert judged.plain == {"Otsu": 40 / 80}
    assert judged.networks == {"U-Net": (20 + 40) / (60 + 40)}


def test_denoising_is_judged_as_files():
    clean = np.full((1, 20, 20), 252, np.uint8)
    psnr, ssim = denoising.judge(clean, {"Noisy": clean + 400.0, "U-Net": clean + 0.4})
    assert psnr.plain == {"Noisy": pytest.approx(20 * np.log10(255 / 3))}, "clipped to 255"
    assert psnr.networks == {"U-Net": np.inf}, "rounded"
    assert ssim.networks == {"U-Net": pytest.approx(1)}


def test_enlarging_is_judged_without_its_border():
    made = CLEAN.astype(float)
    made[:, :2], made[:, -2:], made[..., :2], made[..., -2:] = 0, 0, 0, 0
    psnr, _ = enlarging.judge(CLEAN, {"Bicubic": made / 2, "EDSR": made})
    assert psnr.networks == {"EDSR": np.inf}
    assert psnr.plain["Bicubic"] < 30


def test_infrared_is_judged_by_the_band_and_by_the_index():
    rgb, nir = np.full((3, 20, 30), 50, np.uint8), np.full((1, 20, 30), 150, np.uint8)
    made = {infrared.MEAN: np.full((1, 20, 30), 50), infrared.PIX2PIX: nir}
    error, ssim, index = infrared.judge([infrared.Infrared(name="a", rgb=rgb, truth=nir, made=made)] * 2)
    assert (error.plain[infrared.MEAN], error.networks[infrared.PIX2PIX]) == (100, 0)
    assert ssim.networks[infrared.PIX2PIX] == pytest.approx(1)
    assert index.plain[infrared.MEAN] == pytest.approx(0.5), "(150 - 50) / (150 + 50), against 0"
    assert not index.higher_is_better
    assert not error.higher_is_better


def test_made_images_are_read_in_units_of_their_input():
    assert as_pixels(np.array([1, 128, 255], np.uint8)).tolist() == pytest.approx([0, 127.5, 255])


def test_slides_are_judged_by_their_nuclei():
    truth = np.zeros((8, 10), bool)
    truth[:, :4] = True
    judged = tissue.figure(truth, {"Otsu": ~truth, "U-Net": np.roll(truth, 2, axis=1)})
    assert judged.plain == {"Otsu": 0}
    assert judged.networks == {"U-Net": 16 / 48}


def test_haematoxylin_is_told_from_eosin():
    image = np.full((3, 20, 20), 245, np.uint8)
    image[:, :8] = np.array([225, 90, 150])[:, None, None]  # eosin
    image[:, 12:] = np.array([80, 50, 140])[:, None, None]  # haematoxylin
    stained = tissue.plain_masks(image)[tissue.HAEMATOXYLIN]
    assert stained[12:].all()
    assert not stained[:12].any()


def test_tomography_is_judged_in_bodies_alone():
    full = np.full((2, 16, 16), -1000, np.float32)
    full[:, 4:12, 4:12] = 40
    noisy, made = full + 30, full + 3
    noisy[full < -500] = 500
    error, ssim = tomography.judge(full, {"Low dose": noisy, "U-Net": made})
    assert (error.plain, error.networks) == ({"Low dose": pytest.approx(30)}, {"U-Net": pytest.approx(3)})
    assert ssim.networks["U-Net"] > ssim.plain["Low dose"]


def test_the_gaussian_is_the_best_there_is():
    low, full = (
        np.random.default_rng(3).normal(0, 40, (1, 32, 32)).astype(np.float32),
        np.zeros((1, 32, 32), np.float32),
    )
    made = tomography.plain(low, full)
    assert np.std(made[tomography.GAUSS]) < np.std(made[tomography.MEDIAN]) < np.std(low)
