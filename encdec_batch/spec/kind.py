"""Which spec a file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from encdec_batch.errors import SpecError
from encdec_batch.spec.load import read_values

Kind = Literal["archive", "training"]

_KEYS: dict[Kind, set[str]] = {"archive": {"source", "model"}, "training": {"data", "network", "learn"}}
"""Keys that one kind alone has."""


def kind_of(path: Path) -> Kind:
    """What a spec file asks for, by its keys; that it is well formed is not looked at.

    Raises:
        SpecError: the file cannot be read, or is of no kind or of two.
    """
    values = read_values(path, (), paths=())
    found = [kind for kind, keys in _KEYS.items() if keys & values.keys()]
    if {"registry", "train"} <= values.keys():
        raise SpecError(
            f"{path}: is a nightly job's, which is not submitted: a scheduler starts it each night",
            hint="see cluster/README.md; by hand: ray job submit ... -- python jobs/nightly_retrain.py --spec ...",
        )
    if len(found) != 1:
        raise SpecError(
            f"{path}: neither an archive's spec (source, model, output) nor a training's (data, network, learn)",
            hint="jobs/archive.yaml and jobs/train.yaml have every key with a comment",
        )
    return found[0]
