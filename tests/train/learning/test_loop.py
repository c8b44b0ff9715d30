"""The laws of the loop: a step does not hang on how it is divided, nor a training on where it was interrupted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice

import pytest
import torch
from torch import nn
from train.squares import Squares

from encdec_batch.errors import CheckpointError, LossNotFinite, SceneUnreadable, SpecError, TrainingError
from encdec_batch.networks.espcn import ESPCN
from encdec_batch.networks.unet import UNet
from encdec_batch.spec.train import LearnSpec
from encdec_batch.train.batch import Turn
from encdec_batch.train.learning.all_reduce import TeamOfOne
from encdec_batch.train.learning.learner import Discriminator, Generator, Mapper, Term
from encdec_batch.train.learning.loop import Loop
from encdec_batch.train.learning.losses import CrossEntropy, Dice, Difference, Verdicts

CPU = torch.device("cpu")
CLASSES = ({"kind": "cross_entropy"}, {"kind": "dice"})
IMAGES = ({"kind": "l1"},)
SEGMENT = (Term(name="cross_entropy", factor=1.0, loss=CrossEntropy()), Term(name="dice", factor=0.5, loss=Dice()))
RESTORE = (Term(name="l1", factor=1.0, loss=Difference("l1")),)


class Judge(nn.Module):
    """A discriminator of patches, as small as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 4, stride=2), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 4))

    def forward(self, condition, image):
        return self.layers(torch.cat([condition, image], dim=1))


def segmenter(**arguments):
    return UNet(2, 2, depth=1, **{"width": 4, "norm": "none"} | arguments)


def dropping():
    return nn.Sequential(segmenter(), nn.Dropout(0.5), nn.Conv2d(2, 1, 1))


def pair():
    generator, judge = dropping(), Judge()
    terms = (*RESTORE, Term(name="adversarial", factor=0.1, loss=Verdicts(real=True)))
    return [Discriminator(judge, generator), Generator(generator, judge, terms)][::-1]


CASES = {
    "segmentation": (lambda: [Mapper(segmenter(), SEGMENT)], Squares(), CLASSES),
    "batch norm": (lambda: [Mapper(segmenter(norm="batch"), SEGMENT)], Squares(), CLASSES),
    "dropout": (lambda: [Mapper(dropping(), RESTORE)], Squares(kind="image"), IMAGES),
    "larger": (lambda: [Mapper(ESPCN(2, 1, scale=2, width=4), RESTORE)], Squares(kind="larger"), IMAGES),
    "adversarial pair": (pair, Squares(kind="image"), IMAGES),
}


def learn_spec(losses=CLASSES, **more):
    return LearnSpec.model_validate({"losses": losses, "steps": 7, "batch": 8, "warmup": 2, "ema": 0.9} | more)


def make_loop(name="segmentation", precision="float32", **more):
    make, _, losses = CASES[name]
    torch.manual_seed(5)
    learners = make()
    return Loop(learners, learn_spec(losses, **more), rates=[1e-2] * len(learners), precision=precision, device=CPU)


def curve(loop, batches, team=None, steps=None):
    return [done.losses for done in islice(loop.run(batches, team or TeamOfOne()), steps)]


@dataclass
class Threads:
    """A team whose members are threads of this process."""

    rank: int
    size: int
    shared: list = field(default_factory=list)
    barrier: threading.Barrier | None = None

    def sum(self, tensors):
        self.shared[self.rank] = [tensor.clone() for tensor in tensors]
        self.barrier.wait(20)
        for number, tensor in enumerate(tensors):
            tensor.copy_(sum(theirs[number] for theirs in self.shared))
        self.barrier.wait(20)


def together(loops, batches):
    """Every loop by a thread of its own, as a team; the curve of the first, or the errors of all."""
    shared, barrier, curves, errors = [None] * len(loops), threading.Barrier(len(loops)), {}, {}

    def work(rank):
        try:
            curves[rank] = curve(loops[rank], batches, Threads(rank, len(loops), shared, barrier))
        except Exception as error:  # noqa: BLE001
            errors[rank] = error

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(loops))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return curves.get(0), errors


