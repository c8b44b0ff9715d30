"""The training loop, whole: what happens in a step, in which order, and what is remembered between two.

A step: this worker's share of the batch, in parts; the sum of the losses over all of it, divided by what counts in all
workers' shares; gradients summed over the workers; clipped; one step of the optimiser. For an adversarial pair that is
done for one network after the other. So a step is the same for one worker with 16 samples, two with 8 each, and one
that takes them 4 at a time; up to rounding, and but for batch norms, each of which sees the samples of its own worker
and part.

What is random in a network (dropout) hangs on seed, step and rank: a state need hold no generator's state, and is of
use to any number of workers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from encdec_batch.errors import CheckpointError, EncdecError, LossNotFinite, SpecError, TrainingError
from encdec_batch.spec.train import AdamW, LearnSpec, Optimizer
from encdec_batch.train.batch import Batch, Batches, Turn
from encdec_batch.train.learning.all_reduce import Team
from encdec_batch.train.learning.checkpoint import State
from encdec_batch.train.learning.ema import Follower
from encdec_batch.train.learning.learner import Learner, Sample
from encdec_batch.train.learning.prefetch import Feed, Loaded
from encdec_batch.train.learning.schedule import learning_rate

AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one step came to."""

    step: int
    """Counted from 1."""
    losses: dict[str, float]
    """By learner and term, each the mean over the whole batch, without its factor; `loss` is what was made small."""
    learning_rate: float
    gradient: float
    """Length of the first learner's gradient before it was clipped."""
    seconds: float
    waited_s: float
    """Of them, for data."""


