"""A job of an ONNX network on Ray: the same bytes as in one process."""

from __future__ import annotations

import numpy as np
import pytest
from e2e.made import LOCAL, command, random_network, write_spec, write_tiff
from models.onnx_made import exported, write_card

pytestmark = [
    pytest.mark.integration,
    # Ray says so of short plans; a run keeps it from its users' terminals, pytest has filters of its own.
    pytest.mark.filterwarnings("ignore:The (maximum|minimum) number of concurrent:UserWarning"),
]


def test_both_streams_write_the_same_bytes(tmp_path):
    (tmp_path / "net.onnx").write_bytes(exported(random_network(1), bands=1))
    bands = {"bands": [{"name": "a"}], "normalization": {"kind": "constants", "mean": [125.0], "std": [70.0]}}
    card = write_card(tmp_path / "card.yaml", **bands)
    assert command("models", "import", tmp_path / "net.onnx", tmp_path / "package", "--card", card).code == 0
    assert command("models", "add", tmp_path / "package", tmp_path / "registry").code == 0
    for name in "ab":
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (1, 700, 600), np.uint8)
        write_tiff(tmp_path / f"in/{name}.tif", pixels)
    package = f"{tmp_path}/registry/made-for-tests@1"
    digests = []
    for kind in ("local", "ray"):
        stream = LOCAL["stream"] if kind == "local" else {"kind": "ray", "max_workers": 1}
        compute = {"stream": stream, "device": "auto", "precision": "auto"}
        ended = command("run", write_spec(tmp_path / kind, tmp_path / "in", package, compute=compute), "--json")
        assert ended.code == 0, ended.stderr
        digests.append(ended.result["digest"])
    assert digests[0] == digests[1]