def near(one, two, rel=2e-4):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert a == pytest.approx(b, rel=rel)


@pytest.mark.parametrize("name", ["segmentation", "batch norm", "larger", "adversarial pair"])
def test_it_learns(name):
    losses = [found["loss"] for found in curve(make_loop(name, steps=40, ema=None), CASES[name][1])]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("killed_after", [1, 3, 6])
def test_interrupted_at_any_step_it_goes_on_to_the_same_curve_and_weights(name, killed_after):
    """3 steps are an epoch. Bit for bit, as the machine is the same."""
    batches = CASES[name][1]
    undisturbed = make_loop(name)
    expected = curve(undisturbed, batches)
    first = make_loop(name)
    begun = curve(first, batches, steps=killed_after)
    state = first.state()
    torch.manual_seed(99)
    second = Loop(CASES[name][0](), learn_spec(CASES[name][2]), rates=[1e-2] * 2, precision="float32", device=CPU)
    second.restore(state)
    assert begun + curve(second, batches) == expected
    for mine, theirs in zip(second.state().tensors.values(), undisturbed.state().tensors.values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("name", ["segmentation", "larger"])
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_a_step_in_parts_is_the_same_step(name, parts):
    """Though the parts have different numbers of valid pixels: a mean of means would show it."""
    batches = CASES[name][1]
    near(curve(make_loop(name, accumulate=parts), batches), curve(make_loop(name), batches))


@pytest.mark.parametrize("name", ["segmentation", "larger"])
@pytest.mark.parametrize("size", [2, 3])
def test_workers_together_take_the_step_of_one(name, size):
    batches = CASES[name][1]
    loops = [make_loop(name) for _ in range(size)]
    found, errors = together(loops, batches)
    assert errors == {}
    near(found, curve(make_loop(name), batches))
    for other in loops[1:]:
        for mine, theirs in zip(loops[0].state().tensors.values(), other.state().tensors.values(), strict=True):
            assert torch.equal(mine, theirs)


def test_a_mean_of_means_would_not_be_the_same():
    """So the laws above are no accident of the data."""
    loop, turn = make_loop(), Turn(seed=0, epoch=0, global_batch=8)
    network = loop.learners[0].network
    halves = [Squares().batch(turn, numbers) for numbers in (range(4), range(4, 8))]
    targets = [torch.from_numpy(half.target) for half in halves]
    with torch.no_grad():
        network.head.bias[1] += 3
        logits = [network(torch.from_numpy(half.image)) for half in halves]
    means = [nn.functional.cross_entropy(x, t, ignore_index=255) for x, t in zip(logits, targets, strict=True)]
    [whole] = curve(loop, Squares(), steps=1)
    assert abs(float(sum(means)) / 2 - whole["network/cross_entropy"]) > 1e-2 * whole["network/cross_entropy"]


def test_a_loss_that_is_not_finite_stops_before_the_weights_change_and_names_the_sample():
    loop = make_loop()
    before = [parameter.clone() for parameter in loop.learners[0].network.parameters()]
    with pytest.raises(LossNotFinite, match=r"step 1, network.*scene5@0,0") as caught:
        curve(loop, Squares(poisoned=5))
    assert caught.value.context["names"] == ("scene5@0,0",)
    assert loop.step == 0
    for parameter, old in zip(loop.learners[0].network.parameters(), before, strict=True):
        assert torch.equal(parameter, old)


def test_it_stops_all_workers_and_only_the_one_that_has_the_sample_names_it():
    _, errors = together([make_loop(), make_loop()], Squares(poisoned=5))
    assert "another worker's samples" in str(errors[0])
    assert errors[1].context["names"] == ("scene5@0,0",)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_weights_that_ran_away_are_told_with_all_samples_of_the_batch(precision):
    loop = make_loop(precision=precision)
    with torch.no_grad():
        next(loop.learners[0].network.parameters())[0, 0, 0, 0] = float("inf")
    with pytest.raises(LossNotFinite, match="lower the learning rate") as caught:
        curve(loop, Squares())
    assert len(caught.value.context["names"]) == 8


@dataclass(frozen=True)
class Unreadable:
    """Data of which one rank's second batch cannot be read."""

    rank: int
    num_samples: int = 24

    def epoch(self, turn):
        for number, batch in enumerate(Squares().epoch(turn)):
            if number and turn.rank == self.rank:
                raise SceneUnreadable("s3://a/b.tif: truncated", hint="fetch it anew")
            yield batch


def test_a_batch_that_one_worker_cannot_make_stops_all_of_them():
    _, errors = together([make_loop(), make_loop()], Unreadable(1))
    assert isinstance(errors[1], SceneUnreadable)
    assert "another worker got no batch" in str(errors[0])
    assert not [thread for thread in threading.enumerate() if thread.name == "feed"]


def test_an_epoch_smaller_than_a_batch():
    with pytest.raises(SpecError, match="an epoch has 5 samples, a step wants 8"):
        curve(make_loop(), Squares(num_samples=5))


def test_a_state_of_another_network_is_refused_in_one_line():
    state = make_loop().state()
    other = Loop([Mapper(segmenter(width=8), SEGMENT)], learn_spec(), rates=[1e-2], precision="float32", device=CPU)
    with pytest.raises(CheckpointError, match="of another network or optimiser") as caught:
        other.restore(state)
    assert "\n" not in str(caught.value)


def test_a_state_of_another_optimiser_is_refused():
    state = make_loop().state()
    with pytest.raises(CheckpointError, match="of another network or optimiser"):
        make_loop(optimizer={"kind": "sgd"}).restore(state)


def test_float16_without_cuda_is_refused():
    with pytest.raises(TrainingError, match="float16 is for CUDA"):
        make_loop(precision="float16")


def test_bfloat16_learns_about_the_same():
    batches = CASES["segmentation"][1]
    one, two = (curve(make_loop(precision=p, steps=20), batches) for p in ("float32", "bfloat16"))
    assert one[-1]["loss"] == pytest.approx(two[-1]["loss"], rel=0.1)
    assert one != two


def test_the_gradient_of_the_generator_leaves_the_discriminator_as_it_is():
    loop = make_loop("adversarial pair")
    generator, judge = loop.learners[0], loop.learners[1].network
    before = [parameter.clone() for parameter in judge.parameters()]
    [found] = curve(loop, CASES["adversarial pair"][1], steps=1)
    assert set(found) == {
        "loss", "network/l1", "network/adversarial", "discriminator/real", "discriminator/made"
    }  # fmt: skip
    assert found["loss"] == pytest.approx(found["network/l1"] + 0.1 * found["network/adversarial"])
    assert all(parameter.requires_grad for parameter in judge.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, judge.parameters(), strict=True))
    assert generator.network.training


def test_a_clipped_gradient_and_a_free_one():
    batches = CASES["segmentation"][1]
    tight, loose = (
        make_loop(optimizer={"kind": "sgd", "weight_decay": 0}, clip=clip, ema=None) for clip in (1e-6, None)
    )
    before = [parameter.detach().clone() for parameter in tight.learners[0].network.parameters()]
    for loop in (tight, loose):
        curve(loop, batches, steps=1)
    moved = [
        sum(
            float((new.detach() - old).norm())
            for new, old in zip(loop.learners[0].network.parameters(), before, strict=True)
        )
        for loop in (tight, loose)
    ]
    assert moved[0] < 1e-2 * moved[1]


def test_the_follower_is_what_is_judged():
    loop = make_loop()
    curve(loop, CASES["segmentation"][1])
    assert loop.judged is loop.follower.network
    assert not torch.equal(loop.judged.head.weight, loop.learners[0].network.head.weight)
    assert make_loop(ema=None).follower is None
