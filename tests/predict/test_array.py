"""predict_array: the same predictor as a job's, on an image in memory; with the packages that are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import encdec_batch as eb
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


def margin_of_plain_pass(package: Package, image: np.ndarray) -> np.ndarray:
    """How far apart the two highest classes are, by one pass over the whole image in the job's own precision."""
    card = package.card
    device = choose_device("auto", "auto", "auto")
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
    assert device.precision in PRECISIONS
    values = logits.cpu().numpy()
    return np.abs(values[0]) if len(values) == 1 else np.abs(values[0] - values[1])


@pytest.mark.integration
@pytest.mark.parametrize("name", ["vegetation-rgb", "nuclei"])
def test_labels_do_not_depend_on_the_core(name: str) -> None:
    package = eb.load_package(str(PACKAGES / name))
    image = picture(3, 403, 351)
    device = choose_device("auto", "auto", "auto")
    tolerance = package.card.tolerance[f"{device.torch_name}/{device.precision}"]
    whole = eb.predict_array(package, image, core=10_000)
    assert whole.shape == (403, 351)
    assert 0.02 < (whole == 1).mean() < 0.98
    margin = margin_of_plain_pass(package, image)
    for core in (64, 150, 256):
        labels = eb.predict_array(package, image, core=core)
        assert not ((labels != whole) & (margin > tolerance.margin)).any(), core


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
