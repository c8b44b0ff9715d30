"""Files of `torch.export` to ONNX. **Runs what is in the file**: for the user's own files, on the user's own word.

`torch.export.load` unpickles parts of a `.pt2` without restriction (torch 2.13: weights and constants that its archive
marks as pickled, sample inputs), so opening one is running a program. Nothing imports this module but the command
`models import --trusted`; no job, worker or registry does, and a `.pt2` is no format of packages.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

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
            program = torch.export.load(path)
            exported = torch.onnx.export(program, dynamo=True, opset_version=OPSET, verbose=False)
        except ModuleNotFoundError as error:
            raise ModelError(
                f"{path}: is converted with {error.name}, which is not installed",
                hint="pip install 'encdec-batch[onnx]'",
            ) from error
        except Exception as error:  # the exporter's errors have no class in common but this
            said = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{path}: cannot be converted to ONNX: {type(error).__name__}: {said}",
                hint="export the network with torch.onnx.export yourself, and import the .onnx file",
            ) from error
    assert exported is not None  # noqa: S101  (with dynamo=True a program is what comes back)
    data: bytes = exported.model_proto.SerializeToString()
    return data
