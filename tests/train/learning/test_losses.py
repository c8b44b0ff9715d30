"""Losses against the formulas of their papers, pixel by pixel, and the law that parts of a batch add up to it."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log, sqrt

import numpy as np
import pytest
import torch

from encdec_batch.train.batch import IGNORE
from encdec_batch.train.learning.losses import CrossEntropy, Dice, Difference, Focal, Truth, Verdicts, median_frequency

CLASSES = 3
WEIGHTS = (0.5, 1.0, 4.0)


def of_classes(seed=0, samples=4, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, CLASSES, (samples, 5, 6), generator=generator)
    valid = torch.rand(target.shape, generator=generator) >= ignored
    output = torch.randn((samples, CLASSES, 5, 6), generator=generator)
    return output, Truth(target=torch.where(valid, target, IGNORE), valid_NHW=valid)


def of_images(seed=0, samples=4):
    generator = torch.Generator().manual_seed(seed)
    output, target = (torch.randn((samples, 2, 5, 6), generator=generator) for _ in range(2))
    return output, Truth(target=target, valid_NHW=torch.rand((samples, 5, 6), generator=generator) > 0.3)


LOSSES = [
    (CrossEntropy(), of_classes),
    (CrossEntropy(WEIGHTS), of_classes),
    (Focal(2.0, WEIGHTS), of_classes),
    (Dice(), of_classes),
    *[(Difference(name), of_images) for name in ("l1", "mse", "charbonnier")],
    (Verdicts(real=True), of_images),
]
NAMES = [f"{loss.name}-{number}" for number, (loss, _) in enumerate(LOSSES)]


def mean(loss, output, truth):
    return float(loss.total(output, truth) / loss.weight(truth))


def pixels(output, truth):
    """Probabilities and right class of every pixel that counts."""
    for n, row, col in np.argwhere(truth.valid_NHW.numpy()):
        powers = [exp(value) for value in output[n, :, row, col].tolist()]
        yield [power / sum(powers) for power in powers], int(truth.target[n, row, col])


def test_cross_entropy_is_minus_the_mean_log_of_the_right_class():
    output, truth = of_classes()
    logs = [log(p[k]) for p, k in pixels(output, truth)]
    assert mean(CrossEntropy(), output, truth) == pytest.approx(-sum(logs) / len(logs), rel=1e-5)
    weighted = [(WEIGHTS[k], WEIGHTS[k] * log(p[k])) for p, k in pixels(output, truth)]
    expected = -sum(b for _, b in weighted) / sum(a for a, _ in weighted)
    assert mean(CrossEntropy(WEIGHTS), output, truth) == pytest.approx(expected, rel=1e-5)


def test_one_channel_is_the_logit_of_the_second_class():
    output, truth = of_classes()
    two = output[:, :2]
    truth = Truth(target=torch.where(truth.valid_NHW, truth.target % 2, IGNORE), valid_NHW=truth.valid_NHW)
    for loss in (CrossEntropy((1.0, 3.0)), Focal(), Dice()):
        assert mean(loss, two, truth) == pytest.approx(mean(loss, two[:, 1:] - two[:, :1], truth), rel=1e-5)


def test_focal_counts_what_the_network_is_sure_of_less():
    output, truth = of_classes()
    terms = [-((1 - p[k]) ** 2) * log(p[k]) for p, k in pixels(output, truth)]
    assert mean(Focal(2.0), output, truth) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert mean(Focal(0.0), output, truth) == pytest.approx(mean(CrossEntropy(), output, truth), rel=1e-5)


def test_focal_has_a_gradient_where_the_network_is_sure():
    output = torch.tensor([[[[60.0]], [[-60.0]]]], requires_grad=True)
    truth = Truth(target=torch.tensor([[[0]]]), valid_NHW=torch.tensor([[[True]]]))
    Focal(2.0).total(output, truth).backward()
    assert output.grad.isfinite().all()


def test_dice_is_twice_the_overlap_over_the_sum_of_sizes():
    output, truth = of_classes(samples=2)
    p = output.softmax(1).numpy()
    losses = []
    for n in range(2):
        known = truth.valid_NHW[n].numpy()
        scores = []
        for k in range(CLASSES):
            right = (truth.target[n].numpy() == k) & known
            scores.append((2 * p[n, k][right].sum() + 1) / (p[n, k][known].sum() + right.sum() + 1))
        losses.append(1 - np.mean(scores))
    assert mean(Dice(), output, truth) == pytest.approx(np.mean(losses), rel=1e-5)


def test_a_perfect_mask_has_no_dice_loss_and_a_sample_without_known_pixels_no_part():
    target = torch.tensor([[[0, 1], [2, 1]], [[IGNORE] * 2] * 2])
    truth = Truth(target=target, valid_NHW=target != IGNORE)
    sure = 100 * torch.nn.functional.one_hot(target.clamp_max(2), 3).movedim(-1, 1).float()
    assert mean(Dice(), sure, truth) == pytest.approx(0, abs=1e-6)
    assert float(Dice().weight(truth)) == 1


@pytest.mark.parametrize(
    ("name", "formula"),
    [("l1", abs), ("mse", lambda d: d * d), ("charbonnier", lambda d: sqrt(d * d + 1e-6))],
)
def test_differences_of_images(name, formula):
    output, truth = of_images()
    kept = [
        formula(float(output[n, c, row, col] - truth.target[n, c, row, col]))
        for n, row, col in np.argwhere(truth.valid_NHW.numpy())
        for c in range(2)
    ]
    assert mean(Difference(name), output, truth) == pytest.approx(sum(kept) / len(kept), rel=1e-5)


def test_a_discriminator_that_does_not_know_loses_log_2_and_a_fooled_one_is_what_the_generator_wants():
    _, truth = of_images(samples=2)
    assert mean(Verdicts(real=True), torch.zeros(2, 1, 3, 3), truth) == pytest.approx(log(2))
    taken_for_real = torch.full((2, 1, 3, 3), 9.0)
    assert mean(Verdicts(real=True), taken_for_real, truth) < 1e-3 < mean(Verdicts(real=False), taken_for_real, truth)


@pytest.mark.parametrize(("loss", "make"), LOSSES, ids=NAMES)
@pytest.mark.parametrize("cuts", [(1,), (1, 2, 3), (3,)])
def test_parts_of_a_batch_add_up_to_it_however_it_is_cut(loss, make, cuts):
    output, truth = make()
    bounds = [0, *cuts, len(output)]
    parts = [np.s_[a:b] for a, b in pairwise(bounds)]
    cut = [(output[s], Truth(target=truth.target[s], valid_NHW=truth.valid_NHW[s])) for s in parts]
    total, weight = sum(loss.total(o, t) for o, t in cut), sum(loss.weight(t) for _, t in cut)
    assert float(total / weight) == pytest.approx(mean(loss, output, truth), rel=1e-5)


@pytest.mark.parametrize(("loss", "make"), LOSSES[:-1], ids=NAMES[:-1])
def test_what_is_not_valid_changes_nothing(loss, make):
    output, truth = make()
    changed = torch.where(truth.valid_NHW[:, None], output, output + 7)
    assert mean(loss, changed, truth) == mean(loss, output, truth)


@pytest.mark.parametrize(("loss", "make"), LOSSES[:-1], ids=NAMES[:-1])
def test_a_batch_of_nothing_valid_adds_nothing(loss, make):
    output, truth = make()
    nothing = Truth(
        target=torch.full_like(truth.target, IGNORE) if truth.target.ndim == 3 else truth.target,
        valid_NHW=torch.zeros_like(truth.valid_NHW),
    )
    assert (float(loss.total(output, nothing)), float(loss.weight(nothing))) == (0, 0)


def test_rare_classes_weigh_more():
    """SegNet, section 4: the weight is the median of the frequencies over the frequency of the class."""
    pixels, around = np.array([600, 300, 0, 10]), np.array([1000, 1000, 0, 500])
    frequencies = [0.6, 0.3, 0.02]
    expected = [0.3 / 0.6, 1.0, 1.0, 0.3 / 0.02]
    assert median_frequency(pixels, around) == pytest.approx(expected)
    assert sorted(frequencies)[1] == 0.3
    assert median_frequency(pixels, around, root=True) == pytest.approx([sqrt(value) for value in expected])
