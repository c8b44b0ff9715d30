"""Networks of spandrel (the extra `spandrel`), for weights of restoration and super-resolution that others published.

Source: the chaiNNer organisation, "spandrel", github.com/chaiNNer-org/spandrel, which names the paper of each
architecture.

Suffixes: N images of a batch, C channels, H and W rows and columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from spandrel import MAIN_REGISTRY
from torch import Tensor, nn


class Spandrel(nn.Module):
    """One of its networks, made from its parameters as `models import` found them in published weights.

    Args:
        architecture: its id: Compact, ESRGAN, SwinIR, ...
        network: which class of that architecture.
        parameters: of the class's constructor; those that are not said have its defaults.
    """

    def __init__(self, *, architecture: str, network: str, parameters: dict[str, Any]) -> None:
        super().__init__()
        made = find_networks(str(architecture)).get(str(network))
        if made is None:
            raise ValueError(f"{architecture} of spandrel has no network {str(network)[:100]!r}")
        try:
            with quiet():
                self.network = made(**parameters)
        except MemoryError:
            raise
        except Exception as error:  # what it says of parameters that cannot be has no class in common but this
            raise ValueError(f"{architecture}: {type(error).__name__}: {error}") from error

    def forward(self, x_NCHW: Tensor) -> Tensor:
        # Some write into the image that they are given (RCAN, spandrel 0.4.2).
        out_NCHW: Tensor = self.network(x_NCHW.clone())
        return out_NCHW


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch warns authors of networks of."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.meshgrid")
        yield


def find_networks(architecture: str) -> dict[str, type[nn.Module]]:
    """The classes of an architecture by their own names.

    Raises:
        ValueError: spandrel has none of this id.
    """
    # Only ids that it lists: a module is imported by this name.
    if architecture not in MAIN_REGISTRY:
        known = ", ".join(sorted(str(found.architecture.id) for found in MAIN_REGISTRY))
        raise ValueError(f"architecture {architecture[:100]!r} is none of {known}")
    module = import_module(f"spandrel.architectures.{architecture}")
    classes = [getattr(module, name) for name in module.__all__]
    return {found.__name__: found for found in classes if isinstance(found, type) and issubclass(found, nn.Module)}
