"""Options of a training as they are called in the spec of a nightly job, where they stand below `train`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from encdec_batch.errors import SpecError
from encdec_batch.spec.nightly import NightTraining

_SECTIONS = {
    name: tuple(getattr(field.annotation, "model_fields", ())) for name, field in NightTraining.model_fields.items()
}
_OPTION = re.compile(
    r"(?<![\w./-])(?:" + "|".join(f"{name}\\.(?:{'|'.join(keys)})" for name, keys in _SECTIONS.items() if keys) + r")\b"
)


@contextmanager
def named_below_train() -> Iterator[None]:
    """What is wrong with a training is said by the names that the user wrote: `train.data.bands`, not `data.bands`."""
    try:
        yield
    except SpecError as error:
        raise SpecError(_named(error.message), hint=_named(error.hint)) from error


def _named(text: str) -> str:
    # The split is the night's own.
    return _OPTION.sub(lambda found: "split" if found[0] == "data.split" else f"train.{found[0]}", text)
