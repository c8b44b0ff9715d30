"""Whether a scene fits the card: the header decides, and what does not fit says what would."""

from __future__ import annotations

import pytest
from plan.recipes import card, header

from encdec_batch.errors import UnsupportedScene
from encdec_batch.plan.fit import fitting_bands

CARD = card(dtypes=("uint8", "uint16"))


@pytest.mark.parametrize(
    ("bands", "wanted", "found"),
    [(2, None, (1, 2)), (2, (2, 1), (2, 1)), (8, (8, 3), (8, 3)), (1, (1, 1), (1, 1))],
    ids=["all", "order", "chosen", "one_band_twice"],
)
def test_bands_that_fit_come_in_the_cards_order(bands, wanted, found):
    assert fitting_bands(header(bands=bands), CARD, wanted) == found


@pytest.mark.parametrize(
    ("bands", "dtype", "wanted", "words"),
    [
        (3, "uint8", None, "it has 3 bands, made-for-tests wants 2 \\(a, b\\)"),
        (1, "uint8", None, "it has 1 band,"),
        (2, "float32", None, "its pixels are float32, made-for-tests takes uint8, uint16"),
        (3, "uint8", (1, 4), "it has 3 bands, band 4 is asked for"),
        (3, "uint8", (1, 2, 3), "3 bands are asked for, made-for-tests wants 2"),
    ],
)
def test_what_does_not_fit_says_what_is_there_and_what_is_wanted(bands, dtype, wanted, words):
    with pytest.raises(UnsupportedScene, match=words) as caught:
        fitting_bands(header(bands=bands, dtype=dtype), CARD, wanted)
    assert caught.value.hint


def test_a_grey_scene_is_told_how_a_network_of_more_bands_takes_it():
    with pytest.raises(UnsupportedScene) as caught:
        fitting_bands(header(bands=1, dtype="uint8"), CARD, None)
    assert "say [1, 1] in source.bands" in caught.value.hint
    assert fitting_bands(header(bands=1, dtype="uint8"), CARD, (1, 1)) == (1, 1)
