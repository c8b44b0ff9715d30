from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from train.made import picture

from encdec_batch.train.dataset.perceptual_hash import MOST_BITS, SIDE, SmallImage, alike
from encdec_batch.window import Window


def likeness(image: np.ndarray, side: int = 10_000, valid: np.ndarray | None = None) -> int | None:
    """Of (height, width, bands), gathered from windows of a side."""
    height, width, _ = image.shape
    small = SmallImage(height, width)
    valid = np.ones((height, width), bool) if valid is None else valid
    for row in range(0, height, side):
        for col in range(0, width, side):
            window = Window.from_bounds((row, min(row + side, height)), (col, min(col + side, width)))
            at = window.rows, window.cols
            small.add(image[at].transpose(2, 0, 1), valid[at], window)
    return small.likeness()


def bits(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("how", ["jpeg", "half", "webp", "darker"])
def test_the_same_picture_in_another_file(seed, how):
    image = picture(seed, 120, 160)
    pillow, buffer = Image.fromarray(image), io.BytesIO()
    if how in ("jpeg", "webp"):
        pillow.save(buffer, how, quality=60)
        other = np.asarray(Image.open(buffer).convert("RGB"))
    elif how == "half":
        other = np.asarray(pillow.resize((80, 60), Image.Resampling.BOX))
    else:
        other = (image * 0.7).astype(np.uint8)
    assert bits(likeness(image), likeness(other)) <= MOST_BITS


def test_other_pictures_are_far_apart():
    numbers = [likeness(picture(seed, 100, 100)) for seed in range(40)]
    assert min(bits(a, b) for n, a in enumerate(numbers) for b in numbers[:n]) > 3 * MOST_BITS


def test_windows_make_no_difference():
    image = picture(1, 97, 131)
    assert likeness(image, 16) == likeness(image) == likeness(image, 50)


@pytest.mark.parametrize(
    "image",
    [np.full((64, 64, 1), 17, np.uint8), np.zeros((64, 64, 3), np.uint8), picture(1, SIDE // 2, SIDE // 2)],
    ids=["one_colour", "black", "small"],
)
def test_where_there_is_no_picture_to_compare(image):
    assert likeness(image) is None


def test_an_image_that_is_mostly_invalid_has_none():
    valid = np.zeros((64, 64), bool)
    valid[:20] = True
    assert likeness(picture(1, 64, 64), valid=valid) is None


def test_alike_compares_all_with_all():
    one, other = np.array([0, 0b111], np.uint64), np.array([0b1, 0b111111, 0b111], np.uint64)
    assert alike(one, other).tolist() == [[True, False, True], [True, True, True]]
