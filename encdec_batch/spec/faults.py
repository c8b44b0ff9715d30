"""What is wrong with a spec, in the user's words: a line for each place, without the jargon of the validator."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from encdec_batch.errors import SpecError
from encdec_batch.spec.base import Spec

S = TypeVar("S", bound=BaseModel)
_MOST_FAULTS = 20


def checked(kind: type[S], data: Any, *, name: str, what: str) -> S:
    """The spec that a plain dict describes.

    Args:
        kind: of spec.
        data: as it was read.
        name: of the file, for the error.
        what: it should be, for the error.

    Raises:
        SpecError: it is none; one line per fault.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults = "\n  ".join(faults_of(error, data))
        raise SpecError(f"{name} is not {what}:\n  {faults}") from None


def faults_of(error: ValidationError, data: Any) -> list[str]:
    """A line for each place at which the data is no spec.

    Args:
        error: what the model says.
        data: what was validated.
    """
    said: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False, include_input=False):
        place = _place(fault["loc"], data, absent=fault["type"] in ("missing", "extra_forbidden"))
        words = _words(dict(fault), place)
        # Of a list with a wrong item the validator says as well that it has too few.
        if fault["type"] == "too_short" and any(other.startswith(f"{place}.") for other in said):
            continue
        here = said.setdefault(place, [])
        if words not in here:
            here.append(words)
    lines = [f"{place}: {_joined(words)}" if place else _joined(words) for place, words in said.items()]
    return lines[:_MOST_FAULTS] + ([f"and {len(lines) - _MOST_FAULTS} more"] if len(lines) > _MOST_FAULTS else [])


def _place(location: Sequence[int | str], data: Any, *, absent: bool) -> str:
    """The keys that a user wrote, or has to write: which form of a union was tried is no key."""
    kept = []
    for number, part in enumerate(location):
        is_key = part in data if isinstance(data, dict) else False
        is_item = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        if is_key or is_item:
            data = data[part]
        elif not (absent and number == len(location) - 1):
            continue
        kept.append(str(part))
    return ".".join(kept)


def _words(fault: dict[str, Any], place: str) -> str:
    kind, named = fault["type"], str(fault.get("ctx", {}).get("discriminator", "")).strip("'")
    if place == "schema_version" and kind == "literal_error":
        return f"should be {fault['ctx']['expected']}, which this version reads; update encdec-batch for a later one"
    match kind:
        case "extra_forbidden":
            key = place.rpartition(".")[2]
            # A key that stands elsewhere is no help: it is what was written.
            near = difflib.get_close_matches(key, _all_keys() - {key}, 1)
            return f"unknown key{f', did you mean {near[0]}?' if near else ''}"
        case "missing":
            return "this key is missing"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "should have keys of its own, as in jobs/archive.yaml or jobs/train.yaml"
        case "union_tag_not_found":
            return f"has no {named}, which says what it is"
        case "union_tag_invalid":
            return f"{named} is {fault['ctx']['tag']!r}, and should be one of {fault['ctx']['expected_tags']}"
        case "too_short":
            return f"should have at least {fault['ctx']['min_length']}"
        case _:
            return str(fault["msg"]).removeprefix("Input ").removeprefix("Value error, ").partition(", unable to")[0]


def _joined(words: list[str]) -> str:
    """Forms of which one would do: `should be a valid integer, or 'auto'`."""
    first, *others = words
    return ", or ".join([first, *(other.removeprefix("should be ") for other in others)])


def _all_keys() -> set[str]:
    return {key for model in _subclasses(Spec) for key in model.model_fields}


def _subclasses(model: type[BaseModel]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for sub in model.__subclasses__():
        found += [sub, *_subclasses(sub)]
    return found
