"""What a user hands to `models import`: a file, and a card for what the file cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from encdec_batch.errors import ModelError, SpecError
from encdec_batch.models.card import Declared
from encdec_batch.spec.faults import faults_of
from encdec_batch.spec.text import MOST_BYTES, parse_yaml


def read_file(path: Path, most: int) -> bytes:
    """The bytes of a file.

    Raises:
        SpecError: it cannot be read.
        ModelError: it is larger than `most` bytes.
    """
    try:
        if path.stat().st_size > most:
            raise ModelError(f"{path}: is larger than {most:,} bytes", hint="take a narrower network")
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from None


def read_declared(path: Path, architecture: str) -> Declared:
    """What `card.yaml` says of a network that is imported: the keys of a card that its author writes, without
    `architecture` and `arguments`, which follow from the file.

    Raises:
        SpecError: the card cannot be read, or a key is missing, unknown or wrong; one line per fault.
    """
    try:
        data = read_file(path, MOST_BYTES)
    except ModelError:
        raise SpecError(f"{path} is larger than {MOST_BYTES:,} bytes", hint="this is no card") from None
    try:
        said = parse_yaml(data.decode())
    except ValueError as error:
        raise SpecError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise SpecError(f"{path} holds no keys", hint="see docs/onnx.md for a card with every key")
    if said.keys() & {"architecture", "arguments"}:
        raise SpecError(
            f"{path}: names an architecture", hint="leave `architecture` and `arguments` out: the file is it"
        )
    values: dict[str, Any] = {"architecture": architecture, "arguments": {}, **said}
    try:
        return Declared.model_validate(values)
    except ValidationError as error:
        raise SpecError(f"{path} is not a card:\n  " + "\n  ".join(faults_of(error, values))) from None
