from __future__ import annotations

from math import cos, pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from encdec_batch.train.learning.ema import Follower
from encdec_batch.train.learning.schedule import learning_rate


@given(st.integers(0, 50), st.integers(2, 300), st.sampled_from([0.0, 0.1]))
def test_it_rises_to_the_peak_and_falls_to_the_end(warmup, steps, final):
    rates = [
        learning_rate(n, peak=2.0, warmup=warmup, steps=warmup + steps, final=final) for n in range(warmup + steps)
    ]
    assert rates[:warmup] == pytest.approx([2.0 * (n + 1) / warmup for n in range(warmup)])
    assert rates[warmup] == 2.0
    assert rates[-1] == pytest.approx(2.0 * final, abs=1e-12)
    assert all(a >= b for a, b in zip(rates[warmup:], rates[warmup + 1 :], strict=False))


def test_it_is_half_a_cosine_as_torch_has_it():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    for step in range(10):
        assert learning_rate(step, peak=3.0, warmup=0, steps=10, final=0.0) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert learning_rate(4, peak=1.0, warmup=0, steps=9, final=0.2) == pytest.approx(0.2 + 0.8 * (1 + cos(pi / 2)) / 2)


def test_a_training_of_one_step_and_what_comes_after_the_end():
    assert learning_rate(0, peak=1.0, warmup=0, steps=1, final=0.0) == 1.0
    assert learning_rate(99, peak=1.0, warmup=0, steps=10, final=0.5) == 0.5


def test_a_follower_is_the_weighted_mean_of_what_it_saw():
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(1.0)
    follower, expected = Follower(network, 0.25), 1.0
    for step, value in enumerate((5.0, -2.0, 8.0), 1):
        with torch.no_grad():
            network.weight.fill_(value)
        follower.follow(network, step)
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert float(follower.network.weight) == pytest.approx(expected)
    assert not follower.network.weight.requires_grad


def test_running_statistics_follow_and_counts_are_copied():
    network = nn.BatchNorm2d(1).train()
    follower = Follower(network, 0.5)
    network(torch.full((1, 1, 2, 2), 10.0))
    follower.follow(network, 1)
    assert float(follower.network.running_mean) == pytest.approx((1 - 2 / 11) * float(network.running_mean))
    assert int(follower.network.num_batches_tracked) == 1
