"""Pairs behind signed links: they are opened, and what is kept and said of a training opens none of them."""

from __future__ import annotations

import numpy as np
import pytest
from e2e.test_signed_links import FIRST, SECOND, signed
from train.made import CLASSES, made, mask_of, picture, spec_of, write_pairs, write_png
from train.trainings import material, train_spec

from encdec_batch.errors import SpecError
from encdec_batch.train.running.run import identity_of
from encdec_batch.train.samples.examples import SceneExamples
from encdec_batch.train.samples.sample import Samples

pytestmark = pytest.mark.integration

COUNT = 8


def prepared(folder, address, query, **changes):
    """A table of pairs whose links have this query; beside them one that is no image, and one that is missing. Sides
    are the table's: those of a hash would hang on the server's port.
    """
    names = [*(f"{number:02}" for number in range(COUNT)), "no", "missing"]
    rows = [
        f"{address}/images/{name}.png?{query},{address}/masks/{name}.png?{query},{'val' if name == '07' else 'train'}"
        for name in names
    ]
    (folder / "pairs.csv").write_text("\n".join(["image,target,split", *rows]) + "\n")
    train = {"kind": "table", "uri": str(folder / "pairs.csv"), "schemes": ["http"], "hosts": ["127.0.0.1"]}
    spec = spec_of(folder, **{"train": train, "most_aside": 0.5, "split": {"kind": "column"}} | changes)
    return spec, made(spec)


def test_links_are_opened_and_named_without_what_opens_them(tmp_path):
    write_pairs(tmp_path, COUNT)
    (tmp_path / "images/no.png").write_bytes(b"no image")
    write_png(tmp_path / "masks/no.png", mask_of(picture(0)))
    valid = {FIRST}
    with signed(tmp_path, valid) as address:
        spec, first = prepared(tmp_path, address, FIRST)
        valid.add(SECOND)
        _, again = prepared(tmp_path, address, SECOND)
        batch = Samples(again, spec).batch(0, 0, range(4))
        [example, *_] = SceneExamples(again.val, spec, again.normalization)
        with pytest.raises(SpecError) as leak:
            prepared(tmp_path, address, FIRST, split={"kind": "pairs", "pairs": spec.train})
    assert again.digest == first.digest
    scenes, before = ([one.pair.scene for one in (*found.train, *found.val)] for found in (again, first))
    assert scenes == before, "by which a split is drawn"
    np.testing.assert_array_equal(again.val[0].counts, first.val[0].counts)
    assert [str(one).partition(": ")[0] for one in first.aside] == [
        f"{address}/images/no.png",
        f"{address}/images/missing.png",
    ]
    for text in (*map(str, first.aside), *batch.names, example.name, str(leak.value)):
        assert "http://" in text
        assert "X-Amz" not in text
        assert "hunter" not in text


def test_neither_the_record_of_a_training_nor_what_it_is_asked_hangs_on_a_signature(tmp_path):
    def asked(query):
        train = {"kind": "table", "uri": f"https://h.example/pairs.csv?{query}"}
        changes = {"data.train": train, "data.target": {"kind": "mask", "classes": CLASSES}}
        return identity_of(train_spec(tmp_path, changes), material().facts)

    assert asked(FIRST) == asked(SECOND)
    assert "hunter" not in str(asked(FIRST))
