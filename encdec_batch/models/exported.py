"""Files of `torch.export` to ONNX. **Runs what is in the file**: for the user's own files, on the user's own word.

`torch.export.load` unpickles parts of a `.pt2` without restriction (torch 2.13: weights and constants that its archive
marks as pickled, sample inputs), so opening one is running a program. Nothing imports this module but the command
`models import --trusted`; no job, worker or registry does, and a `.pt2` is no format of packages.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from encdec_batch.errors import ModelError

OPSET = 20


def convert_exported(path: Path) -> bytes:
    """The ONNX file of an exported program, its weights in it.

    Args:
        path: a `.pt2` that the caller trusts like a program.

    Raises:
        ModelError: it is none, or the exporter cannot say it in ONNX.
    """
    # The exporter warns of its own insides; what a user has to know comes as an error.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _onnx_of(torch.export.load(path))
        except ModuleNotFoundError as error:
            raise ModelError(
                f"{path}: is converted with {error.name}, which is not installed",
                hint="pip install 'encdec-batch[onnx]'",
            ) from error
        except Exception as error:  # the exporter's errors have no class in common but this
            # What was wrong stands in the first of them; the last gives advice to whoever develops torch.
            first: BaseException = error
            while first.__cause__ is not None:
                first = first.__cause__
            said = " ".join(str(first).split())[:300]
            raise ModelError(
                f"{path}: cannot be converted to ONNX: {type(first).__name__}: {said}",
                hint="export the network with torch.onnx.export yourself, and import the .onnx file",
            ) from error


def _onnx_of(program: torch.export.ExportedProgram) -> bytes:
    arguments, named = program.example_inputs or ((), {})
    exported = torch.onnx.export(
        # Traced anew: torch 2.13 cannot convert a loaded program whose sides are multiples (2 * h).
        program.module(check_guards=False),
        arguments,
        kwargs=named,
        dynamic_shapes=_dynamic_axes(program),
        dynamo=True,
        opset_version=OPSET,
        verbose=False,
    )
    assert exported is not None  # noqa: S101  (with dynamo=True a program is what comes back)
    data: bytes = exported.model_proto.SerializeToString()
    return data


def _dynamic_axes(program: torch.export.ExportedProgram) -> tuple[dict[int, Any], ...]:
    """For each input, the axes that its author left open."""
    names = program.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    # AUTO: an axis that turns out to be fixed is, and models/onnx_checks.py says so.
    return tuple(
        {axis: torch.export.Dim.AUTO for axis, side in enumerate(shape) if not isinstance(side, int)}
        for shape in shapes
    )
