"""Archives of images through encoder-decoder networks: exact, resumable, in bounded memory.

Names are resolved when first used (PEP 562): importing this package imports neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encdec_batch.errors import EncdecError
    from encdec_batch.job.plan import build_plan
    from encdec_batch.job.run import run
    from encdec_batch.job.summary import RunSummary
    from encdec_batch.models.package import load_package
    from encdec_batch.plan.plan import Plan
    from encdec_batch.predict.array import predict_array
    from encdec_batch.spec.job import JobSpec
    from encdec_batch.spec.load import load_spec

__version__ = "0.1.0"

_HOME = {
    "EncdecError": "encdec_batch.errors",
    "JobSpec": "encdec_batch.spec.job",
    "Plan": "encdec_batch.plan.plan",
    "RunSummary": "encdec_batch.job.summary",
    "build_plan": "encdec_batch.job.plan",
    "load_package": "encdec_batch.models.package",
    "load_spec": "encdec_batch.spec.load",
    "predict_array": "encdec_batch.predict.array",
    "run": "encdec_batch.job.run",
}

__all__ = [
    "EncdecError",
    "JobSpec",
    "Plan",
    "RunSummary",
    "__version__",
    "build_plan",
    "load_package",
    "load_spec",
    "predict_array",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