class Loop:
    """Networks in training.

    Args:
        learners: take their turns in this order; the first is the one to be published.
        rates: the peak of each one's learning rate.
        learn: how they learn.
        precision: `float32`, `bfloat16` or `float16` (the last on CUDA alone).
        device: where the networks are.
        margin: pixels that the networks take off on each side of what they give.
    """

    def __init__(  # noqa: PLR0913  (they are the whole of a training)
        self,
        learners: Sequence[Learner],
        learn: LearnSpec,
        *,
        rates: Sequence[float],
        precision: str,
        device: torch.device,
        margin: int = 0,
    ) -> None:
        if precision == "float16" and device.type != "cuda":
            raise TrainingError("float16 is for CUDA", hint="set compute.precision to bfloat16 or float32")
        self.learners, self._learn, self._device = tuple(learners), learn, device
        self._rates, self._precision, self._margin = tuple(rates), precision, margin
        for learner in self.learners:
            learner.network.to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._optimizers = [make_optimizer(one.network, learn.optimizer, device) for one in self.learners]
        scaled = precision == "float16"
        self._scalers = [torch.amp.GradScaler(device.type, enabled=scaled) for _ in self.learners]
        self.follower = Follower(self.learners[0].network, learn.ema) if learn.ema else None
        self.step = 0
        """Steps that are done."""

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and published."""
        return self.follower.network if self.follower else self.learners[0].network

    def run(self, batches: Batches, team: Team) -> Iterator[Done]:
        """Train to the last step, yielding after each; between two the networks may be looked at, not changed.

        Raises:
            SpecError: an epoch has fewer samples than a step wants.
            LossNotFinite: NaN or infinity in a loss or gradient; the samples are named, the step is not taken.
            EncdecError: a batch could not be made, here or by another worker.
        """
        learn, per_epoch = self._learn, batches.num_samples // self._learn.batch
        if not per_epoch:
            raise SpecError(
                f"an epoch has {batches.num_samples} samples, a step wants {learn.batch}",
                hint="lower learn.batch, or raise data.sampling.samples",
            )
        epoch, position = divmod(self.step, per_epoch)
        turn = Turn(
            seed=learn.seed,
            epoch=epoch,
            global_batch=learn.batch,
            rank=team.rank,
            world_size=team.size,
            start=position * learn.batch,
        )
        with Feed(batches, turn, self._device, parts=learn.accumulate, margin=self._margin) as feed:
            while self.step < learn.steps:
                began, waited = time.monotonic(), feed.waited_s
                losses, gradient = self._take_step(feed, team)
                self.step += 1
                if self.follower:
                    self.follower.follow(self.learners[0].network, self.step)
                yield Done(
                    step=self.step,
                    losses=losses,
                    learning_rate=self._rate(0, self.step - 1),
                    gradient=gradient,
                    seconds=time.monotonic() - began,
                    waited_s=feed.waited_s - waited,
                )

    def _take_step(self, feed: Feed, team: Team) -> tuple[dict[str, float], float]:
        loaded, failure = _next(feed)
        parts = loaded.parts if loaded else ()
        # One sum before anything is computed: by what the losses are divided, and whether everybody has a batch.
        weights = [_weights(learner, parts, self._device) for learner in self.learners]
        failed = torch.tensor([float(failure is not None)], device=self._device)
        team.sum([*weights, failed])
        if failure:
            raise failure
        if loaded is None or failed.item():
            raise TrainingError("another worker got no batch; its own error says why", elsewhere=True)
        torch.manual_seed(_seed(self._learn.seed, self.step, team.rank))
        losses: dict[str, float] = {}
        gradient = 0.0
        for number, learner in enumerate(self.learners):
            found, length = self._take_turn(number, loaded, weights[number], team)
            losses |= {f"{learner.name}/{name}": value for name, value in found.items()}
            if not number:
                gradient = length
                losses["loss"] = sum(term.factor * found[term.name] for term in learner.terms)
        return losses, gradient

    def _take_turn(self, number: int, loaded: Loaded, weights: Tensor, team: Team) -> tuple[dict[str, float], float]:
        learner, optimizer, scaler = self.learners[number], self._optimizers[number], self._scalers[number]
        factors = torch.tensor([term.factor for term in learner.terms], device=self._device)
        weights = weights.clamp_min(1e-12)  # where nothing counts the sum is 0 too
        totals = torch.zeros_like(weights)
        optimizer.zero_grad()
        for part in loaded.parts:
            with self._autocast():
                outputs = learner.outputs(part)
            sums = torch.stack(
                [term.loss.total(out, part.truth) for term, out in zip(learner.terms, outputs, strict=True)]
            )
            scaler.scale((factors * sums / weights).sum()).backward()
            totals += sums.detach()
        mine = totals.clone()
        team.sum([*_gradients(learner.network), totals])
        scaler.unscale_(optimizer)
        length = nn.utils.clip_grad_norm_(learner.network.parameters(), self._learn.clip or float("inf"))
        found: list[float] = torch.stack([*(totals / weights), length, mine.sum()]).tolist()
        self._check(learner, found, scaled=scaler.is_enabled(), batch=loaded.batch)
        for group in optimizer.param_groups:
            group["lr"] = self._rate(number, self.step)
        scaler.step(optimizer)
        scaler.update()
        return {term.name: value for term, value in zip(learner.terms, found, strict=False)}, found[-2]

    def _check(self, learner: Learner, found: Sequence[float], *, scaled: bool, batch: Batch) -> None:
        *losses, length, mine = found
        # With scaling an infinite gradient is a scale that was too large: GradScaler leaves the step out and lowers it.
        if all(map(isfinite, losses)) and (scaled or isfinite(length)):
            return
        said = ", ".join(f"{term.name} {value:.4g}" for term, value in zip(learner.terms, losses, strict=True))
        if isfinite(mine) and not all(map(isfinite, losses)):
            raise LossNotFinite(
                f"step {self.step + 1}: the loss of another worker's samples is not finite ({said})", elsewhere=True
            )
        names = _suspects(batch)
        raise LossNotFinite(
            f"step {self.step + 1}, {learner.name}: the loss is not finite ({said}, gradient {length:.4g}) for the "
            f"samples {', '.join(names)}",
            hint="look at these pixels; if they are sound, go on with compute.precision: float32, or lower the "
            "learning rate: that is another training, in a folder of its own",
            names=names,
        )

    def _rate(self, number: int, step: int) -> float:
        learn = self._learn
        return learning_rate(step, peak=self._rates[number], warmup=learn.warmup, steps=learn.steps, final=learn.final)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = AUTOCAST.get(self._precision)
        return torch.autocast(self._device.type, dtype=dtype) if dtype else nullcontext()

    # ------------------------------------------------------------------------------------ between two steps

    @torch.no_grad()
    def share_statistics(self, team: Team) -> None:
        """Running statistics of batch norms become the mean of all workers'; weights are equal anyway."""
        if team.size == 1:
            return
        networks = [learner.network for learner in self.learners] + ([self.follower.network] if self.follower else [])
        buffers = [one for network in networks for one in network.buffers() if one.is_floating_point()]
        team.sum(buffers)
        for buffer in buffers:
            buffer.div_(team.size)

    def state(self) -> State:
        """All that the next step hangs on. Tensors are those of the networks, not copies."""
        tensors: dict[str, Tensor] = {}
        groups, scalers, kind = {}, {}, type(self._optimizers[0]).__name__
        for learner, optimizer, scaler in zip(self.learners, self._optimizers, self._scalers, strict=True):
            tensors |= {f"{learner.name}/{name}": value for name, value in learner.network.state_dict().items()}
            kept = optimizer.state_dict()
            for number, values in kept["state"].items():
                tensors |= {f"optimizer/{learner.name}/{number}/{key}": value for key, value in values.items()}
            groups[learner.name], scalers[learner.name] = kept["param_groups"], scaler.state_dict()
        if self.follower:
            tensors |= {f"ema/{name}": value for name, value in self.follower.network.state_dict().items()}
        values = {"seed": self._learn.seed, "optimizer": kind, "param_groups": groups, "scalers": scalers}
        return State(step=self.step, tensors=tensors, values=values)

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: it is of other networks or another optimiser.
        """
        try:
            if state.values["optimizer"] != type(self._optimizers[0]).__name__:
                raise ValueError(f"its optimiser is {state.values['optimizer']}")
            for learner, optimizer, scaler in zip(self.learners, self._optimizers, self._scalers, strict=True):
                learner.network.load_state_dict(_below(state.tensors, f"{learner.name}/"))
                kept: dict[int, dict[str, Tensor]] = {}
                for path, value in _below(state.tensors, f"optimizer/{learner.name}/").items():
                    number, _, key = path.partition("/")
                    kept.setdefault(int(number), {})[key] = value
                groups = state.values["param_groups"][learner.name]
                optimizer.load_state_dict({"state": kept, "param_groups": groups})
                scaler.load_state_dict(state.values["scalers"][learner.name])
            if self.follower:
                self.follower.network.load_state_dict(_below(state.tensors, "ema/"))
        except (KeyError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the checkpoint of step {state.step} is of another network or optimiser: "
                f"{' '.join(str(error).split())[:300]}",
                hint="train into another folder, or say again what it was made with",
            ) from error
        self.step = state.step


def make_optimizer(network: nn.Module, spec: Optimizer, device: torch.device) -> torch.optim.Optimizer:
    """Of all weights of a network; norms and biases decay too, as in the optimisers' papers."""
    fused = device.type == "cuda"
    if isinstance(spec, AdamW):
        return torch.optim.AdamW(
            network.parameters(), spec.learning_rate, spec.betas, weight_decay=spec.weight_decay, fused=fused
        )
    return torch.optim.SGD(
        network.parameters(), spec.learning_rate, spec.momentum, weight_decay=spec.weight_decay, fused=fused
    )


def _next(feed: Feed) -> tuple[Loaded | None, EncdecError | None]:
    try:
        return feed.next(), None
    except EncdecError as error:
        return None, error


def _weights(learner: Learner, parts: Sequence[Sample], device: torch.device) -> Tensor:
    weights = torch.zeros(len(learner.terms), device=device)
    for part in parts:
        weights += torch.stack([term.loss.weight(part.truth) for term in learner.terms])
    return weights


def _gradients(network: nn.Module) -> list[Tensor]:
    """One for each weight that learns, zero where nothing hung on it: all workers sum equally many."""
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    return gradients


def _seed(seed: int, step: int, rank: int) -> int:
    """Another one for each step and worker; the constants are odd and large, so that none is another's neighbour."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) % 2**63


def _suspects(batch: Batch) -> tuple[str, ...]:
    """Samples that are not finite themselves; if there are none, all of them."""
    sums = zip(batch.image.reshape(len(batch), -1), batch.target.reshape(len(batch), -1), strict=True)
    odd = [not (isfinite(float(image.sum())) and isfinite(float(target.sum()))) for image, target in sums]
    return tuple(name for name, is_odd in zip(batch.names, odd, strict=True) if is_odd or not any(odd))


def _below(tensors: Any, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
