"""On a CUDA device, where there is one: every precision learns, and a stopped training goes on to the same curve."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from train.learning.test_loop import CASES, learn_spec
from train.squares import Squares
from train.trainings import material, train_spec

from encdec_batch.train.batch import Turn
from encdec_batch.train.learning.all_reduce import TeamOfOne
from encdec_batch.train.learning.loop import Loop
from encdec_batch.train.learning.prefetch import Feed
from encdec_batch.train.running.run import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]
CUDA = torch.device("cuda")


def make(name, precision, **more):
    build, _, losses = CASES[name]
    torch.manual_seed(5)
    learners = build()
    return Loop(learners, learn_spec(losses, **more), rates=[1e-2] * len(learners), precision=precision, device=CUDA)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_every_precision_learns(name, precision):
    loop = make(name, precision, steps=60, ema=None)
    losses = [done.losses["loss"] for done in loop.run(CASES[name][1], TeamOfOne())]
    assert sum(losses[-5:]) < sum(losses[:5])
    assert next(loop.learners[0].network.parameters()).dtype == torch.float32


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_state_brings_optimiser_and_scale_back(precision):
    batches = Squares()
    whole = [done.losses["loss"] for done in make("segmentation", precision).run(batches, TeamOfOne())]
    first = make("segmentation", precision)
    begun = [done.losses["loss"] for done in islice(first.run(batches, TeamOfOne()), 3)]
    second = make("segmentation", precision)
    second.restore(first.state())
    rest = [done.losses["loss"] for done in second.run(batches, TeamOfOne())]
    # Sums on a GPU are made in an order of their own.
    assert begun + rest == pytest.approx(whole, rel=1e-3)


def test_batches_are_copied_channels_last():
    with Feed(Squares(), Turn(seed=0, epoch=0, global_batch=8), CUDA, parts=2) as feed:
        parts = feed.next().parts
    assert [len(part) for part in parts] == [4, 4]
    assert parts[0].image_NCHW.is_contiguous(memory_format=torch.channels_last)
    assert parts[0].truth.target.device.type == "cuda"


def test_a_network_learns_on_after_it_was_evaluated(tmp_path):
    """Evaluation is deterministic, and cross-entropy on CUDA cannot be."""
    spec = train_spec(tmp_path, {"learn.steps": 20, "output.evaluate_every": 10, "compute.device": "cuda"})
    assert train(spec, material).step == 20
