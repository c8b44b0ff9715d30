from __future__ import annotations

import json

import pytest
from models.made import declared

from encdec_batch.errors import CardError
from encdec_batch.models.card import Card, GeometryCard, ToleranceCard, card_bytes, parse_card

DIGEST = "0" * 64
FILES = {"weights.safetensors": DIGEST, "golden.safetensors": DIGEST}


def card(**changes) -> Card:
    fields = declared().model_dump() | {
        "format_version": 1,
        "geometry": GeometryCard(scale=1, stride=4, reach=22, exactness="exact"),
        "memory": {"parameters": 10, "activations": 4.0},
        "tolerance": {"cpu/float32": ToleranceCard(value=1e-6, margin=2e-6)},
        "files": FILES,
    }
    return Card(**(fields | changes))


def changed(**changes) -> bytes:
    return json.dumps(json.loads(card_bytes(card())) | changes).encode()


def test_a_card_survives_its_bytes():
    assert parse_card(card_bytes(card()), where="here") == card()


def test_equal_cards_have_equal_bytes():
    assert card_bytes(card()) == card_bytes(card(files=dict(reversed(FILES.items()))))


def test_the_grid_gets_what_was_measured():
    geometry = card(pad_multiple=64).network_geometry
    assert (geometry.stride, geometry.reach, geometry.halo, geometry.pad_multiple) == (4, 22, 24, 64)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x04not json", "not a JSON file"),
        (b"[" * 100_000, "not a JSON file"),
        (b"[1, 2]", "card.json: card:"),
        (changed(colour="red"), "colour: Extra inputs"),
        (changed(format_version=2), "format 2 is newer"),
        (changed(dtypes=[]), "dtypes"),
        (changed(dtypes=["complex64"]), "dtypes"),
        (changed(pad_multiple=6), "not a multiple of the stride 4"),
        (changed(bands=[{"name": "a"}]), "1 bands, but 2 means"),
        (changed(normalization={"kind": "constants", "mean": [1, 2], "std": [1, 0]}), "std"),
        (changed(normalization={"kind": "constants", "mean": [1, float("nan")], "std": [1, 1]}), "mean"),
        (changed(files={"weights.safetensors": DIGEST}), "golden.safetensors must be among"),
        (changed(files=FILES | {"../card.json": DIGEST}), "not a plain file name"),
        (changed(files=FILES | {"/etc/passwd": DIGEST}), "not a plain file name"),
        (changed(files=FILES | {"a\\b": DIGEST}), "not a plain file name"),
        (changed(files=FILES | {"..": DIGEST}), "not a plain file name"),
        (changed(files=FILES | {"weights.pt": DIGEST}), "runs code"),
        (changed(files=FILES | {"extra.bin": DIGEST}), "runs code"),
        (changed(files=FILES | {"extra": "xyz"}), "files.extra"),
        (changed(output={"kind": "image", "band_names": ["x"], "dtype": "uint8", "range": [1, 1]}), "range"),
        (changed(output={"kind": "mesh"}), "output"),
        (changed(name="../up"), "name"),
    ],
)
def test_a_wrong_card_is_one_clear_line(data, said):
    with pytest.raises(CardError, match=said) as caught:
        parse_card(data, where="card.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "activation", "said"),
    [
        ([0, 0], "softmax", "not all different"),
        ([0, 1, 2], "sigmoid", "between 2 classes"),
        ([0, 65535], "softmax", "id"),
    ],
)
def test_classes_that_cannot_be(ids, activation, said):
    classes = [{"id": i, "name": "x", "color": [0, 0, 0]} for i in ids]
    with pytest.raises(CardError, match=said):
        parse_card(changed(output={"kind": "classes", "activation": activation, "classes": classes}), where="card.json")


def test_channels_a_network_must_give():
    sigmoid = card(output=declared().output.model_copy(update={"activation": "sigmoid"}))
    assert (card().output.num_channels, sigmoid.output.num_channels) == (2, 1)


def test_a_card_needs_no_torch():
    import subprocess
    import sys

    code = "import sys; import encdec_batch.models.package; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
