"""A network that follows another one slowly: the mean of its weights over the last steps, which scores better."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class Follower:
    """An exponential moving average of a network's weights.

    After `n` steps the decay is min(decay, (1 + n) / (10 + n)): the random weights of the beginning are soon forgotten.
    Running statistics of batch norms are averaged too, whole numbers (how many batches were seen) copied.

    Args:
        network: is copied as it is now.
        decay: of the old mean at each step, 0 to 1.

    Source: Tarvainen and Valpola, "Mean teachers", NeurIPS 2017, equation 2; the warm-up is TensorFlow's
    ExponentialMovingAverage with `num_updates`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = deepcopy(network).eval().requires_grad_(requires_grad=False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps, which counts from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        theirs = network.state_dict()
        for name, mine in self.network.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(theirs[name].to(mine.dtype), 1 - decay)
            else:
                mine.copy_(theirs[name])
