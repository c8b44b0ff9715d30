"""How fast to learn at each step: a rising line, then half a cosine. A function of the step, so nothing to store."""

from __future__ import annotations

from math import cos, pi


def learning_rate(step: int, *, peak: float, warmup: int, steps: int, final: float) -> float:
    """The rate of the step with this number, counted from 0.

    Args:
        step: the rate is that of the last step from `steps` on.
        peak: reached when the warm-up is over.
        warmup: steps of a line that begins at peak / warmup; 0: none.
        steps: of the whole training.
        final: share of the peak that the last step learns with.

    Source: Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5 (one cycle); Goyal et al., "Accurate, Large Minibatch
    SGD", 2017, section 2.2 (gradual warm-up).
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    share = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    return peak * (final + (1 - final) * (1 + cos(pi * share)) / 2)
