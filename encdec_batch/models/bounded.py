"""A bound on networks while they are made: other people's constructors are told nothing of what a card may ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook


@contextmanager
def at_most(values: int) -> Iterator[None]:
    """While it lasts, ValueError ends the constructor of a network with more values in its parameters; of this thread.

    What is made on the meta device takes no memory and does not count.
    """
    found, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal found
        del module, name
        if parameter.is_meta or threading.get_ident() != thread:
            return
        found += parameter.numel()
        if found > values:
            raise ValueError(f"it has more than {values:,} values")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
