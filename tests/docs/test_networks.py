"""docs/networks.md is of the networks that are here; `python -m bench networks` makes it anew."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from encdec_batch.models.architectures import ARCHITECTURES, construct

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text()
ROWS = [
    (name, json.loads(arguments), int(parameters.replace(",", "")))
    for name, arguments, parameters in re.findall(
        r"^\| `([\w-]+)` \| `({.*?})` \| ([\d,]+) \| \d+ \| \d+ ", PAGE, re.MULTILINE
    )
]


def test_every_architecture_has_a_line() -> None:
    assert {name for name, _, _ in ROWS} == set(ARCHITECTURES)


@pytest.mark.parametrize(("name", "arguments", "parameters"), ROWS, ids=[f"{n}-{json.dumps(a)}" for n, a, _ in ROWS])
def test_a_line_counts_what_its_arguments_make(name: str, arguments: dict[str, object], parameters: int) -> None:
    with torch.device("meta"):
        network = construct(name, {"in_channels": 3, "out_channels": 3} | arguments)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
