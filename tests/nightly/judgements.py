"""Judgements and decisions that were never made, for what follows from them."""

from __future__ import annotations

from typing import Any

from encdec_batch.nightly.records import Against, Bound, Compared, Counts, Decision, Judgement, Made

DIGEST = "d" * 64


def against(version: str = "1", move: int = 1, promotion: int = 1, etag: str = "e") -> Against:
    return Against(version=version, digest=DIGEST, etag=etag, move=move, promotion=promotion)


def row(name: str, production: float | None, candidate: float | None, guard: float | None = None) -> Compared:
    return Compared(name=name, production=production, candidate=candidate, guard=guard, scenes=9)


def judgement(lower: float = 0.01, **changes: Any) -> Judgement:
    values: dict[str, Any] = {
        "against": against(),
        "metric": "mean_iou",
        "margin": 0.0,
        "bound": Bound(observed=lower + 0.02, lower=lower, upper=lower + 0.04, level=0.95, nights=1, resamples=1000),
        "overall": (row("mean_iou", 0.7, 0.72 + lower),),
        "classes": (row("iou/nucleus", 0.6, 0.65, 0.02),),
        "groups": (row("north", 0.6, 0.59, 0.02),),
        "scenes": (row("s3://b/a.png", 0.5, 0.4), row("s3://b/b.png", 0.5, 0.9), row("s3://b/c.png", 0.9, None)),
    }
    return Judgement(**values | changes)


def decision(night: str = "2026-11-28", outcome: str = "kept", **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "night": night,
        "model": "s3://models/nuclei",
        "outcome": outcome,
        "reasons": ("because",),
        "shadow": False,
        "time": 1795834800.0,
        "counts": Counts(labelled=30, training=20, held_out=7, audit=3, new=9),
        "asked": "q",
        "candidate": Made(version=night.replace("-", "."), digest=DIGEST, parent="1", steps=40),
        "judgement": judgement(),
    }
    return Decision(**values | changes)
