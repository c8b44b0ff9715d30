"""Options of a training, named as they stand in a nightly job."""

from __future__ import annotations

import pytest

from encdec_batch.errors import SpecError
from encdec_batch.nightly.options import named_below_train


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("data.train.bands is [1]", "train.data.train.bands is [1]"),
        ("card.bands and learn.batch", "train.card.bands and train.learn.batch"),
        ("train.data.train.group is there", "train.data.train.group is there"),
        ("data.split leaves none", "split leaves none"),
        ("s3://data.train/x data.tif my/data.train and mydata.train", None),
    ],
)
def test_options_are_named_where_the_user_wrote_them(said, meant):
    with pytest.raises(SpecError) as caught, named_below_train():
        raise SpecError(said, hint=f"set {said}")
    assert (caught.value.message, caught.value.hint) == (meant or said, f"set {meant or said}")
