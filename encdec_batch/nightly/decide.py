"""What follows from the figures: nothing here is asked of a store."""

from __future__ import annotations

from encdec_batch.nightly.records import Judgement


def is_better(judgement: Judgement) -> tuple[bool, tuple[str, ...]]:
    """Whether the candidate is to be production, and in words why, or why not.

    It is where the lower bound of its gain is above the margin, and no class and no group falls by more than its guard.
    """
    bound, metric = judgement.bound, judgement.metric
    gain = "no figure" if bound.observed is None else f"{bound.observed:+.4f}"
    # The confidence is divided among the nights since the last promotion (`level_of`).
    of_nights = f", the one of {bound.nights} nights judged since the last promotion" if bound.nights > 1 else ""
    better = bound.lower > judgement.margin
    interval = (
        f"the one-sided {100 * bound.level:.4g} % lower confidence bound of the difference is {bound.lower:+.4f} "
        f"(paired bootstrap over {len(judgement.scenes)} scenes{of_nights})"
    )
    verdict = f"{'above' if better else 'not above'} the margin of {judgement.margin:g} (judge.margin)"
    reasons = [f"{metric}, candidate less production: {gain}; {interval}, {verdict}"]
    for what, rows in (("class", judgement.classes), ("group", judgement.groups)):
        for row in rows:
            if row.broken:
                better = False
                name = row.name.removeprefix("iou/")
                now = "gone" if row.candidate is None else f"{row.candidate:.4f}"
                reasons.append(
                    f"{what} {name} falls from {row.production:.4f} to {now}, by more than its guard of {row.guard:g}"
                )
    return better, tuple(reasons)
