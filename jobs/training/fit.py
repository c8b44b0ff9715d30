"""The training loop of the shipped packages: random crops, flips and brightness, AdamW with one cosine.

Everything random comes from one seed, so that a run can be repeated (on the same machine, with the same threads).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encdec_batch.models.publish import normalize


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One labelled image."""

    name: str
    image: NDArray[np.uint8]
    """(bands, height, width)."""
    label: NDArray[np.uint8]
    """(height, width): 0 or 1, 255 where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a run is made of."""

    seed: int = 2018
    steps: int = 2000
    batch: int = 8
    crop: int = 128
    learning_rate: float = 4e-3
    gain: float = 0.25
    """Brightness is multiplied by up to 1 + gain or divided by it; each band by up to a quarter of that besides."""
    offset: float = 12.0
    """Added to all bands, up to this in either direction, in stored units."""


def statistics(examples: Sequence[Example]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each band over all pixels, rounded to 0.01."""
    pixels = np.concatenate([example.image.reshape(example.image.shape[0], -1) for example in examples], axis=1)
    mean, std = pixels.mean(axis=1, dtype=np.float64), pixels.std(axis=1, dtype=np.float64)
    return tuple(round(float(m), 2) for m in mean), tuple(round(float(s), 2) for s in std)


def fit(
    network: nn.Module,
    examples: Sequence[Example],
    constants: tuple[Sequence[float], Sequence[float]],
    recipe: Recipe,
) -> nn.Module:
    """Train in place; the network comes back in eval mode."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, recipe.steps, pct_start=0.1)
    network.train().to(memory_format=torch.channels_last)
    began, running = monotonic(), 0.0
    for step, (image_NCHW, label_NHW) in enumerate(_batches(examples, constants, recipe), 1):
        optimizer.zero_grad()
        loss = loss_of(network(image_NCHW), label_NHW)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        running += (loss.item() - running) / min(step, 100)
        if step % 100 == 0:
            print(f"step {step}/{recipe.steps}  loss {running:.4f}  {monotonic() - began:.0f} s", flush=True)
    return network.to(memory_format=torch.contiguous_format).eval()


def loss_of(logits_NCHW: Tensor, label_NHW: Tensor) -> Tensor:
    """Cross entropy plus one minus the soft Dice score of class 1; pixels of label 255 do not count."""
    known = label_NHW != 255
    truth = (label_NHW == 1).float()
    # With one channel it is the logit of class 1, with two it is their difference: the same loss for both.
    logit = logits_NCHW[:, 0] if logits_NCHW.shape[1] == 1 else logits_NCHW[:, 1] - logits_NCHW[:, 0]
    entropy = functional.binary_cross_entropy_with_logits(logit[known], truth[known])
    chance = torch.sigmoid(logit)[known]
    overlap = 2 * (chance * truth[known]).sum() + 1
    return entropy + 1 - overlap / (chance.sum() + truth[known].sum() + 1)


def predict(
    network: nn.Module, image: NDArray[np.uint8], constants: tuple[Sequence[float], Sequence[float]], multiple: int
) -> NDArray[np.uint8]:
    """Class 0 or 1 per pixel by one plain pass over the image, mirrored to a multiple of `multiple`."""
    _, height, width = image.shape
    pads = ((0, 0), (0, -height % multiple), (0, -width % multiple))
    x = torch.from_numpy(normalize(np.pad(image, pads, mode="reflect"), *constants))[None]
    with torch.inference_mode():
        logits = network(x)[0, :, :height, :width]
    positive = logits[0] > 0 if logits.shape[0] == 1 else logits[1] > logits[0]
    mask: NDArray[np.uint8] = positive.numpy().astype(np.uint8)
    return mask


def scores(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> dict[str, float]:
    """IoU, F1, precision and recall of class 1 and accuracy, over all known pixels of (predicted, label) pairs."""
    predicted = np.concatenate([p.ravel() for p, _ in pairs])
    label = np.concatenate([t.ravel() for _, t in pairs])
    predicted, label = predicted[label != 255] == 1, label[label != 255] == 1
    hit, false, missed = (int(np.sum(s)) for s in (predicted & label, predicted & ~label, ~predicted & label))
    figures = {
        "iou": hit / max(hit + false + missed, 1),
        "f1": 2 * hit / max(2 * hit + false + missed, 1),
        "precision": hit / max(hit + false, 1),
        "recall": hit / max(hit + missed, 1),
        "accuracy": float(np.mean(predicted == label)),
        "share_of_class": float(np.mean(label)),
    }
    return {name: round(value, 4) for name, value in figures.items()} | {"pixels": int(label.size)}


def _batches(
    examples: Sequence[Example], constants: tuple[Sequence[float], Sequence[float]], recipe: Recipe
) -> Iterator[tuple[Tensor, Tensor]]:
    rng = np.random.default_rng(recipe.seed)
    areas = np.array([example.label.size for example in examples], dtype=float)
    # Between "each image alike" and "each pixel alike": large images are shown more often, but do not rule.
    weights = np.sqrt(areas) / np.sqrt(areas).sum()
    for _ in range(recipe.steps):
        chosen = rng.choice(len(examples), size=recipe.batch, p=weights)
        crops = [_crop(examples[i], recipe, rng) for i in chosen]
        images = np.stack([normalize(image, *constants) for image, _ in crops])
        labels = np.stack([label for _, label in crops])
        yield torch.from_numpy(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)


def _crop(example: Example, recipe: Recipe, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    side = recipe.crop
    height, width = example.label.shape
    row, col = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    image = example.image[:, row : row + side, col : col + side]
    label = example.label[row : row + side, col : col + side]
    turns = int(rng.integers(4))
    image, label = np.rot90(image, turns, (1, 2)), np.rot90(label, turns)
    if rng.integers(2):
        image, label = image[:, :, ::-1], label[:, ::-1]
    image = np.ascontiguousarray(image, dtype=np.float32)
    return _jittered(image, recipe, rng), np.ascontiguousarray(label)


def _jittered(image: NDArray[np.float32], recipe: Recipe, rng: np.random.Generator) -> NDArray[np.float32]:
    """Another light and sensor, clipped to what uint8 holds."""
    overall = (1 + recipe.gain) ** rng.uniform(-1, 1)
    each = (1 + recipe.gain / 4) ** rng.uniform(-1, 1, size=(image.shape[0], 1, 1))
    image = image * overall * each + rng.uniform(-recipe.offset, recipe.offset)
    return np.clip(image, 0, 255).astype(np.float32)
