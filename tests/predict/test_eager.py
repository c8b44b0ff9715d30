"""What is measured of a network is what the engine runs."""

from __future__ import annotations

import pytest
import torch
from models.made import network
from torch import nn

from encdec_batch.models.forward import forward, prepare
from encdec_batch.predict.eager import PRECISIONS, EagerEngine
from encdec_batch.window import Window


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_measured_network_gives_the_engines_bytes(precision: str) -> None:
    made = network(width=4)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    x_NCHW = torch.randn(1, 2, 48, 48)
    measured = forward(prepare(made, precision=precision), x_NCHW)[0]
    (ran,) = EagerEngine(made, device="cpu", precision=precision).cores(x_NCHW, [Window(0, 0, 48, 48)])
    assert torch.equal(measured, ran)
